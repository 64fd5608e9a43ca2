// What is known of the slice under the pointer or the focus: at once from the calendar's arrays, then the whole story.
import { html, useEffect, useState } from "./vendor/htm/standalone.module.js";
import { startOf } from "./cells.js";
import { AirflowLink, runPath } from "./frame.js";
import { Fact, Skeleton, Time } from "./parts.js";
import { get } from "./api.js";
import { toRecord } from "./route.js";
import { graver, letterOf, State, STATES, Swatch } from "./states.js";
import { bytes, count, cut, plural, Text, visible } from "./text.js";
import { iso, range, stamp } from "./time.js";

const SETTLE_MS = 150; // so that sweeping over a row asks nothing
const LISTED = 40;

/** {data, error} of one slice, a moment after it was pointed at. */
function useSlice(name, from, seq, letter) {
  const [state, setState] = useState({ from: null });
  useEffect(() => {
    if (from === null) return undefined;
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const data = await get(`/exports/${encodeURIComponent(name)}/slices/${iso(from)}`, stop.signal);
        if (!stop.signal.aborted) setState({ from, data });
      } catch (error) {
        if (!stop.signal.aborted) setState({ from, error });
      }
    }, SETTLE_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [name, from, seq, letter]);
  return state.from === from ? state : {};
}

/** The slice a unit stands for: its only one, or its gravest. */
function gravest(cells, unit) {
  let best = unit.first;
  for (let i = unit.first; i < unit.last; i += 1) {
    const a = letterOf(cells.letters[best]);
    const b = letterOf(cells.letters[i]);
    if (a !== b && graver(a, b) === b) best = i;
  }
  return best;
}

