// What was started and is being waited for: fills (until the cells turn) and verifications (until the run ends).
import { html, useRef, useState } from "./vendor/htm/standalone.module.js";
import { get } from "./api.js";
import { loadCells, within } from "./cells.js";
import { AirflowLink, backfillsPath, dagPath, runPath } from "./frame.js";
import { say, useRepeat } from "./polled.js";
import { progress } from "./start.js";
import { State } from "./states.js";
import { cut, plural, Text, visible } from "./text.js";
import { iso, now, range } from "./time.js";

const EVERY_MS = 4000;
const PATIENCE_S = 60;
const LAST_LOOKS = 2; // at the archive, after the runs ended: an answer may be some seconds old

/**
 * Follows one fill: {from, to, windows, before, dag, started: [{kind, id}]}; `before` is the journal's last number at
 * the start, so that every later number in the range is one window published since. `onChange` is called when cells turned.
 */
export function FillJob({ name, job, onChange, onClose }) {
  const [state, setState] = useState({ published: 0, done: false, text: "", trouble: null });
  const seen = useRef(0);
  const looks = useRef(0);
  useRepeat(
    async () => {
      try {
        const cells = await loadCells(name, job.from, job.to);
        const found = within(cells, job.from, job.to);
        const published = Math.min(job.windows, [...found.seqs].filter((seq) => seq > job.before).length);
        const runs = await Promise.all(job.started.map((one) => progress(one, job.dag)));
        const ended = runs.length > 0 && runs.every((run) => run.ended);
        const failed = runs.some((run) => run.failed);
        if (published !== seen.current) {
          seen.current = published;
          onChange();
          say(`${published} of ${plural(job.windows, "window")} published`);
        }
        if (ended) looks.current += 1;
        const done = published >= job.windows || looks.current > LAST_LOOKS;
        const open = found.gaps - found.short;
        const fewer = published < job.windows;
        const what = job.started.some((one) => one.kind === "backfill") ? "backfill" : "run";
        const only = fewer ? `${published} of ${plural(job.windows, "window")} ${job.windows === 1 ? "was" : "were"} published: open the ${what} to see why.` : "";
        const left = open ? `${plural(open, "slice")} still ${open === 1 ? "is" : "are"} a gap${fewer ? "." : ": open the run to see why."}` : "";
        const short = found.short ? `${found.short} short: fewer rows came than the source counted.` : "";
        const text = !done ? "" : [failed ? "A run failed." : "", only, left, short].filter(Boolean).join(" ") || "No gap is left in this range.";
        if (done) {
          onChange();
          say(`${published} of ${plural(job.windows, "window")} published. ${text}`);
        }
        setState({ published, done, text, trouble: null, bad: failed || fewer || Boolean(left) || Boolean(short) });
      } catch (error) {
        setState((was) => ({ ...was, trouble: error.message }));
      }
    },
    EVERY_MS,
    !state.done,
  );
  const waiting = !state.done && state.published === 0 && now() - job.at > PATIENCE_S;
  return html`<section class=${`job ${state.done ? (state.bad ? "bad" : "ok") : ""}`} aria-label="Fill in progress" data-testid="fill-job" data-done=${String(state.done)}>
    <span class=${`mark ${state.done ? (state.bad ? "bad" : "ok") : "busy"}`} aria-hidden="true">${state.done ? (state.bad ? "!" : "✓") : "…"}</span>
    <div>
      <strong data-testid="fill-progress">${state.published} of ${plural(job.windows, "window")} published</strong>
      <span class="dim"> ${range(job.from, job.to)}</span>
      <progress max=${job.windows} value=${state.published} aria-label="windows published"></progress>
      ${state.text && html`<p>${state.text}</p>`}
      ${waiting && html`<p class="dim">Nothing was published for a while: the run may be queued behind others, or wait until its window has settled.</p>`}
      ${state.trouble && html`<p class="dim">${visible(state.trouble)} Asking again.</p>`}
      <p class="links">${job.started.map((one) => html`<${StartedLink} one=${one} dag=${job.dag} /> `)}</p>
    </div>
    <button type="button" class="small" onClick=${onClose}>${state.done ? "Close" : "Hide"}</button>
  </section>`;
}

