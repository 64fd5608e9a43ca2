// Life inside Airflow's iframe: its sandbox lets no link out, so links and the address go through the parent document.
import { html } from "./vendor/htm/standalone.module.js";
import { prefix } from "./api.js";

function airflowWindow() {
  try {
    return window.parent !== window && window.parent.location.origin === location.origin ? window.parent : null;
  } catch {
    return null;
  }
}

const outer = airflowWindow();
export const embedded = outer !== null;

/** At the start: a deep link's fragment, which Airflow leaves on its own address, becomes this frame's. */
export function adoptHash() {
  if (outer && location.hash.length < 3 && outer.location.hash.startsWith("#/")) {
    history.replaceState(history.state, "", outer.location.hash);
  }
}

/** Keeps Airflow's address in step, so that it can be copied and reloaded. */
export function mirror(hash) {
  if (!outer || outer.location.hash === hash) return;
  // Airflow keeps its router's state in the history entry, and has a <base>: the state stays, the address is whole.
  const { pathname, search } = outer.location;
  outer.history.replaceState(outer.history.state, "", `${pathname}${search}${hash || "#/"}`);
}

function follow(event, href) {
  if (!outer || event.defaultPrevented) return;
  event.preventDefault();
  const link = outer.document.createElement("a");
  link.href = href;
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button === 1) link.target = "_blank";
  link.rel = "noopener";
  outer.document.body.append(link);
  link.click();
  link.remove();
}

/** A link to one of Airflow's own pages; `to` is a path inside Airflow such as "/dags/export_web". */
export function AirflowLink({ to, children, testid }) {
  const href = `${prefix}${to}`;
  return html`<a href=${href} data-testid=${testid} onClick=${(e) => follow(e, href)} onAuxClick=${(e) => e.button === 1 && follow(e, href)}
    >${children}</a
  >`;
}

const part = encodeURIComponent;
export const dagPath = (dag) => `/dags/${part(dag)}`;
export const runPath = (dag, run) => `/dags/${part(dag)}/runs/${part(run)}`;
export const backfillsPath = (dag) => `/dags/${part(dag)}/backfills`;

/** Back to this very place after the login. */
export const loginPath = () => `/api/v2/auth/login?next=${part(`${prefix}/plugin/logferry/${location.hash}`)}`;
