// Which range the export view shows, and the controls that change it.
import { html, useEffect, useState } from "./vendor/htm/standalone.module.js";
import { DAY, day, iso, parse } from "./time.js";

export const SPANS = [
  [7, "7 days"],
  [31, "31 days"],
  [90, "90 days"],
  [365, "1 year"],
];
const CONTEXT = 7 * DAY;
const DEFAULT_DAYS = 31;
const MOST_DAYS = 3660;

const floorDay = (s) => Math.floor(s / DAY) * DAY;
const ceilDay = (s) => Math.ceil(s / DAY) * DAY;

/**
 * The range of an address's query: {from, to, days, selection} in seconds; `days` is set while the range moves with the
 * clock. A range of less than a week, as a link to one gap or window gives it, is shown inside a week and selected.
 */
export function rangeOf(query, start, now) {
  const today = ceilDay(now + 1);
  const a = parse(query.from);
  const b = parse(query.to);
  let range;
  if (a !== null && b !== null && a < b) {
    const whole = a % DAY === 0 && b % DAY === 0 && b - a >= CONTEXT;
    const pad = b - a < CONTEXT ? 3 * DAY : 0;
    range = { from: floorDay(a) - pad, to: Math.max(floorDay(a) + DAY, Math.min(ceilDay(b) + pad, today)), days: null, selection: whole ? null : { from: a, to: b } };
    if (pad && range.to - range.from < CONTEXT) range.from = range.to - CONTEXT;
    if (range.to - range.from > MOST_DAYS * DAY) range.from = range.to - MOST_DAYS * DAY;
  } else {
    const asked = Number.parseInt(query.days, 10);
    const days = asked >= 1 && asked <= MOST_DAYS ? asked : DEFAULT_DAYS;
    range = { from: today - days * DAY, to: today, days, selection: null };
  }
  const first = parse(start);
  if (first !== null && range.from < floorDay(first)) range.from = Math.min(floorDay(first), range.to - DAY);
  return range;
}

export function RangePicker({ range, now, onChange }) {
  const [from, setFrom] = useState(day(range.from));
  const [to, setTo] = useState(day(range.to - DAY));
  useEffect(() => {
    setFrom(day(range.from));
    setTo(day(range.to - DAY));
  }, [range.from, range.to]);
  const span = range.to - range.from;
  const shift = (by) => onChange({ from: iso(range.from + by), to: iso(range.to + by) });
  const apply = (event) => {
    event.preventDefault();
    const a = parse(from);
    const b = parse(to);
    if (a === null || b === null) return;
    const [low, high] = a <= b ? [a, b] : [b, a];
    // A week at least, so that the range is taken as the range and not as a selection in it.
    onChange({ from: iso(high + DAY - low < CONTEXT ? high + DAY - CONTEXT : low), to: iso(high + DAY) });
  };
  const atEnd = range.to >= ceilDay(now + 1);
  return html`<form class="toolbar range" onSubmit=${apply} aria-label="Range" data-testid="range-picker">
    <span class="segmented" role="group" aria-label="Length of the range">
      ${SPANS.map(([days, name]) => html`<button type="button" aria-pressed=${range.days === days} onClick=${() => onChange({ days: String(days) })}>${name}</button>`)}
    </span>
    <span class="segmented">
      <button type="button" onClick=${() => shift(-span)} aria-label="earlier range">‹ earlier</button>
      <button type="button" onClick=${() => shift(span)} disabled=${atEnd} aria-label="later range">later ›</button>
    </span>
    <label class="field">from <input type="date" value=${from} onInput=${(e) => setFrom(e.target.value)} data-testid="range-from" /></label>
    <label class="field">to <input type="date" value=${to} onInput=${(e) => setTo(e.target.value)} data-testid="range-to" /></label>
    <button type="submit">Show</button>
    <span class="dim">UTC, both days included</span>
  </form>`;
}
