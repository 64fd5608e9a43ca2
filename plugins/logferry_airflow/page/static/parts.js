// Small pieces that every view is made of.
import { html } from "./vendor/htm/standalone.module.js";
import { AirflowLink, loginPath } from "./frame.js";
import { Text, visible } from "./text.js";
import { away, iso, parse, stamp } from "./time.js";

/** An instant as "2026-11-20 03:00", machine-readable too. */
export const Time = ({ at }) => {
  const s = typeof at === "string" ? parse(at) : at;
  return s === null || s === undefined ? html`<span class="none">–</span>` : html`<time datetime=${iso(s)}>${stamp(s)}</time>`;
};

/** An instant and how far away it is. */
export const When = ({ at, now }) => html`<${Time} at=${at} /> <span class="dim">${away(at, now)}</span>`;

/** What failed and what to do; with a link to the login where that is the remedy. */
export const Failure = ({ error, retry, what, testid = "failure" }) => html`<div class="failure" role="alert" data-testid=${testid}>
  <strong>${what}</strong> ${visible(error.message)}
  <span class="actions">
    ${error.login && html`<${AirflowLink} to=${loginPath()} testid="login">Log in to Airflow<//>`}
    ${retry && !error.login && html`<button type="button" onClick=${retry}>Try again</button>`}
  </span>
</div>`;

export const Skeleton = ({ lines = 1, label = "loading" }) => html`<span class="skeletons" role="status" aria-label=${label}
  >${Array.from({ length: lines }, () => html`<span class="skeleton"></span>`)}</span
>`;

/** A line of a definition list, left out when there is nothing to say. */
export const Fact = ({ name, children, wide = false }) => html`<div class=${wide ? "fact whole" : "fact"}><dt>${name}</dt><dd>${children}</dd></div>`;

/** What is left of a budget: a bar and numbers. */
export function Budget({ budget, note }) {
  if (!budget || typeof budget.limit !== "number" || budget.limit <= 0) {
    return note
      ? html`<span class="dim">not known${" "}<details class="hint"><summary aria-label="why the requests left are not known">why</summary><span class="bubble from-right"><${Text} value=${note} max=${300} /></span></details></span>`
      : html`<span class="dim">not known</span>`;
  }
  const { limit, left, reserve } = budget;
  const share = Math.max(0, Math.min(1, (left ?? 0) / limit));
  return html`<span class="budget" title=${visible(note)}>
    <meter min="0" max=${limit} low=${limit * (reserve ?? 0)} value=${left ?? 0} aria-label="requests left">${left}</meter>
    <span>${left ?? "–"} of ${limit} <span class="dim">/ ${budget.period_s} s</span></span>${share < 0.15 ? html` <span class="dim">nearly used</span>` : ""}
  </span>`;
}
