// One publication of the journal: what was published, how it was proven, by which run, and its place in the chain.
import { html, useEffect, useMemo, useState } from "./vendor/htm/standalone.module.js";
import { AirflowLink, dagPath, runPath } from "./frame.js";
import { Copyable } from "./fill_dialog.js";
import { Fact, Failure, Skeleton, Time } from "./parts.js";
import { usePolled } from "./polled.js";
import { StatusWord } from "./publications.js";
import { toExport, toOverview, toRecord } from "./route.js";
import { amount, bytes, count, cut, plural, Text, visible } from "./text.js";
import { duration, parse, range, stamp } from "./time.js";

const FIRST = 100;

export function RecordView({ name, seq }) {
  const { data, error, reload } = usePolled(`/exports/${encodeURIComponent(name)}/records/${seq}`);
  useEffect(() => {
    document.title = `${visible(name)} no. ${seq} · Archive · Logferry`;
  }, [name, seq]);
  return html`
    <nav class="crumbs" aria-label="Breadcrumb"><a href=${toOverview()}>Archive</a> <span aria-hidden="true">/</span> <a href=${toExport(name)}><bdi>${visible(name)}</bdi></a></nav>
    <header class="view-head">
      <h1>${data?.record === "intent" ? "Intent" : "Publication"} no. ${seq}</h1>
      ${data && data.record !== "broken" && html`<p class="verdict" data-testid="record-status"><${StatusWord} status=${data.status} /></p>`}
      <span class="spacer"></span><span class="dim">All times are UTC.</span>
    </header>
    ${error && html`<${Failure} error=${error} retry=${error.status === 404 ? null : reload} what="This publication cannot be shown." />`}
    ${!data && !error && html`<${Skeleton} lines=${8} label="reading the publication" />`}
    ${data && html`<${Body} key=${seq} name=${name} data=${data} />`}
  `;
}

