// The newest publications of an export, a page at a time.
import { html, useEffect, useState } from "./vendor/htm/standalone.module.js";
import { get } from "./api.js";
import { AirflowLink, runPath } from "./frame.js";
import { Failure, Skeleton, Time } from "./parts.js";
import { usePolled } from "./polled.js";
import { toRecord } from "./route.js";
import { State } from "./states.js";
import { count, cut, visible } from "./text.js";
import { range } from "./time.js";

const LIMIT = 25;
const path = (name, before) => `/exports/${encodeURIComponent(name)}/records?limit=${LIMIT}${before ? `&before=${before}` : ""}`;

export function Publications({ name, dag, every }) {
  const { data, error, reload } = usePolled(path(name), every);
  const [older, setOlder] = useState([]);
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState(null);
  useEffect(() => setOlder([]), [name]);
  const last = older.at(-1) ?? data;
  const more = async () => {
    setBusy(true);
    setFailed(null);
    try {
      const next = await get(path(name, last.next));
      setOlder([...older, next]);
    } catch (problem) {
      setFailed(problem);
    }
    setBusy(false);
  };
  // A page read earlier may overlap the newest one after new publications came.
  const seen = new Set();
  const records = [data, ...older].flatMap((page) => page?.records ?? []).filter((one) => !seen.has(one.seq) && seen.add(one.seq));
  return html`<section aria-labelledby="pubs-h" data-testid="publications">
    <h2 id="pubs-h">Publications</h2>
    ${error && html`<${Failure} error=${error} retry=${reload} what="The publications cannot be read." />`}
    ${!data && !error && html`<${Skeleton} lines=${4} label="reading the publications" />`}
    ${data && records.length === 0 && html`<p class="dim">None yet.</p>`}
    ${records.length > 0 &&
    html`<div class="scroll" tabindex="0" role="region" aria-label="Publications, table">
      <table class="plain">
        <thead><tr><th scope="col" class="num">No.</th><th scope="col">Window</th><th scope="col">Status</th><th scope="col" class="num">Rows</th><th scope="col">Published</th><th scope="col">Run</th></tr></thead>
        <tbody>${records.map(
          (one) => html`<tr key=${one.seq} data-testid="publication" data-seq=${one.seq}>
            <td class="num"><a href=${toRecord(name, one.seq)}>${one.seq}</a></td>
            <td>${one.window ? range(one.window.from, one.window.to) : "–"}</td>
            <td><${StatusWord} status=${one.status} /></td>
            <td class="num">${count(one.rows)}</td>
            <td><${Time} at=${one.finished_at} /></td>
            <td class="run">${one.run?.dag_run ? html`<${AirflowLink} to=${runPath(dag, one.run.id)}>${cut(one.run.id, 40)}<//>` : html`<bdi class="dim">${cut(one.run?.id, 40)}</bdi>`}</td>
          </tr>`,
        )}</tbody>
      </table>
    </div>`}
    ${failed && html`<${Failure} error=${failed} retry=${more} what="Older ones cannot be read." />`}
    ${last?.next && html`<p><button type="button" onClick=${more} disabled=${busy}>${busy ? "Reading…" : "Older publications"}</button></p>`}
  </section>`;
}

/** A status of a window; what the page does not know is shown as it is. */
export const StatusWord = ({ status }) =>
  ["proven", "unproven", "short"].includes(status) ? html`<${State} state=${status} />` : html`<span>${visible(status) || "–"}</span>`;
