// The slices of a range: read page by page, put together, and cut into the units a calendar can show.
import { get } from "./api.js";
import { graver, isGap, letterOf } from "./states.js";
import { DAY, HOUR, iso, parse } from "./time.js";

/** The address of one page of slices; `at`: where it begins, null for the first. */
const page = (name, from, to, at) => `/exports/${encodeURIComponent(name)}/cells?from=${iso(from)}&to=${iso(to)}${at ? `&page=${at}` : ""}`;

/**
 * The slices of [from, to): {from, to, slice, letters, rows, source, bytes, seq, marks, gaps, gapsMore, totals, dueBefore,
 * begunAt, cutAt}. `gaps` are oldest first; `gapsMore` counts those that the answer leaves out, which are older than its first.
 * Instants are seconds; the arrays run in parallel; `cutAt` is set where the range was too fine to hold. While nothing
 * changed on the server the very same object comes back. Throws ApiError.
 */
export async function loadCells(name, from, to, signal, last) {
  const parts = [];
  let at = null;
  do {
    const part = await get(page(name, from, to, at), signal);
    parts.push(part);
    at = part.next && (at === null || part.next > at) ? part.next : null;
  } while (at !== null);
  if (last?.parts?.length === parts.length && parts.every((part, i) => part === last.parts[i])) return last;
  const first = parts[0];
  const start = parse(first.from);
  const joined = {
    parts,
    slice: first.slice_s,
    from: start,
    to: parse(parts.at(-1).to),
    dueBefore: parse(first.due_before),
    begunAt: parse(first.begun_at),
    letters: parts.map((part) => part.cells).join(""),
    rows: parts.flatMap((part) => part.rows),
    source: parts.flatMap((part) => part.source_rows),
    bytes: parts.flatMap((part) => part.bytes),
    seq: parts.flatMap((part) => part.seq),
    marks: {},
    // Of the whole range, which the first page alone tells.
    gaps: first.gaps,
    gapsMore: first.gaps_more,
    totals: first.totals,
    cutAt: parse(first.cut_at),
  };
  let before = 0;
  for (const part of parts) {
    for (const [i, marks] of Object.entries(part.marks ?? {})) joined.marks[Number(i) + before] = marks;
    before += part.cells.length;
  }
  joined.to = Math.max(joined.from, Math.min(joined.to, joined.from + joined.letters.length * joined.slice));
  return joined;
}

/** Start of slice `i`, in seconds. */
export const startOf = (cells, i) => cells.from + i * cells.slice;

/** Whether a unit is missing only because the export began to run later: nothing that somebody asked for. */
export const beforeFirst = (cells, unit) => unit.letter === "M" && unit.to <= (cells.begunAt ?? 0);

/** What the range [from, to) holds: {slices, gaps, short, rows, seqs}. */
export function within(cells, from, to) {
  const a = Math.max(0, Math.floor((from - cells.from) / cells.slice));
  const b = Math.min(cells.letters.length, Math.ceil((to - cells.from) / cells.slice));
  const found = { slices: Math.max(0, b - a), gaps: 0, short: 0, due: 0, damaged: [], seqs: new Set() };
  for (let i = a; i < b; i += 1) {
    const letter = cells.letters[i];
    if (isGap(letter)) found.gaps += 1;
    if (letter === "S") found.short += 1;
    if (letter !== "N") found.due += 1;
    if (letter === "D") found.damaged.push(startOf(cells, i));
    if (typeof cells.seq[i] === "number") found.seqs.add(cells.seq[i]);
  }
  return found;
}

/**
 * How a calendar shows the slices: `unit` seconds a cell (slices finer than half an hour are shown by the hour),
 * `span` seconds a row (a day; a week where a day has fewer than six cells), `units` in time order, each
 * {from, to, first, last, letter, column, row} with `last` excluded and `letter` the gravest of its slices.
 */
export function layout(cells) {
  const unit = DAY / cells.slice > 48 ? Math.max(HOUR, cells.slice) : cells.slice;
  const span = DAY / unit < 6 ? 7 * DAY : DAY;
  const origin = span === DAY ? 0 : 4 * DAY; // 1970-01-05 was a Monday
  const rowOf = (s) => Math.floor((s - origin) / span);
  const units = [];
  const base = rowOf(cells.from);
  for (let i = 0; i < cells.letters.length; i += 1) {
    const from = startOf(cells, i);
    const key = Math.floor(from / unit);
    const last = units.at(-1);
    if (last && last.key === key) {
      last.last = i + 1;
      last.to = from + cells.slice;
      last.letter = graver(last.letter, letterOf(cells.letters[i]));
    } else {
      const row = rowOf(from);
      const column = Math.floor((from - origin - row * span) / unit);
      units.push({ key, from, to: from + cells.slice, first: i, last: i + 1, letter: letterOf(cells.letters[i]), row: row - base, column });
    }
  }
  return { unit, span, units, columns: Math.ceil(span / unit), rowStart: (row) => origin + (row + base) * span };
}
