// What the overview and the head of an export say alike: its status, how far it is final, when it runs next.
import { html } from "./vendor/htm/standalone.module.js";
import { AirflowLink, dagPath } from "./frame.js";
import { Skeleton, Time } from "./parts.js";
import { beginsLater, empty, troubles } from "./states.js";
import { Text, visible } from "./text.js";
import { away, now as clock, parse, range, stamp } from "./time.js";

/** One word first, then what is the matter. `why`: how much of the reason is told for which a lake cannot be reached. */
export function Status({ listed, row, retry, why = 0 }) {
  if (row?.error && !row.data) {
    return html`<span class="status bad" data-testid="status"><span class="mark bad" aria-hidden="true">!</span> <strong>Unknown</strong></span>
      <span class="why">${visible(row.error.message)} <button type="button" class="link" onClick=${retry}>Try again</button></span>`;
  }
  if (!row?.data) return html`<${Skeleton} lines=${1} label="reading the archive" />`;
  const found = troubles(listed, row.data, row.error);
  const bad = found.filter((t) => t.weight > 0);
  const notes = found.filter((t) => t.weight === 0).map((t) => t.text);
  const later = beginsLater(listed, clock());
  if (later !== null) notes.unshift(`begins on ${stamp(later)}`);
  const word = bad.length ? "Needs attention" : later !== null ? "Not begun" : empty(row.data) ? "Nothing yet" : row.data.cells.U && !row.data.cells.P ? "OK, unproven" : row.data.before_first ? `OK since ${stamp(row.data.before_first.to).replace(" 00:00", "")}` : "OK";
  return html`<span class=${`status ${bad.length ? "bad" : empty(row.data) ? "quiet" : "ok"}`} data-testid="status"
      ><span class=${`mark ${bad.length ? "bad" : empty(row.data) ? "quiet" : "ok"}`} aria-hidden="true">${bad.length ? "!" : empty(row.data) ? "·" : "✓"}</span> <strong>${word}</strong></span>
    <span class="why">${bad.slice(0, 3).map((t) => t.text).join(", ")}${bad.length > 3 ? ` and ${bad.length - 3} more` : ""}${notes.length ? html` <span class="dim">${notes.join(", ")}</span>` : ""}${row.error && html` <button type="button" class="link" onClick=${retry}>Try again</button>`}</span>${why > 0 && row.data.lake?.reason && !row.data.lake.reachable && html`<span class="why dim" data-testid="lake-why"><${Text} value=${row.data.lake.reason} max=${why} /></span>`}`;
}

/** The point before which nothing is expected to change, and on request what holds it there. */
export function FinalUpTo({ data, bare = false }) {
  const held = data.held_by;
  const why = held ? `${held.reason ? visible(held.reason) : "held"} (${range(held.from, held.to)})` : "";
  return html`<span class=${bare ? "final" : "final dim"}>${data.final_up_to ? html`${bare ? "" : "final up to "}<${Time} at=${data.final_up_to} />` : "not final yet"}
    ${why && html` <details class="hint"><summary aria-label="why it is held there">why</summary><span class="bubble"><${Text} value=${why} max=${300} /></span></details>`}</span>`;
}

export function NextRun({ airflow, now, dag }) {
  if (!airflow?.known) return html`<span class="none">no DAG</span>`;
  if (airflow.paused) return html`<span class="two"><span>paused</span> <${AirflowLink} to=${dagPath(dag)}>open the DAG<//></span>`;
  if (!airflow.next_run) return html`<span class="none">none planned</span>`;
  const at = parse(airflow.next_run.at);
  return html`<span class="two"><span>${at !== null && at <= now ? "due now" : away(airflow.next_run.at, now)}</span> <span class="dim"><${Time} at=${airflow.next_run.at} /></span></span>`;
}
