// What can be said of a slice: letter (as the API sends it), name, glyph, what it means. Gravest first.
import { html } from "./vendor/htm/standalone.module.js";
import { plural } from "./text.js";
import { duration, stamp } from "./time.js";

export const STATES = {
  D: { name: "damaged", glyph: "✕", means: "a file of this slice is lost or differs from its checksum" },
  M: { name: "missing", glyph: "×", means: "due, and never published" },
  S: { name: "short", glyph: "!", means: "published with fewer rows than the source counted" },
  I: { name: "interrupted", glyph: "~", means: "a publication began and did not end; the next run heals it" },
  U: { name: "unproven", glyph: "", means: "published; the source offers no count to prove it by" },
  P: { name: "proven", glyph: "", means: "rows written equal the rows counted at the source" },
  N: { name: "not due", glyph: "", means: "its time has not come, or it has not settled yet" },
};
export const LETTERS = Object.keys(STATES);

const RANK = Object.fromEntries(LETTERS.map((letter, i) => [letter, i]));

/** Of two letters the graver one; "N" when neither is known. */
export const graver = (a, b) => ((RANK[a] ?? 9) <= (RANK[b] ?? 9) ? a : b);

/** What another export would mend. */
export const isGap = (letter) => letter === "D" || letter === "M" || letter === "S" || letter === "I";

const LETTER_OF = Object.fromEntries(LETTERS.map((letter) => [STATES[letter].name, letter]));

/** The letter of a state given by letter or by name ("missing"); "N" for what this page does not know. */
export const letterOf = (state) => (STATES[state] ? state : (LETTER_OF[String(state).replaceAll("_", " ")] ?? "N"));

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
 * `row` is the answer of /exports/<name>, `listed` its entry of /exports.
 */
export function troubles(listed, row) {
  const found = [];
  const say = (weight, text) => found.push({ weight, text });
  const airflow = listed?.airflow ?? {};
  const cells = row?.cells ?? {};
  const span = (n) => duration(n * (listed?.slice_s ?? 3600));
  if (row?.lake && !row.lake.reachable) say(9, row.lake.since ? `lake unreachable since ${stamp(row.lake.since).slice(0, 16)}` : "lake unreachable");
  if (row?.journal?.damage?.length) say(8, "journal damaged");
  if (cells.D) say(8, `${cells.D} damaged`);
  if (row?.behind && !(empty(row) && airflow.paused)) say(7, `behind by ${plural(row.behind.windows, "window")}`);
  if (cells.M && !empty(row)) say(6, `${span(cells.M)} missing`);
  if (cells.S) say(5, `${cells.S} short`);
  if (cells.I) say(4, `${cells.I} interrupted`);
  if (airflow.last_run?.state === "failed") say(3, "last run failed");
  if (airflow.known === false) say(2, "no DAG in Airflow");
  if (airflow.paused) say(0, "paused");
  if (airflow.running) say(0, `${airflow.running} running`);
  if (airflow.queued) say(0, `${airflow.queued} queued`);
  return found;
}

/** Nothing was ever published. */
export const empty = (row) => Boolean(row) && !["P", "U", "S", "D"].some((letter) => row.cells?.[letter]);
