// Which range the export view shows, and the controls that change it.
import { html, useEffect, useState } from "./vendor/htm/standalone.module.js";
import { DAY, day, iso, parse, range as inWords } from "./time.js";

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
 * The range of an address's query: {from, to, days, selection, asked} in seconds; `days` is set while the range moves with
 * the clock. A range of less than a week, as a link to one gap or window gives it, is shown inside a week and selected;
 * `asked` are then the days it was.
 */
export function rangeOf(query, start, now) {
  const today = ceilDay(now + 1);
  const a = parse(query.from);
  const b = parse(query.to);
  let range;
  if (a !== null && b !== null && a < b) {
    const whole = a % DAY === 0 && b % DAY === 0 && b - a >= CONTEXT;
    const pad = b - a < CONTEXT ? 3 * DAY : 0;
    range = { from: floorDay(a) - pad, to: Math.max(floorDay(a) + DAY, Math.min(ceilDay(b) + pad, today)), days: null, selection: whole ? null : { from: a, to: b }, asked: pad ? { from: floorDay(a), to: ceilDay(b) } : null };
    if (pad && range.to - range.from < CONTEXT) range.from = range.to - CONTEXT;
    if (range.to - range.from > MOST_DAYS * DAY) range.from = range.to - MOST_DAYS * DAY;
  } else {
    const asked = Number.parseInt(query.days, 10);
    const days = asked >= 1 && asked <= MOST_DAYS ? asked : DEFAULT_DAYS;
    range = { from: today - days * DAY, to: today, days, selection: null, asked: null };
  }
  const first = parse(start);
  if (first !== null && range.from < floorDay(first)) range.from = Math.min(floorDay(first), range.to - DAY);
  return range;
}

/** The seconds of a day as people type it, null for what is none: 2026-02-30 is none. */
function dayOf(text) {
  const s = /^\s*\d{4}-\d\d-\d\d\s*$/.test(text) ? parse(text.trim()) : null;
  return s !== null && day(s) === text.trim() ? s : null;
}

export function RangePicker({ range, start, now, onChange }) {
  const { from: first, to: after } = range.asked ?? range;
  const [from, setFrom] = useState(day(first));
  const [to, setTo] = useState(day(after - DAY));
  const [wrong, setWrong] = useState([]);
  useEffect(() => {
    setFrom(day(first));
    setTo(day(after - DAY));
    setWrong([]);
  }, [first, after]);
  const span = range.to - range.from;
  const begin = floorDay(parse(start) ?? 0);
  const shift = (by) => {
    const low = Math.max(range.from + by, begin);
    onChange({ from: iso(low), to: iso(Math.max(range.to + by, low + CONTEXT)) });
  };
  const apply = (event) => {
    event.preventDefault();
    const [a, b] = [dayOf(from), dayOf(to)];
    const bad = [a === null && "from", b === null && "to"].filter(Boolean);
    setWrong(bad);
    if (bad.length) return;
    const [low, high] = a <= b ? [a, b] : [b, a];
    onChange({ from: iso(low), to: iso(high + DAY) });
  };
  // Text, not date, inputs: those would be in the order of the browser's language, unlike every other date here.
  const input = (which, value, set) => html`<label class="field">${which} <input type="text" inputmode="text" autocomplete="off" spellcheck="false" maxlength="12" placeholder="yyyy-mm-dd" value=${value}
    onInput=${(e) => set(e.target.value)} aria-invalid=${wrong.includes(which) ? "true" : undefined} aria-describedby=${wrong.includes(which) ? "range-wrong" : undefined} data-testid=${`range-${which}`} /></label>`;
  const atEnd = range.to >= ceilDay(now + 1);
  return html`<form class="toolbar range" onSubmit=${apply} aria-label="Range" data-testid="range-picker">
    <span class="segmented" role="group" aria-label="Length of the range">
      ${SPANS.map(([days, name]) => html`<button type="button" aria-pressed=${range.days === days} onClick=${() => onChange({ days: String(days) })}>${name}</button>`)}
    </span>
    <span class="segmented">
      <button type="button" onClick=${() => shift(-span)} disabled=${range.from <= begin} aria-label="earlier range">‹ earlier</button>
      <button type="button" onClick=${() => shift(span)} disabled=${atEnd} aria-label="later range">later ›</button>
    </span>
    ${input("from", from, setFrom)} ${input("to", to, setTo)}
    <button type="submit">Show</button>
    <span class="dim">UTC, both days included</span>
    ${wrong.length > 0 && html`<p id="range-wrong" class="bad-text" role="alert">Give ${wrong.map((one) => `"${one}"`).join(" and ")} as a day such as ${day(now)}.</p>`}
    ${range.asked && html`<p class="dim" data-testid="range-context">The days around ${inWords(range.asked.from, range.asked.to)} are shown too.</p>`}
  </form>`;
}