export const StartedLink = ({ one, dag }) =>
  one.kind === "backfill"
    ? html`<${AirflowLink} to=${backfillsPath(dag)}>backfill ${one.id}<//>`
    : html`<${AirflowLink} to=${runPath(dag, one.id)}>${cut(one.id, 60)}<//>`;

/** Follows one verification: {from, to, deep, dag, run}; at the end names what is damaged in the range. */
export function VerifyJob({ name, job, onChange, onClose }) {
  const [state, setState] = useState({ run: "queued", done: false, findings: null, trouble: null });
  useRepeat(
    async () => {
      try {
        const run = await progress({ kind: "run", id: job.run }, job.dag);
        if (!run.ended) {
          setState({ run: run.state, done: false, findings: null, trouble: null });
          return;
        }
        onChange();
        const findings = await damaged(name, job);
        setState({ run: run.state, done: true, findings, trouble: null });
        say(verdict(run.state, findings));
      } catch (error) {
        setState((was) => ({ ...was, trouble: error.message }));
      }
    },
    EVERY_MS,
    !state.done,
  );
  const bad = state.done && (state.findings.total > 0 || state.run === "failed");
  const waiting = !state.done && state.run === "queued" && now() - job.at > PATIENCE_S;
  return html`<section class=${`job ${state.done ? (bad ? "bad" : "ok") : ""}`} aria-label="Verification" data-testid="verify-job" data-done=${String(state.done)}>
    <span class=${`mark ${state.done ? (bad ? "bad" : "ok") : "busy"}`} aria-hidden="true">${state.done ? (bad ? "!" : "✓") : "…"}</span>
    <div>
      <strong data-testid="verify-result">${state.done ? verdict(state.run, state.findings) : `Verifying${job.deep ? " deeply" : ""}: ${state.run}…`}</strong>
      <span class="dim"> ${range(job.from, job.to)}</span>
      ${state.findings?.list.map(
        (one) => html`<div class="damage" data-testid="finding"><p><${State} state="D" /> ${range(one.from, one.to)}${one.key && html` <${Text} value=${one.key} max=${120} mono=${true} />`}</p>
          ${one.damage.map((d) => html`<p><${Text} value=${d.detail} max=${200} />${d.remedy && html` <span class="dim">What to do:</span> <${Text} value=${d.remedy} max=${200} />`}</p>`)}</div>`,
      )}
      ${state.findings?.total > state.findings?.list.length && html`<p class="dim">and ${state.findings.total - state.findings.list.length} more: they are marked ≠ in the calendar.</p>`}
      ${waiting && html`<p class="dim">Still queued: <${AirflowLink} to=${dagPath(job.dag)}>see whether the DAG ${job.dag} is paused<//>.</p>`}
      ${state.trouble && html`<p class="dim">${visible(state.trouble)} Asking again.</p>`}
      <p class="links"><${AirflowLink} to=${runPath(job.dag, job.run)}>the run and its log<//></p>
    </div>
    <button type="button" class="small" onClick=${onClose}>${state.done ? "Close" : "Hide"}</button>
  </section>`;
}

function verdict(run, findings) {
  if (findings.total) return `${plural(findings.total, "slice")} damaged.`;
  return run === "failed" ? "The verification failed before it could tell: see its log." : "Nothing found: every object is present and agrees with its manifest.";
}

async function damaged(name, job) {
  const cells = await loadCells(name, job.from, job.to);
  const { damaged: starts } = within(cells, job.from, job.to);
  const list = await Promise.all(
    starts.slice(0, 8).map(async (from) => {
      const slice = await get(`/exports/${encodeURIComponent(name)}/slices/${iso(from)}`);
      return { from, to: from + cells.slice, key: slice.file?.key, damage: (slice.damage ?? []).slice(0, 3) };
    }),
  );
  return { total: starts.length, list };
}
