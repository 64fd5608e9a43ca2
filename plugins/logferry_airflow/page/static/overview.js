// The overview: one row per export, those that want a person first.
import { html, useEffect, useMemo, useRef, useState } from "./vendor/htm/standalone.module.js";
import { ApiError, get, remembered, rows as allRows } from "./api.js";
import { Budget, Failure, Skeleton } from "./parts.js";
import { say } from "./polled.js";
import { toExport } from "./route.js";
import { Sparkline } from "./sparkline.js";
import { beginsLater, empty, Legend, quietlyEmpty, troubles, unread } from "./states.js";
import { FinalUpTo, NextRun, Status } from "./summary.js";
import { count, cut, plural, Text, visible } from "./text.js";
import { now as clock, parse, range } from "./time.js";

const EVERY_MS = 30000;
const SETTLE_MS = 700;
const BATCH_MS = 60;
const STEP = 50; // rows drawn at first, and more each time

/** All definitions, and each export's row as it is ready; again every half minute. */
function useArchive() {
  const [list, setList] = useState(() => ({ data: whole(remembered(listPath(0))), error: null }));
  const [rows, setRows] = useState({});
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    let busy = false;
    const ask = async () => {
      if (busy) return;
      busy = true;
      const put = inBatches((came) => !stop.signal.aborted && setRows((was) => merged(was, came)));
      const coming = fill(put, stop.signal);
      try {
        const data = await definitions(stop.signal);
        if (stop.signal.aborted) return;
        setList((was) => (was.data && sameList(was.data, data) && !was.error ? was : { data, error: null }));
        const { there, error } = await coming;
        // An export of the list that has no row: its answer never came, or its definition did between the two.
        if (stop.signal.aborted) return;
        for (const one of data.exports) {
          if (!there.has(one.name)) put(one.name, undefined, error ?? new ApiError(0, "Its row did not come with the others: try again."));
        }
      } catch (error) {
        if (!stop.signal.aborted) setList((was) => ({ data: was.data, error }));
      } finally {
        // The list may fail while rows still come: the next question waits for them, so that one answer comes at a time.
        await coming;
        busy = false;
      }
    };
    ask();
    const again = () => document.visibilityState === "visible" && ask();
    const timer = setInterval(again, EVERY_MS);
    document.addEventListener("visibilitychange", again);
    return () => {
      stop.abort();
      clearInterval(timer);
      document.removeEventListener("visibilitychange", again);
    };
  }, [turn]);
  return { list, rows, reload: () => setTurn((n) => n + 1) };
}

const listPath = (offset) => `/exports?offset=${offset}&limit=200`;
/** The first page of the list where it is all of it. */
const whole = (part) => (part && typeof part.next !== "number" ? part : undefined);
const sameList = (a, b) => a.parts?.length === b.parts.length && a.parts.every((part, i) => part === b.parts[i]);

async function definitions(signal) {
  const parts = [];
  let offset = 0;
  while (typeof offset === "number") {
    const part = await get(listPath(offset), signal);
    parts.push(part);
    offset = part.next > offset ? part.next : null;
  }
  // A definition that came in between shifts the pages: an export may then be on two.
  const exports = [...new Map(parts.flatMap((part) => part.exports).map((one) => [one.name, one])).values()];
  return { ...parts[0], parts, exports };
}

/** A function that takes rows one by one and gives on what came within a moment: drawing takes longer than a row does. */
function inBatches(give) {
  let came = [];
  return (name, data, error) => {
    if (!came.length) {
      setTimeout(() => {
        const all = came;
        came = [];
        give(all);
      }, BATCH_MS);
    }
    came.push({ name, data, error });
  };
}

/** The rows with those that came; the same object where nothing changed. */
function merged(rows, came) {
  const changed = came.filter(({ name, data, error }) => error || rows[name]?.error || rows[name]?.data !== data);
  return changed.length ? { ...rows, ...Object.fromEntries(changed.map(({ name, data, error }) => [name, { data: data ?? rows[name]?.data, error }])) } : rows;
}

/** Hands out the rows as they come: the names of those that came, and why the others did not. */
async function fill(put, signal) {
  const there = new Set();
  try {
    await allRows((name, data, error) => {
      there.add(name);
      if (!signal.aborted) put(name, data, error);
    }, signal);
    return { there, error: null };
  } catch (error) {
    return { there, error };
  }
}

/** How much an export wants a person, 0 for not at all: by its gravest trouble; one that cannot be read comes first. */
function urgency(listed, row) {
  if (row?.error && !row.data) return 10;
  return row?.data ? Math.max(0, ...troubles(listed, row.data, row.error).map((t) => t.weight)) : 0;
}

/** Below those that want a person: the ones that hold nothing yet, the quiet ones, then those whose time has not come. */
const place = (listed, row) => urgency(listed, row) || (beginsLater(listed, clock()) !== null ? -1 : row?.data && empty(row.data) ? 0.5 : 0);

