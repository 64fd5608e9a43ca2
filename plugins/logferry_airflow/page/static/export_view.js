// One export: its numbers, the calendar of its slices, what is missing and how to mend it, its days and publications.
import { html, useCallback, useEffect, useMemo, useRef, useState } from "./vendor/htm/standalone.module.js";
import { Calendar } from "./calendar.js";
import { loadCells, within } from "./cells.js";
import { Charts } from "./charts.js";
import { Copyable, FillDialog, hindrance } from "./fill_dialog.js";
import { AirflowLink, dagPath } from "./frame.js";
import { GapList } from "./gap_list.js";
import { FillJob, VerifyJob } from "./jobs.js";
import { Budget, Fact, Failure, Skeleton, Time } from "./parts.js";
import { say, usePolled } from "./polled.js";
import { Publications } from "./publications.js";
import { RangePicker, rangeOf } from "./ranges.js";
import { replace, toExport, toOverview } from "./route.js";
import { SlicePanel } from "./slice_panel.js";
import { startVerify } from "./start.js";
import { beginsLater, emptiedText, empty, Legend, quietlyEmpty, unread } from "./states.js";
import { FinalUpTo, NextRun, Status } from "./summary.js";
import { bytes, count, plural, Text, visible } from "./text.js";
import { iso, now as clock, parse, range as inWords, stamp } from "./time.js";

const EVERY_MS = 30000;

/** The definition and Airflow state of one export, from the list. */
function useListed(name) {
  const [offset, setOffset] = useState(0);
  const list = usePolled(`/exports?offset=${offset}&limit=50`, EVERY_MS);
  const listed = list.data?.exports.find((one) => one.name === name);
  useEffect(() => {
    if (list.data && !listed && typeof list.data.next === "number") setOffset(list.data.next);
  }, [list.data, listed]);
  const missing = Boolean(list.data) && !listed && typeof list.data.next !== "number";
  return { listed, missing, error: list.error, reload: list.reload, verifyDag: list.data?.verify_dag ?? "archive_verify" };
}

/** The slices of a range, again every half minute; an answer that did not change is the same object. */
function useCells(name, from, to) {
  const [state, setState] = useState({ key: "", cells: null, error: null });
  const [turn, setTurn] = useState(0);
  const last = useRef(null);
  const key = `${name} ${from} ${to}`;
  useEffect(() => {
    if (from === null) return undefined;
    const stop = new AbortController();
    let busy = false;
    const ask = async () => {
      if (busy) return;
      busy = true;
      try {
        const cells = await loadCells(name, from, to, stop.signal, last.current);
        last.current = cells;
        if (!stop.signal.aborted) setState((was) => (was.cells === cells && was.key === key && !was.error ? was : { key, cells, error: null }));
      } catch (error) {
        if (!stop.signal.aborted) setState((was) => ({ key, cells: was.key === key ? was.cells : null, error }));
      } finally {
        busy = false;
      }
    };
    ask();
    const timer = setInterval(() => document.visibilityState === "visible" && ask(), EVERY_MS);
    return () => {
      stop.abort();
      clearInterval(timer);
    };
  }, [key, turn]);
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  return { cells: state.key === key ? state.cells : null, stale: state.cells, error: state.key === key ? state.error : null, reload };
}

export function ExportView({ name, query }) {
  const { listed, missing, error: listError, reload: reloadList, verifyDag } = useListed(name);
  const summary = usePolled(`/exports/${encodeURIComponent(name)}`, EVERY_MS);
  useEffect(() => {
    document.title = `${visible(name)} · Archive · Logferry`;
  }, [name]);
  const later = beginsLater(listed, clock());
  const heading = html`<nav class="crumbs" aria-label="Breadcrumb"><a href=${toOverview()}>Archive</a></nav>`;
  if (missing || summary.error?.status === 404 || summary.error?.status === 403) {
    return html`${heading}<h1><bdi>${visible(name)}</bdi></h1>
      <${Failure} error=${summary.error ?? new Error("There is no export of this name that you may read: it may have been renamed, or its DAG is hidden from your Airflow role.")} what="This export cannot be shown." />
      <p><a href=${toOverview()}>All exports</a></p>`;
  }
  return html`
    ${heading}
    <header class="view-head">
      <h1><bdi>${visible(name)}</bdi></h1>
      <p class="verdict" data-testid="export-status"><${Status} listed=${listed} row=${summary.data || summary.error ? { data: summary.data, error: summary.error } : undefined} retry=${summary.reload} /></p>
      <span class="spacer"></span>
      <span class="dim">All times are UTC.</span>
    </header>
    ${listError && html`<${Failure} error=${listError} retry=${() => (reloadList(), summary.reload())} what=${listed ? "Airflow's part of this view is not up to date." : "This export cannot be read."} />`}
    ${listed && html`<p class="source-line"><span class="kind">${visible(listed.kind)}</span> <${Text} value=${listed.query} max=${140} mono=${true} /></p>`}
    ${(listed || summary.data || !listError) && html`<${Numbers} listed=${listed} summary=${summary.data} failed=${Boolean(summary.error)} />`}
    ${later !== null && html`<${Later} listed=${listed} at=${later} />`}
    ${listed && later === null && summary.data?.lake?.reachable && empty(summary.data) && html`<${FirstSteps} listed=${listed} />`}
    ${listed && later === null && html`<${Coverage} key=${name} name=${name} listed=${listed} verifyDag=${verifyDag} query=${query} summary=${summary} />`}
    ${!listed && !listError && html`<${Skeleton} lines=${8} label="reading the export" />`}
  `;
}

