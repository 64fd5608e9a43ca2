// What can be said of a slice: letter (as the API sends it), name, what it means. Gravest first.
// Each has a sign in style.css, the same as in a terminal (include/logferry/cli/calendar.py).
import { html } from "./vendor/htm/standalone.module.js";
import { cut, plural } from "./text.js";
import { duration, parse, stamp } from "./time.js";

export const STATES = {
  D: { name: "damaged", means: "a file of this slice is lost or differs from its checksum" },
  M: { name: "missing", means: "due, and never published" },
  S: { name: "short", means: "published with fewer rows than the source counted" },
  I: { name: "interrupted", means: "a publication began and did not end; the next run heals it" },
  U: { name: "unproven", means: "published; the source offers no count to prove it by" },
  P: { name: "proven", means: "rows written equal the rows counted at the source" },
  N: { name: "not due", means: "its time has not come, or it has not settled yet" },
};
export const LETTERS = Object.keys(STATES);

/** What stands for a letter of a newer engine: never a state that sounds harmless. */
const UNKNOWN = "X";
STATES[UNKNOWN] = { name: "unknown", means: "a state that this page does not know: reload it" };

const RANK = Object.fromEntries([...LETTERS.slice(0, 4), UNKNOWN, ...LETTERS.slice(4)].map((letter, i) => [letter, i]));

/** Of two letters the graver one. */
export const graver = (a, b) => (RANK[a] <= RANK[b] ? a : b);

/** What another export would mend. */
export const isGap = (letter) => letter === "D" || letter === "M" || letter === "S" || letter === "I";

const LETTER_OF = Object.fromEntries(Object.keys(STATES).map((letter) => [STATES[letter].name, letter]));

/** The letter of a state given by letter or by name ("missing"); one of its own for what this page does not know. */
export const letterOf = (state) => (Object.hasOwn(RANK, state) ? state : (LETTER_OF[String(state).replaceAll("_", " ")] ?? UNKNOWN));

/** A square in the colour, pattern and sign of a state. */
export const Swatch = ({ letter }) => html`<span class="swatch s-${letter}" aria-hidden="true"></span>`;

/** A state in a sign and a word. */
export const State = ({ state }) => {
  const letter = letterOf(state);
  return html`<span class="state"><${Swatch} letter=${letter} /> ${STATES[letter].name}</span>`;
};

export const Legend = () => html`<ul class="legend" aria-label="Legend: states of a slice" data-testid="legend">
  ${[...LETTERS].reverse().map(
    (letter) => html`<li title=${STATES[letter].means}><${Swatch} letter=${letter} /> ${STATES[letter].name}</li>`,
  )}
  <li title="late rows, a kept file, an earlier definition: see the slice"><span class="swatch s-P noted" aria-hidden="true"></span> with a note</li>
</ul>`;

/**
 * What is wrong with an export, gravest first: [{weight, text}]; a weight above 0 wants a person, 0 is for information.
 * `row` is the last answer of /exports/<name>, `listed` its entry of /exports, `error` why `row` is not up to date.
 */
export function troubles(listed, row, error) {
  const found = [];
  const say = (weight, text) => found.push({ weight, text });
  const airflow = listed?.airflow ?? {};
  const cells = row?.cells ?? {};
  const span = (n) => duration(n * (listed?.slice_s ?? 3600));
  if (error) say(9, `not up to date: ${cut(error.message, 200)}`);
  if (row?.lake && !row.lake.reachable) say(9, `lake unreachable${row.lake.since ? ` since ${stamp(row.lake.since).slice(0, 16)}` : ""}`);
  if (row?.journal?.damage?.length) say(8, "journal damaged");
  if (row?.emptied) say(8, `emptied: ${emptiedText(row)}`);
  if (cells.D) say(8, `${span(cells.D)} damaged`);
  if (row?.behind && !(empty(row) && airflow.paused)) say(7, `behind by ${plural(row.behind.windows, "window")}`);
  const before = row?.before_first?.slices ?? 0;
  if (cells.M > before && !empty(row)) say(6, `${span(cells.M - before)} missing`);
  if (cells.S) say(5, `${span(cells.S)} short`);
  if (cells.I) say(4, `${span(cells.I)} interrupted`);
  if (airflow.last_run?.state === "failed") say(3, "last run failed");
  if (airflow.known === false) say(2, "no DAG in Airflow");
  if (before) say(0, `${span(before)} before the first publication not exported`);
  if (airflow.paused) say(0, "paused");
  if (airflow.running) say(0, `${airflow.running} running`);
  if (airflow.queued) say(0, `${airflow.queued} queued`);
  return found;
}

/** What is known of a lake that held more than it holds now. */
export const emptiedText = ({ emptied, journal }) => `the lake held ${plural(emptied.records, "record")}, and ${journal?.seq ? `only ${journal.seq}` : "none"} since ${stamp(emptied.since)}`;

/** Nothing was ever published, as far as anybody knows. */
export const empty = (row) => Boolean(row) && !row.emptied && !["P", "U", "S", "D"].some((letter) => row.cells?.[letter]);

/** Nothing is known: the lake was never read, so every number of the answer is a 0 that means nothing. */
export const unread = (row) => row?.lake?.reachable === false && !row.lake.read_at;

/** Nothing was ever published, and nobody expected it yet: what is missing is no trouble. */
export const quietlyEmpty = (listed, row) => empty(row) && troubles(listed, row).every((one) => one.weight === 0);

/** When an export begins whose time has not come, in seconds; null for one that has begun. */
export function beginsLater(listed, now) {
  const start = parse(listed?.start);
  return start !== null && start > now ? start : null;
}
