// "Fill gaps": what it would take, then Airflow's own backfill and runs, started as the logged-in user.
import { html, useEffect, useRef, useState } from "./vendor/htm/standalone.module.js";
import { get } from "./api.js";
import { AirflowLink, backfillsPath, dagPath } from "./frame.js";
import { StartedLink } from "./jobs.js";
import { Failure, Skeleton } from "./parts.js";
import { say, usePolled } from "./polled.js";
import { act, unpause } from "./start.js";
import { compact, count, plural, Text, visible } from "./text.js";
import { duration, iso, now, range } from "./time.js";

/** Why this user cannot start it, in a sentence; null when nothing stands in the way. */
export function hindrance(listed) {
  const airflow = listed?.airflow;
  if (!airflow) return "This export has no entry in Airflow yet.";
  if (airflow.known === false) return `Airflow does not know the DAG ${listed.dag_id} yet: wait until the DAG processor has read its file.`;
  if (!airflow.can_trigger) return `Your Airflow role may look but not start runs of ${listed.dag_id}: ask for permission to trigger it.`;
  return null;
}

export function FillDialog({ name, listed, span, onClose, onStarted }) {
  const dialog = useRef(null);
  const path = `/exports/${encodeURIComponent(name)}/fill?from=${iso(span.from)}&to=${iso(span.to)}`;
  const { data: found, error, loading, reload } = usePolled(path);
  // Runs are started from a fresh answer only, never from one that an earlier visit left behind.
  const data = loading || error ? null : found;
  const [wake, setWake] = useState(true);
  const [busy, setBusy] = useState(false);
  const [results, setResults] = useState([]);
  const [stuck, setStuck] = useState(null);
  const paused = Boolean(listed.airflow?.paused);
  const canWake = Boolean(listed.airflow?.can_unpause);
  const waking = paused && canWake && wake;
  const obstacle = hindrance(listed);

  useEffect(() => {
    const opener = document.activeElement;
    dialog.current.showModal();
    return () => opener?.isConnected && opener.focus();
  }, []);

  const start = async () => {
    setBusy(true);
    setStuck(null);
    const before = await lastNumber(name);
    if (waking) {
      const failed = await unpause(listed.dag_id);
      if (failed) {
        setStuck(failed);
        say(failed);
        setBusy(false);
        return;
      }
    }
    const done = [];
    for (const action of data.actions) {
      const result = await act(action, listed.dag_id);
      done.push(result);
      setResults([...done]);
      say(result.text);
      if (!result.ok && (result.status === 401 || result.status === 403)) break; // the next would be refused alike
    }
    setBusy(false);
    const started = done.filter((one) => one.ok);
    if (started.length) {
      const windows = data.actions.reduce((all, action, i) => all + (done[i]?.ok ? action.windows : 0), 0);
      onStarted({ from: span.from, to: span.to, windows, before, dag: listed.dag_id, started, at: now() });
    }
  };

  const over = results.length > 0 && !busy;
  const blocked = obstacle ?? (data && !data.actions.length ? "There is nothing to start for this range." : null);
  return html`<dialog ref=${dialog} class="dialog" aria-labelledby="fill-h" data-testid="fill-dialog" onCancel=${(e) => busy && e.preventDefault()} onClose=${onClose}>
    <header><h2 id="fill-h">${data && data.gaps === 0 ? "Export again" : "Fill gaps"}</h2><span class="dim">${range(span.from, span.to)}</span></header>
    ${error && !loading && html`<${Failure} error=${error} retry=${reload} what="It cannot be told what this would take." />`}
    ${loading && html`<${Skeleton} lines=${5} label="working out what it takes" />`}
    ${data && html`<${Preview} data=${data} results=${results} dag=${listed.dag_id} waking=${waking} />`}
    ${data && paused && !over && html`<${Paused} can=${canWake} wake=${wake} setWake=${setWake} dag=${listed.dag_id} />`}
    ${blocked && html`<p class="notice-line" id="fill-blocked" data-testid="fill-blocked">${visible(blocked)}</p>`}
    ${stuck && html`<p class="bad-text" role="alert">${visible(stuck)}</p>`}
    <footer>
      <button type="button" onClick=${() => dialog.current.close()} disabled=${busy}>${over ? "Close" : "Cancel"}</button>
      ${!over &&
      html`<button type="button" class="primary" data-testid="fill-confirm" onClick=${start} disabled=${busy || !data || Boolean(blocked)} aria-describedby=${blocked ? "fill-blocked" : undefined}
        >${busy ? "Starting…" : data ? `${waking ? "Unpause and start" : "Start"} ${plural(data.windows, "window")}` : "Start"}</button>`}
    </footer>
  </dialog>`;
}