/** The exports, urgent ones first. While rows come in the order changes once only: rows must not jump under the pointer. */
function useOrder(exports, rows) {
  const order = useRef([]);
  const [settled, setSettled] = useState(false);
  const some = exports.some((one) => rows[one.name]);
  useEffect(() => {
    if (!some) return undefined;
    const timer = setTimeout(() => setSettled(true), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [some]);
  const complete = exports.every((one) => rows[one.name]);
  return useMemo(() => {
    if (complete || order.current.length !== exports.length || order.current.settled !== settled) {
      order.current = exports
        .map((one) => ({ name: one.name, rank: place(one, rows[one.name]) }))
        .sort((a, b) => b.rank - a.rank || (a.name < b.name ? -1 : 1))
        .map((one) => one.name);
      order.current.settled = settled;
    }
    const at = Object.fromEntries(order.current.map((name, i) => [name, i]));
    return [...exports].sort((a, b) => (at[a.name] ?? 0) - (at[b.name] ?? 0));
  }, [exports, rows, settled]);
}

export function Overview() {
  const [most, setMost] = useState(STEP);
  const { list, rows, reload } = useArchive();
  const [find, setFind] = useState("");
  const [only, setOnly] = useState(false);
  const [of, setOf] = useState("rows");
  const exports = list.data?.exports ?? [];
  const ordered = useOrder(exports, rows);
  useEffect(() => {
    document.title = "Archive · Logferry";
  }, []);

  const attention = exports.filter((one) => urgency(one, rows[one.name]) > 0).length;
  const broken = list.data?.broken?.length ?? 0;
  const read = exports.filter((one) => rows[one.name]).length;
  const complete = Boolean(list.data) && read === exports.length;
  const verdict = complete ? inAll(attention, exports.length, broken) : "";
  useEffect(() => {
    if (verdict) say(verdict);
  }, [verdict]);

  if (!list.data) {
    return list.error
      ? html`<h1>Archive</h1><${Failure} error=${list.error} retry=${reload} what="The exports cannot be listed." />`
      : html`<h1>Archive</h1><${Skeleton} lines=${6} label="loading the exports" />`;
  }
  const term = find.trim().toLowerCase();
  const found = ordered.filter(
    (one) => (!only || urgency(one, rows[one.name]) > 0) && (!term || `${one.name} ${one.kind} ${one.query}`.toLowerCase().includes(term)),
  );
  const shown = found.slice(0, most);
  return html`
    <header class="view-head">
      <h1>Archive</h1>
      <p class="verdict" data-testid="verdict">
        ${!complete
          ? html`${attention > 0 && html`<span class="line"><span class="mark bad" aria-hidden="true">!</span> <span><strong>${attention}</strong> ${needs(attention)} attention so far,</span></span>`} <span class="dim">${read} of ${exports.length} read…</span>`
          : attention || broken
            ? html`<span class="line"><span class="mark bad" aria-hidden="true">!</span> <strong>${verdict}</strong></span>`
            : exports.length
              ? html`<span class="mark ok" aria-hidden="true">✓</span> ${verdict}`
              : html`<span class="mark quiet" aria-hidden="true">·</span> ${verdict}`}
      </p>
      <span class="spacer"></span>
      <span class="dim">All times are UTC.</span>
    </header>
    ${list.error && html`<${Failure} error=${list.error} retry=${reload} what="This list is not up to date." />`}
    <${Broken} broken=${list.data.broken} />
    ${exports.length === 0 && !list.data.broken?.length && html`<${NoExports} />`}
    ${exports.length > 0 &&
    html`
      <div class="toolbar">
        <label class="field">Find <input type="search" value=${find} onInput=${(e) => setFind(e.target.value)} data-testid="find" placeholder="name, source or query" /></label>
        <label class="check"><input type="checkbox" checked=${only} onChange=${(e) => setOnly(e.target.checked)} data-testid="only-attention" /> needs attention only</label>
        <span class="spacer"></span>
        <span class="segmented" role="group" aria-label="What the 30-day picture shows">
          ${["rows", "bytes"].map((one) => html`<button type="button" aria-pressed=${of === one} onClick=${() => setOf(one)}>${one}</button>`)}
        </span>
      </div>
      <${Legend} />
      <table class="overview" role="table" data-testid="overview">
        <caption class="sr-only">Exports, those that need attention first</caption>
        <thead role="rowgroup">
          <tr role="row">
            ${["Export", "Status", "Last proven window", "Last 30 days", "Gaps", "Next run", "Requests left"].map((h) => html`<th role="columnheader" scope="col">${h}</th>`)}
          </tr>
        </thead>
        <tbody role="rowgroup">
          ${shown.map((one) => html`<${Row} key=${one.name} listed=${one} row=${rows[one.name]} of=${of} now=${parse(list.data.now) ?? clock()} retry=${reload} />`)}
        </tbody>
      </table>
      ${shown.length === 0 && html`<p class="empty">No export matches. <button type="button" class="link" onClick=${() => (setFind(""), setOnly(false))}>Show all</button></p>`}
      ${shown.length < found.length && html`<p class="more"><button type="button" data-testid="show-more" onClick=${() => setMost(most + STEP)}>Show more</button> <span class="dim">${shown.length} of ${found.length} shown, those that need attention first</span></p>`}
    `}
  `;
}

const needs = (n) => (n === 1 ? "needs" : "need");

/** What is to be said of all exports once each was read. */
function inAll(attention, exports, broken) {
  const found = [];
  if (attention) found.push(`${attention} of ${exports} ${needs(attention)} attention`);
  if (broken) found.push(`${plural(broken, "definition")} cannot be read`);
  if (broken && !attention && exports) found.push(exports === 1 ? "the other export is in order" : `the other ${exports} exports are in order`);
  if (found.length) return found.join(", ");
  return exports ? `all ${exports} in order` : "no exports yet";
}

function Row({ listed, row, of, now, retry }) {
  const data = row?.data;
  const cell = (label, content, extra = "") => html`<td role="cell" data-label=${label} class=${extra}>${content}</td>`;
  const bad = urgency(listed, row) > 0;
  const waiting = html`<${Skeleton} />`;
  const blank = unread(data);
  return html`<tr role="row" data-testid=${`row-${listed.name}`} data-attention=${String(bad)} class=${bad ? "is-bad" : ""}>
    <th role="rowheader" scope="row">
      <a class="name" href=${toExport(listed.name)}>${visible(listed.name)}</a>
      <span class="source"><span class="kind">${visible(listed.kind)}</span> <span class="mono" title=${cut(listed.query, 400)}><bdi>${cut(listed.query, 48)}</bdi></span></span>
    </th>
    ${(row?.error && !data) || blank
      ? html`<td role="cell" colspan="4" data-label="Status"><${Status} listed=${listed} row=${row} retry=${retry} why=${300} /></td>`
      : html`
          ${cell("Status", html`<${Status} listed=${listed} row=${row} retry=${retry} why=${80} />`, "status-cell")}
          ${cell(
            "Last proven",
            data
              ? html`<span class="two">${data.last_proven ? html`<a href=${toExport(listed.name, { from: data.last_proven.from, to: data.last_proven.to })}>${range(data.last_proven.from, data.last_proven.to)}</a>` : html`<span class="none">none yet</span>`}
                  <${FinalUpTo} data=${data} /></span>`
              : waiting,
          )}
          ${cell(of === "rows" ? "Rows, 30 days" : "Bytes, 30 days", data ? html`<${Sparkline} days=${data.days} of=${of} begun=${quietlyEmpty(listed, data) ? Infinity : parse(data.before_first?.to)} />` : waiting)}
          ${cell("Gaps", data ? html`<${Gaps} listed=${listed} data=${data} />` : waiting, "num")}
        `}
    ${cell("Next run", html`<${NextRun} airflow=${listed.airflow} now=${now} dag=${listed.dag_id} />`)}
    ${cell("Requests left", data ? html`<${Budget} budget=${data.budget} note=${data.budget_note} />` : row?.error ? "–" : waiting)}
  </tr>`;
}

function Gaps({ listed, data }) {
  const { gaps, cells } = data;
  const newest = gaps?.list?.[0];
  if (!gaps?.slices) return html`<span class="zero">0</span>`;
  return html`<span class="two"><span>${count(gaps.slices)}${gaps.stretches > 1 ? html` <span class="dim">in ${gaps.stretches}</span>` : ""}</span>
    ${cells.S > 0 && cells.S < gaps.slices && html`<span class="dim">${cells.S} short</span>`}
    ${data.before_first?.slices > 0 && html`<span class="dim">${data.before_first.slices >= gaps.slices ? "all" : count(data.before_first.slices)} before the first publication</span>`}
    ${newest && html`<a href=${toExport(listed.name, { from: newest.from, to: newest.to })}>newest</a>`}</span>`;
}

const Broken = ({ broken }) =>
  broken?.length
    ? html`<section class="notice bad" aria-labelledby="broken-h" data-testid="broken">
        <h2 id="broken-h"><span class="mark bad" aria-hidden="true">!</span> ${plural(broken.length, "definition")} cannot be read</h2>
        <ul>${broken.map((one) => html`<li><strong class="mono"><${Text} value=${one.file} max=${120} /></strong> <${Text} value=${one.reason} max=${220} /></li>`)}</ul>
        <p class="dim">Mend the file; the page follows by itself. The other exports are not affected.</p>
      </section>`
    : null;

const NoExports = () => html`<section class="notice" data-testid="no-exports">
  <h2>No exports yet</h2>
  <p>Put a definition into <code>include/exports</code>, one YAML file per export; its DAG appears here by itself. If there are files already, your Airflow role may lack read permission on their DAGs.</p>
</section>`;