export function SlicePanel({ name, dag, cells, unit, heading }) {
  const [chosen, setChosen] = useState(null);
  useEffect(() => setChosen(null), [unit?.from]);
  const i = unit ? (chosen ?? gravest(cells, unit)) : null;
  const from = i === null ? null : startOf(cells, i);
  const { data, error } = useSlice(name, from, i === null ? null : cells.seq[i], i === null ? null : cells.letters[i]);
  if (!unit) {
    return html`<section class="panel" aria-labelledby="slice-h" data-testid="slice-panel">
      <h2 id="slice-h" ref=${heading} tabindex="-1">Slice</h2>
      <p class="dim">Point at a cell, or move through the calendar with the arrow keys.</p>
    </section>`;
  }
  const letter = letterOf(cells.letters[i]);
  const many = unit.last - unit.first > 1;
  const title = range(from, from + cells.slice);
  return html`<section class="panel" aria-labelledby="slice-h" data-testid="slice-panel" data-from=${iso(from)}>
    <h2 id="slice-h" ref=${heading} tabindex="-1">${title}</h2>
    <p class=${`big-state t-${letter}`}><${Swatch} letter=${letter} /> <strong data-testid="slice-state">${STATES[letter].name}</strong> <span class="dim">${STATES[letter].means}</span></p>
    ${many && html`<${Members} cells=${cells} unit=${unit} chosen=${i} choose=${setChosen} />`}
    <dl class="facts">
      ${(typeof cells.rows[i] === "number" || typeof cells.source[i] === "number") &&
      html`<${Fact} name="Rows">${count(cells.rows[i])} written, ${typeof cells.source[i] === "number" ? `${count(cells.source[i])} at the source` : "not counted at the source"}${gapOf(cells.rows[i], cells.source[i])}<//>`}
      ${typeof cells.bytes[i] === "number" && html`<${Fact} name="Size">${bytes(cells.bytes[i])}<//>`}
      ${cells.marks[i] && html`<${Fact} name="Noted">${cells.marks[i].map(markInWords).join("; ")}<//>`}
      ${typeof cells.seq[i] === "number" && html`<${Fact} name="Publication"><a href=${toRecord(name, cells.seq[i])}>no. ${cells.seq[i]}</a><//>`}
    </dl>
    ${error ? html`<p class="bad-text" role="status">${visible(error.message)}</p>` : data ? html`<${More} data=${data} dag=${dag} />` : html`<${Skeleton} lines=${3} label="reading this slice" />`}
  </section>`;
}

const gapOf = (rows, source) =>
  typeof rows === "number" && typeof source === "number" && rows !== source
    ? html` <strong class="bad-text">(${rows < source ? `${count(source - rows)} too few` : `${count(rows - source)} more than counted`})</strong>`
    : "";

/** A mark of the API as words. */
function markInWords(said) {
  const mark = String(said);
  if (mark.startsWith("late:")) return `${mark.slice(5)} rows arrived after the first export`;
  if (mark.startsWith("fewer:")) return `${mark.slice(6)} rows since the first export`;
  if (mark === "other_grid") return "the rows lie in slices of another length";
  if (mark === "other_definition") return "exported under an earlier definition";
  if (mark === "kept") return "the source now holds fewer rows; the file was kept";
  return visible(mark);
}

const NOTES = {
  bins_differ: "Spans that differ",
  twins_checked: "Twins asked again",
  twins_differ: "Twins that differ",
  invalid_text: "Texts mended",
};

/** The name of a count that a slice's record carries; what the page does not know is shown as it is. */
function noteInWords(key) {
  if (key.startsWith("misfit:")) return `Not fitting ${cut(key.slice(7), 40)}`;
  return Object.hasOwn(NOTES, key) ? NOTES[key] : cut(key, 40);
}

function Members({ cells, unit, chosen, choose }) {
  const all = [];
  for (let i = unit.first; i < unit.last; i += 1) all.push(i);
  return html`<div class="members" role="group" aria-label=${`${all.length} slices of this hour`}>
    ${all.slice(0, 60).map((i) => {
      const letter = letterOf(cells.letters[i]);
      const label = `${stamp(startOf(cells, i)).slice(11)} ${STATES[letter].name}`;
      return html`<button type="button" class=${`member s-${letter}`} title=${label} aria-label=${label} aria-pressed=${i === chosen} onClick=${() => choose(i)}></button>`;
    })}
  </div>`;
}

function More({ data, dag }) {
  const { file, run, damage = [] } = data;
  return html`
    ${data.reason && !(data.cell === "S" && data.rows !== data.source_rows) && html`<p class="reason"><${Text} value=${data.reason} max=${240} /></p>`}
    ${damage.slice(0, 5).map(
      (one) => html`<div class="damage" data-testid="damage">
        <p><strong><${State} state="D" /></strong> <${Text} value=${one.detail} max=${240} /></p>
        ${one.remedy && html`<p><span class="dim">What to do:</span> <${Text} value=${one.remedy} max=${240} /></p>`}
        ${one.found_at && html`<p class="dim">found <${Time} at=${one.found_at} /></p>`}
      </div>`,
    )}
    <dl class="facts">
      ${data.counted_at && html`<${Fact} name="Counted at"><${Time} at=${data.counted_at} /><//>`}
      ${typeof data.source_now === "number" && html`<${Fact} name="At the source now">${count(data.source_now)}<//>`}
      ${typeof data.previous_rows === "number" &&
      html`<${Fact} name="Before">${plural(data.previous_rows, "row")}${data.previous_counted_at && html`, counted <${Time} at=${data.previous_counted_at} />`}<//>`}
      ${file && html`<${Fact} name="File"><${Text} value=${file.key} max=${110} mono=${true} /><//>`}
      ${file?.min_time && html`<${Fact} name="Rows from, to"><${Time} at=${file.min_time} /> – <${Time} at=${file.max_time} /><//>`}
      ${file?.sha256 && html`<${Fact} name="Checksum"><span class="mono" title=${cut(file.sha256, 120)}>${cut(String(file.sha256).replace(/^sha256:/, ""), 16)}</span><//>`}
      ${run &&
      html`<${Fact} name="Run">${run.dag_run ? html`<${AirflowLink} to=${runPath(dag, run.id)} testid="slice-run">${cut(run.id, 60)}<//>` : html`<bdi>${cut(run.id, 60)}</bdi>`}, attempt ${run.attempt ?? "–"}<//>
        <${Fact} name="Ended"><${Time} at=${run.finished_at} /><//>`}
      ${data.definition?.present === false && html`<${Fact} name="Definition">not the present one<//>`}
      ${Object.entries(data.notes ?? {}).slice(0, LISTED).map(([key, value]) => html`<${Fact} name=${noteInWords(key)}><${Text} value=${value} max=${160} /><//>`)}
    </dl>
  `;
}