/** The journal's number at this moment: what is published later counts as progress. */
async function lastNumber(name) {
  try {
    return (await get(`/exports/${encodeURIComponent(name)}`)).journal?.seq ?? 0;
  } catch {
    return 0;
  }
}

function Preview({ data, results, dag, waking }) {
  return html`
    ${data.gaps === 0 && html`<p>There is no gap in this range. Starting exports it again; a file whose rows did not change is not written anew.</p>`}
    <dl class="numbers">
      <div><dt>windows</dt><dd data-testid="fill-windows">${count(data.windows)}</dd></div>
      <div><dt>rows expected</dt><dd>${data.rows_expected === null ? "unknown" : `≈ ${compact(data.rows_expected)}`}</dd></div>
      <div><dt>requests</dt><dd>${data.requests === null ? "unknown" : `≈ ${count(data.requests)}`}</dd></div>
      <div><dt>time</dt><dd>${data.eta_s === null ? "unknown" : data.eta_s < 1 ? "< 1 s" : `≈ ${duration(data.eta_s)}`}</dd></div>
    </dl>
    <p class="dim"><${Text} value=${data.basis} max=${400} /></p>
    ${(data.warnings ?? []).map((one) => html`<p class="notice-line"><span class="mark quiet" aria-hidden="true">!</span> <${Text} value=${one} max=${400} /></p>`)}
    <h3>What will be started</h3>
    <ol class="actions-list">
      ${waking && html`<li data-testid="fill-unpaused">The DAG ${visible(dag)} is unpaused, and stays so: its schedule resumes too, beginning with the latest window that is due.</li>`}
      ${data.actions.map((action, i) => {
        const result = results[i];
        return html`<li data-testid="fill-action">
          <span>${action.kind === "backfill" ? "Airflow backfill" : "Run"} of ${plural(action.windows, "window")}, ${range(action.from, action.to)}</span>
          ${result &&
          html`<div class=${result.ok ? "ok-text" : "bad-text"} data-testid="fill-result" role=${result.ok ? undefined : "alert"}>
            <span aria-hidden="true">${result.ok ? "✓" : "✕"}</span> ${visible(result.text)} ${result.ok && html`<${StartedLink} one=${result} dag=${dag} />`}${result.status === 409 && html`<${AirflowLink} to=${action.kind === "backfill" ? backfillsPath(dag) : dagPath(dag)}>Open it in Airflow<//>`}
          </div>`}
        </li>`;
      })}
    </ol>
    ${data.commands?.length > 0 &&
    html`<details class="commands"><summary>The same in a shell</summary>
      <${Copyable} text=${data.commands.map(visible).join("\n")} />
    </details>`}
  `;
}

/** Commands, with a button that copies them. */
export function Copyable({ text, label = "commands" }) {
  const [said, setSaid] = useState("Copy");
  const shown = useRef(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("Copied");
    } catch {
      // No clipboard inside the frame: the text is selected for the keyboard's own copy.
      getSelection().selectAllChildren(shown.current);
      setSaid("Selected: press Ctrl+C");
    }
  };
  return html`<div class="copyable"><pre ref=${shown} tabindex="0" role="group" aria-label=${label}>${text}</pre><button type="button" class="small" onClick=${copy}>${said}</button></div>`;
}

const Paused = ({ can, wake, setWake, dag }) =>
  can
    ? html`<label class="check notice-line"><input type="checkbox" checked=${wake} onChange=${(e) => setWake(e.target.checked)} data-testid="fill-unpause" /> The DAG is paused, and nothing runs until it is not: unpause it</label>`
    : html`<p class="notice-line">The DAG ${visible(dag)} is paused: what is started waits until someone with permission unpauses it.</p>`;
