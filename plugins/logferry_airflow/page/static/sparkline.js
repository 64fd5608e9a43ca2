// Thirty days in one small picture: the height is rows, the colour and the mark are the worst state of the day.
import { html } from "./vendor/htm/standalone.module.js";
import { isGap, letterOf, STATES } from "./states.js";
import { bytes, compact, count } from "./text.js";
import { DAY, parse } from "./time.js";

const STEP = 4.5;
const TALL = 26;

/** `begun`: the time before which no run is known to have been asked for anything; what is missing there is no trouble. */
export function Sparkline({ days, of = "rows", begun = null }) {
  if (!days?.length) return html`<span class="none">–</span>`;
  const format = of === "rows" ? count : bytes;
  const top = Math.max(1, ...days.map((d) => d[of] ?? 0));
  const sum = days.reduce((all, d) => all + (d[of] ?? 0), 0);
  const before = (d) => begun !== null && letterOf(d.worst) === "M" && parse(d.day) + DAY <= begun;
  const odd = days.filter((d) => isGap(letterOf(d.worst)) && !before(d));
  const words = odd.length
    ? `; ${odd.slice(0, 5).map((d) => `${d.day} ${STATES[letterOf(d.worst)].name}`).join(", ")}${odd.length > 5 ? ` and ${odd.length - 5} more days` : ""}`
    : "; no day with trouble";
  return html`<span class="spark">
    <svg viewBox=${`0 0 ${days.length * STEP} ${TALL + 8}`} width=${days.length * STEP} height=${TALL + 8} role="img" data-testid="sparkline"
      aria-label=${`${of === "rows" ? "Rows" : "Bytes"} per day, ${days.length} days: ${format(sum)} in total, at most ${format(top)} a day${words}`}>
      ${days.map((d, i) => {
        const letter = letterOf(d.worst);
        const h = d[of] ? Math.max(1.5, ((d[of] ?? 0) / top) * TALL) : 0;
        return html`<g key=${d.day}><title>${`${d.day}: ${format(d[of])}, ${STATES[letter].name}${before(d) ? " (before the first publication)" : ""}`}</title>
          <rect x=${i * STEP} y="0" width=${STEP} height=${TALL + 8} class="hit" />
          <rect x=${i * STEP} y=${TALL - h} width=${STEP - 1} height=${h} class=${`bar f-${letter}`} />
          ${isGap(letter) && !before(d)
            ? html`<path d=${`M${i * STEP + 2} ${TALL + 2} l2.5 5 h-5 z`} class=${`f-${letter}`} />`
            : html`<rect x=${i * STEP} y=${TALL + 1} width=${STEP - 1} height="1" class="base" />`}
        </g>`;
      })}
    </svg>
    <span class="dim">${of === "rows" ? compact(sum) + " rows" : bytes(sum)}</span>
  </span>`;
}
