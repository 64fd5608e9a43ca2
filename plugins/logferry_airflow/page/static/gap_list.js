// The gaps of the range on view, newest first, each with its reason and the way to mend it.
import { html, useState } from "./vendor/htm/standalone.module.js";
import { State } from "./states.js";
import { count, plural, Text, visible } from "./text.js";
import { parse, range } from "./time.js";

const FIRST = 12;
const MOST = 500;

/** `more`: how many gaps of the range are not in `gaps`; `begunAt`: before that nothing is known to have been asked for. */
export function GapList({ gaps, more, begunAt, onSelect, onFill, obstacle }) {
  const [all, setAll] = useState(false);
  const total = gaps.length + more;
  const newest = gaps.slice(-MOST).reverse();
  const shown = all ? newest : newest.slice(0, FIRST);
  return html`<section class="panel" aria-labelledby="gaps-h" data-testid="gaps">
    <h2 id="gaps-h">Gaps <span class="dim">in this range: ${count(total)}</span></h2>
    ${gaps.length === 0 && html`<p class="dim">None. Every slice that is due was published.</p>`}
    ${gaps.length > 0 && obstacle && html`<p id="gaps-why" class="dim" data-testid="gaps-cannot">${visible(obstacle)}</p>`}
    <ul class="gap-list">
      ${shown.map((gap) => {
        const span = { from: parse(gap.from), to: parse(gap.to) };
        const name = range(span.from, span.to);
        return html`<li key=${gap.from} data-testid="gap" data-from=${gap.from} data-to=${gap.to}>
          <div><${State} state=${gap.state} /> <span class="dim">${plural(gap.slices, "slice")}</span></div>
          <div class="gap-range">${name}</div>
          ${gap.reason && html`<p class="dim reason"><${Text} value=${span.to <= begunAt ? `${gap.reason}: from before the first publication` : gap.reason} max=${140} /></p>`}
          <div class="actions">
            <button type="button" class="small" aria-label=${`Select ${name}`} onClick=${() => onSelect(span, true)}>select</button>
            <button type="button" class="small primary" aria-label=${`Fill ${name}`} disabled=${Boolean(obstacle)} aria-describedby=${obstacle ? "gaps-why" : undefined} onClick=${() => onFill(span)}>Fill</button>
          </div>
        </li>`;
      })}
    </ul>
    ${newest.length > shown.length && html`<button type="button" class="link" onClick=${() => setAll(true)}>${total > newest.length ? `show the newest ${newest.length} of ${count(total)}` : `show all ${total}`}</button>`}
    ${all && total > newest.length && html`<p class="dim" data-testid="gaps-more">The ${count(total - newest.length)} older ones are in the calendar, and here when a shorter range is chosen.</p>`}
  </section>`;
}