function Numbers({ listed, summary, failed }) {
  if (!listed && !summary) return html`<${Skeleton} lines=${2} label="reading the numbers" />`;
  const wait = failed ? html`<span class="none">not read</span>` : html`<${Skeleton} />`;
  const lake = summary?.lake;
  const told = (content) => (!summary ? wait : unread(summary) ? html`<span class="none">–</span>` : content());
  return html`<dl class="facts wide" data-testid="numbers">
    <${Fact} name="Last proven">${told(() => (summary.last_proven ? inWords(summary.last_proven.from, summary.last_proven.to) : "none yet"))}<//>
    <${Fact} name="Final up to">${told(() => html`<${FinalUpTo} data=${summary} bare=${true} />`)}<//>
    <${Fact} name="Archive">${told(() => html`${count(summary.rows)} rows, ${bytes(summary.bytes)}`)}<//>
    <${Fact} name="Gaps in all">${told(() => html`${plural(summary.gaps?.slices ?? 0, "slice")}${summary.cells.S ? `, ${summary.cells.S} of them short` : ""}${summary.before_first ? html`, ${summary.before_first.slices >= (summary.gaps?.slices ?? 0) ? "all" : count(summary.before_first.slices)} from before the first publication. <span class="dim" data-testid="before-first">To have these, select them below and press Fill gaps.</span>` : ""}`)}<//>
    ${listed && html`<${Fact} name="Next run"><${NextRun} airflow=${listed.airflow} now=${clock()} dag=${listed.dag_id} /><//>`}
    <${Fact} name="Requests left">${summary ? html`<${Budget} budget=${summary.budget} note=${summary.budget_note} />` : wait}<//>
    ${listed && html`<${Fact} name="DAG"><${AirflowLink} to=${dagPath(listed.dag_id)} testid="dag-link">${visible(listed.dag_id)}<//> <span class="dim">${visible(listed.schedule)}, slices of ${visible(listed.slice)}</span><//>`}
    ${lake && html`<${Fact} name="Lake" wide=${!lake.reachable}><${Text} value=${lake.url ?? listed?.destination ?? ""} max=${60} mono=${true} />${!lake.reachable && html`<div class="bad-text" data-testid="lake-trouble">unreachable${lake.since && html` since <${Time} at=${lake.since} />`}: <${Text} value=${lake.reason ?? "no reason was given"} max=${200} />${lake.read_at && html` What you see was read <${Time} at=${lake.read_at} />.`}</div>`}<//>`}
    ${summary?.journal?.damage?.length > 0 && html`<${Fact} name="Journal" wide=${true}><ul class="bad-text">${summary.journal.damage.slice(0, 10).map((one) => html`<li><${Text} value=${one} max=${240} /></li>`)}</ul><//>`}
    ${summary?.emptied && html`<${Fact} name="Emptied" wide=${true}><span class="bad-text" data-testid="emptied">${emptiedText(summary)}: mount its disk or <strong>restore</strong> it; if it was deleted on purpose, fill it anew or remove the definition.</span><//>`}
    ${summary?.notes?.length > 0 && html`<${Fact} name="Notes" wide=${true}><ul>${summary.notes.slice(0, 10).map((one) => html`<li><${Text} value=${one} max=${240} /></li>`)}</ul><//>`}
  </dl>`;
}

/** The time of the export has not come. */
const Later = ({ listed, at }) => html`<section class="notice" aria-labelledby="later-h" data-testid="begins-later">
  <h2 id="later-h">This export begins on ${stamp(at)}</h2>
  <p>Nothing is due before that, so there is nothing to show yet.${listed.airflow?.paused ? html` Its DAG is paused: <${AirflowLink} to=${dagPath(listed.dag_id)}>unpause ${visible(listed.dag_id)}<//>, and it runs when its time has come.` : ""}</p>
</section>`;

/** Nothing was ever published: how to begin. */
function FirstSteps({ listed }) {
  const { airflow } = listed;
  const today = Math.floor(clock() / 86400) * 86400;
  const first = Math.max(today - 86400, parse(listed.start) ?? 0);
  return html`<section class="notice" aria-labelledby="first-h" data-testid="first-steps">
    <h2 id="first-h">Nothing has been published yet</h2>
    <p>${
      airflow?.known === false
        ? html`Airflow has not read the DAG <code>${visible(listed.dag_id)}</code> yet: wait a minute, then look for it among the DAGs' import errors.`
        : airflow?.paused
          ? html`<${AirflowLink} to=${dagPath(listed.dag_id)}>Unpause the DAG ${visible(listed.dag_id)}<//>: it exports the latest window at once, then each window on schedule. For the past, select a range below and press Fill gaps.`
          : html`The DAG runs on schedule; its first window appears here when it is published. For the past, select a range below and press Fill gaps.`
    }</p>
    ${first < today && html`<p class="dim">Or in a shell:</p>
      <${Copyable} text=${`logferry export ${visible(listed.name)} --from ${iso(first)} --to ${iso(today)}`} />`}
  </section>`;
}

function Coverage({ name, listed, verifyDag, query, summary }) {
  const today = Math.floor(clock() / 86400);
  const range = useMemo(() => rangeOf(query, listed.start, clock()), [query.from, query.to, query.days, listed.start, today]);
  const { cells: found, stale: last, error, reload } = useCells(name, range.from, range.to);
  const calm = quietlyEmpty(listed, summary.data);
  const cells = useMemo(() => (found && calm ? { ...found, begunAt: Infinity } : found), [found, calm]);
  const stale = found ? cells : last;
  const [selection, setSelection] = useState(range.selection);
  const [unit, setUnit] = useState(null);
  const [extend, setExtend] = useState(false);
  const [filling, setFilling] = useState(null);
  const [jobs, setJobs] = useState([]);
  const calendar = useRef(null);
  const panel = useRef(null);
  useEffect(() => {
    setSelection(range.selection);
    setUnit(null);
  }, [range]);
  const shown = cells ?? stale;
  const scrolled = useRef(null);
  useEffect(() => {
    if (cells && range.selection && scrolled.current !== range) {
      scrolled.current = range;
      calendar.current?.scrollTo(range.selection.from);
    }
  }, [cells, range]);

  const change = (next) => replace(toExport(name, next));
  const select = useCallback((next) => setSelection(next), []);
  const selectGap = (span) => {
    setSelection(span);
    calendar.current?.scrollTo(span.from);
    say(`Selected ${inWords(span.from, span.to)}`);
  };
  const open = (one) => {
    setUnit(one);
    panel.current?.focus();
  };
  const changed = useCallback(() => {
    reload();
    summary.reload();
  }, [reload, summary.reload]);
  const addJob = (job) => setJobs((was) => [job, ...was].slice(0, 5));
  const obstacle = hindrance(listed);
  return html`
    <section aria-labelledby="cov-h">
      <div class="cov-head"><h2 id="cov-h">Coverage</h2> <${Legend} /></div>
      <${RangePicker} range=${range} start=${listed.start} now=${clock()} onChange=${change} />
      ${jobs.map((job) =>
        job.kind === "fill"
          ? html`<${FillJob} key=${job.key} name=${name} job=${job} onChange=${changed} onClose=${() => setJobs((was) => was.filter((one) => one !== job))} />`
          : html`<${VerifyJob} key=${job.key} name=${name} job=${job} onChange=${changed} onClose=${() => setJobs((was) => was.filter((one) => one !== job))} />`,
      )}
      ${(shown || !error) && html`<${SelectionBar} name=${name} listed=${listed} verifyDag=${verifyDag} cells=${cells} selection=${selection} extend=${extend} setExtend=${setExtend}
        onClear=${() => (setSelection(null), setExtend(false), calendar.current?.focus())} onFill=${() => setFilling(selection)} onJob=${addJob} obstacle=${obstacle} />`}
      ${error && html`<${Failure} error=${error} retry=${reload} what=${cells ? "The calendar is not up to date." : "The slices cannot be read."} />`}
      <div class="coverage">
        <div class="cal-side" aria-busy=${String(!cells && !error)}>
          ${shown && (cells || !error)
            ? html`<div class=${cells ? "" : "stale"}><${Calendar} cells=${shown} selection=${selection} onSelect=${select} onInspect=${setUnit} onOpen=${open} extending=${() => extend} handle=${calendar} name=${visible(name)} /></div>`
            : !error && html`<${Skeleton} lines=${14} label="reading the slices" />`}
          <p id="cal-help" class="dim help" hidden=${!shown}>Arrow keys move, Shift+arrows or dragging select, Enter opens the details, Escape clears.</p>
          ${cells && html`<p class="dim" data-testid="range-totals">${inWords(cells.from, cells.to)}: ${count(cells.totals.rows)} rows, ${bytes(cells.totals.bytes)}${cells.cutAt !== null ? `. Slices this fine are shown up to here; choose a shorter range to see later ones.` : ""}</p>`}
        </div>
        <div class="side">
          ${shown && html`<${SlicePanel} name=${name} dag=${listed.dag_id} cells=${shown} unit=${unit && unit.last <= shown.letters.length ? unit : null} heading=${panel} />`}
          ${cells && html`<${GapList} gaps=${cells.gaps} more=${cells.gapsMore} begunAt=${cells.begunAt} onSelect=${selectGap} onFill=${(span) => (setSelection(span), setFilling(span))} obstacle=${obstacle} />`}
        </div>
      </div>
      ${filling && html`<${FillDialog} name=${name} listed=${listed} span=${filling} onClose=${() => setFilling(null)} onStarted=${(job) => addJob({ ...job, kind: "fill", key: `fill ${job.at} ${job.from}` })} />`}
    </section>
    ${(cells || !error) && html`<${Charts} name=${name} from=${range.from} to=${range.to} every=${EVERY_MS * 2} budget=${summary.data?.budget} />
      <${Publications} name=${name} dag=${listed.dag_id} every=${EVERY_MS} />`}
  `;
}

function SelectionBar({ name, listed, verifyDag, cells, selection, extend, setExtend, onClear, onFill, onJob, obstacle }) {
  const [deep, setDeep] = useState(false);
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState(null);
  useEffect(() => setFailed(null), [selection]);
  const verify = async () => {
    setBusy(true);
    setFailed(null);
    try {
      const run = await startVerify(verifyDag, { export: name, from: iso(selection.from), to: iso(selection.to), deep });
      onJob({ kind: "verify", key: `verify ${run}`, from: selection.from, to: selection.to, deep, dag: verifyDag, run, at: clock() });
      say("Verification started");
    } catch (error) {
      setFailed(error.message);
      say(error.message);
    }
    setBusy(false);
  };
  if (!selection) {
    return html`<div class="selection none" data-testid="selection"><span class="dim">Select slices in the calendar to fill or to verify them${obstacle ? "" : ", or press Fill at a gap"}.</span></div>`;
  }
  const found = cells ? within(cells, selection.from, selection.to) : null;
  const cannotVerify = listed.airflow?.can_verify === false ? `Your Airflow role may not run ${verifyDag}, so Verify is not offered.` : null;
  const why = obstacle ?? (found && found.due === 0 ? "Nothing in this selection is due yet." : null);
  return html`<div class="selection" role="region" aria-label="Selection" data-testid="selection" data-from=${iso(selection.from)} data-to=${iso(selection.to)}>
    <span data-testid="selection-text"><strong>${inWords(selection.from, selection.to)}</strong>${found && html`, ${plural(found.slices, "slice")}, ${plural(found.gaps, "gap")}${found.short ? `, ${found.short} of them short` : ""}`}</span>
    <span class="spacer"></span>
    <span class="actions">
      <button type="button" class="primary" data-testid="fill" onClick=${onFill} disabled=${Boolean(why) || !found} aria-describedby=${why ? "sel-why" : undefined}>${found && found.gaps === 0 ? "Export again…" : "Fill gaps…"}</button>
      <button type="button" data-testid="verify" onClick=${verify} disabled=${busy || Boolean(cannotVerify)} aria-describedby=${cannotVerify ? "sel-why" : undefined}>${busy ? "Starting…" : "Verify"}</button>
      <label class="check"><input type="checkbox" checked=${deep} onChange=${(e) => setDeep(e.target.checked)} data-testid="deep" /> deep</label>
      <button type="button" aria-pressed=${extend} class="touch-only" onClick=${() => setExtend(!extend)}>Extend to…</button>
      <button type="button" class="link" data-testid="clear-selection" onClick=${onClear}>Clear</button>
    </span>
    ${(why || cannotVerify) && html`<p id="sel-why" class="dim" data-testid="cannot">${[why, cannotVerify].filter(Boolean).map(visible).join(" ")}</p>`}
    ${failed && html`<p class="bad-text" role="alert" data-testid="verify-failed">${visible(failed)}</p>`}
  </div>`;
}