function Body({ name, data }) {
  const slices = data.slices ?? [];
  const { requests } = data;
  const run = data.run ?? {};
  const dag = run.dag_id ?? `export_${name}`;
  return html`
    ${data.record === "broken" &&
    html`<section class="notice bad" data-testid="record-broken"><h2><span class="mark bad" aria-hidden="true">✕</span> This record is broken</h2>
      <p><${Text} value=${data.broken} max=${600} /></p>
      <p class="dim">Its slices count as not published. <code>logferry verify ${visible(name)}</code> tells what is affected, and the next export of its window writes a new record.</p></section>`}
    ${data.record === "intent" && html`<p class="notice-line">An intent: a publication began here. If no publication follows it, the run was interrupted, and the next run of the window heals it.</p>`}
    ${data.superseded?.slices > 0 &&
    html`<p class="notice-line" data-testid="superseded">${plural(data.superseded.slices, "slice")} of it ${data.superseded.slices === 1 ? "was" : "were"} published again later, in ${(data.superseded.by ?? []).slice(0, 10).map((seq, i) => html`${i ? ", " : ""}<a href=${toRecord(name, seq)}>no. ${seq}</a>`)}.</p>`}
    <div class="columns">
      <section aria-labelledby="what-h"><h2 id="what-h">What was published</h2>
        <dl class="facts" data-testid="record-facts">
          <${Fact} name="Window">${data.window ? html`<a href=${toExport(name, { from: data.window.from, to: data.window.to })}>${range(data.window.from, data.window.to)}</a>` : "–"}<//>
          ${typeof data.rows === "number" && html`<${Fact} name="Rows">${count(data.rows)} written, ${typeof data.source_rows === "number" ? `${count(data.source_rows)} at the source` : "not counted at the source"}<//>`}
          ${slices.length > 0 && html`<${Fact} name="Size">${bytes(data.bytes)} in ${plural(slices.length, "slice")}<//>`}
          ${data.source && html`<${Fact} name="Source"><span class="kind">${visible(data.source.kind)}</span> <${Text} value=${data.source.query ?? data.source.table ?? ""} max=${160} mono=${true} /><//>`}
          <${Fact} name="Fingerprint"><${Text} value=${data.fingerprint ?? "–"} max=${26} mono=${true} /><//>
          ${data.columns?.length > 0 && html`<${Fact} name="Columns"><${Columns} columns=${data.columns} /><//>`}
        </dl>
      </section>
      <section aria-labelledby="how-h"><h2 id="how-h">How</h2>
        <dl class="facts">
          <${Fact} name="Run">${run.dag_run ? html`<${AirflowLink} to=${runPath(dag, run.id)} testid="run-link">${cut(run.id, 60)}<//> <span class="dim">its tasks and logs</span>` : html`<bdi>${cut(run.id, 60) || "–"}</bdi>`}<//>
          <${Fact} name="Attempt">${visible(run.attempt) || "–"}<//>
          <${Fact} name="Started, ended">${run.started_at ? html`<${Time} at=${run.started_at} /> – <${Time} at=${run.finished_at} />` : "–"}<//>
          <${Fact} name="Took">${typeof run.seconds === "number" ? html`${duration(run.seconds)}${run.seconds > 0 && typeof data.rows === "number" ? `, ${count(data.rows / run.seconds)} rows/s` : ""}` : "–"}<//>
          <${Fact} name="Engine">${cut(run.engine, 60) || "–"}<//>
          <${Fact} name="DAG"><${AirflowLink} to=${dagPath(dag)}>${visible(dag)}<//><//>
        </dl>
      </section>
      ${requests && html`<section aria-labelledby="req-h"><h2 id="req-h">Requests</h2>
        <dl class="facts" data-testid="record-requests">${Object.entries(requests).slice(0, 20).map(([key, value]) => html`<${Fact} name=${cut(key.replaceAll("_", " "), 40)}>${typeof value === "number" ? amount(value) : html`<${Text} value=${value} max=${160} />`}<//>`)}</dl>
      </section>`}
      <section aria-labelledby="chain-h"><h2 id="chain-h">Chain</h2><${Chain} name=${name} data=${data} /></section>
    </div>
    ${slices.length > 0 && html`<${Slices} slices=${slices} />`}
    <section aria-labelledby="keys-h"><h2 id="keys-h">Where it lies</h2>
      <dl class="facts">
        <${Fact} name="Manifest"><${Text} value=${data.manifest_key ?? "–"} max=${160} mono=${true} /><//>
        <${Fact} name="Journal"><${Text} value=${data.journal_key ?? "–"} max=${160} mono=${true} /><//>
      </dl>
      ${data.raw && html`<${Raw} raw=${data.raw} />`}
    </section>
  `;
}

const Columns = ({ columns }) => html`<details><summary>${plural(columns.length, "column")}</summary>
  <ul class="columns-list">${columns.slice(0, 500).map((one) => html`<li class="mono">${typeof one === "string" ? cut(one, 120) : `${cut(one?.name, 120)} ${cut(one?.type, 60)}`}</li>`)}</ul></details>`;

function Chain({ name, data }) {
  const { previous, next, hash } = data.chain ?? {};
  const agrees = (one) => (one.agrees ? html`<span class="ok-text"><span aria-hidden="true">✓</span> agrees</span>` : html`<strong class="bad-text"><span aria-hidden="true">✕</span> does not agree: the journal was changed or lost a record here; run logferry verify ${visible(name)}</strong>`);
  return html`<dl class="facts" data-testid="record-chain">
    <${Fact} name="Before it">${previous?.seq ? html`<a href=${toRecord(name, previous.seq)}>no. ${previous.seq}</a> ${agrees(previous)}` : data.record === "broken" ? "not told by a broken record" : "the first of its journal"}<//>
    <${Fact} name="Its hash"><${Text} value=${hash ?? "–"} max=${26} mono=${true} /><//>
    <${Fact} name="After it">${next ? html`<a href=${toRecord(name, next.seq)}>no. ${next.seq}</a> ${agrees(next)}` : data.record === "broken" ? "not told by a broken record" : "the newest of its journal"}<//>
  </dl>`;
}

function Slices({ slices }) {
  const [all, setAll] = useState(false);
  const shown = all ? slices : slices.slice(0, FIRST);
  return html`<section aria-labelledby="slices-h"><h2 id="slices-h">Slices <span class="dim">${slices.length}</span></h2>
    <div class="scroll" tabindex="0" role="region" aria-label="Slices, table">
      <table class="plain" data-testid="record-slices">
        <thead><tr><th scope="col">Slice</th><th scope="col">State</th><th scope="col" class="num">Rows</th><th scope="col" class="num">At the source</th><th scope="col">Counted</th><th scope="col" class="num">Size</th><th scope="col">Rows from, to</th><th scope="col">File</th><th scope="col">Now</th></tr></thead>
        <tbody>${shown.map((one) => {
          const differs = typeof one.source_rows === "number" && one.rows !== one.source_rows;
          return html`<tr key=${one.from} data-from=${one.from}>
            <td>${range(one.from, one.to)}</td>
            <td><${StatusWord} status=${one.status} /></td>
            <td class="num">${count(one.rows)}</td>
            <td class=${differs ? "num bad-text" : "num"}>${count(one.source_rows)}</td>
            <td><${Time} at=${one.counted_at} /></td>
            <td class="num">${bytes(one.file?.bytes)}</td>
            <td>${one.file?.min_time ? `${clock(one.file.min_time)} – ${clock(one.file.max_time)}` : "–"}</td>
            <td class="file">${one.file ? html`<${Text} value=${one.file.key} max=${110} mono=${true} />` : "–"}</td>
            <td>${one.current === false ? html`<span class="dim">superseded</span>` : one.current ? "current" : "–"}</td>
          </tr>`;
        })}</tbody>
      </table>
    </div>
    ${slices.length > shown.length && html`<p><button type="button" onClick=${() => setAll(true)}>Show all ${slices.length}</button></p>`}
  </section>`;
}

const clock = (text) => (parse(text) === null ? visible(text) : stamp(text).slice(11));

/** The stored text, laid out where it is JSON. */
function Raw({ raw }) {
  const [open, setOpen] = useState(false);
  const text = useMemo(() => {
    if (!open) return "";
    try {
      return visible(JSON.stringify(JSON.parse(raw), null, 2));
    } catch {
      return visible(raw);
    }
  }, [raw, open]);
  return html`<details class="raw" onToggle=${(e) => setOpen(e.target.open)}><summary>the stored record (${plural(raw.length, "character")})</summary>${open && html`<${Copyable} text=${text} label="the stored record" />`}</details>`;
}
