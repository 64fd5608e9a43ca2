// Rows, bytes, late rows and requests per day, on one time axis; each also as a table.
import { html, useEffect, useRef } from "./vendor/htm/standalone.module.js";
import { Failure, Skeleton } from "./parts.js";
import { usePolled } from "./polled.js";
import { onTheme } from "./theme.js";
import { bytes, compact, count, visible } from "./text.js";
import { iso, month, monthDay, parse } from "./time.js";

let loading = null; // the library is fetched when the first chart is drawn
const library = () => (loading ??= import("./vendor/uplot/uPlot.esm.js").then((m) => m.default));

const CHARTS = [
  { id: "rows", title: "Rows per day", format: compact, full: count, series: [{ key: "rows", name: "rows", colour: "--p", bars: true }] },
  { id: "bytes", title: "Bytes per day", format: bytes, full: bytes, series: [{ key: "bytes", name: "bytes", colour: "--u", bars: true }] },
  {
    id: "late", title: "Late rows per day", hint: "arrived after the first export of their slice", format: compact, full: count,
    series: [{ key: "late_rows", name: "late rows", colour: "--s-line", bars: true }],
  },
  {
    // A ledger keeps what the last publication of a window took, not what those before it did.
    id: "requests", title: "Requests per day of the archive", hint: "what the newest publication of each window took, on the day the window begins; earlier publications of it are not counted", format: compact, full: count,
    series: [
      { key: "requests", name: "requests", colour: "--i", bars: true },
      { key: "retried", name: "retried", colour: "--s-line", dash: [5, 3] },
      { key: "throttled", name: "throttled", colour: "--m" },
    ],
  },
];

export function Charts({ name, from, to, every, budget }) {
  const { data, error, reload } = usePolled(`/exports/${encodeURIComponent(name)}/series?from=${iso(from)}&to=${iso(to)}`, every);
  return html`<section aria-labelledby="charts-h" data-testid="charts">
    <h2 id="charts-h">Day by day</h2>
    ${error && html`<${Failure} error=${error} retry=${reload} what="The days cannot be read." />`}
    ${!data && !error && html`<${Skeleton} lines=${4} label="reading the days" />`}
    ${data && (data.days.length ? html`<div class="charts">${CHARTS.map((chart) => html`<${Chart} key=${chart.id} chart=${chart} days=${data.days} lateness=${data.lateness} carries=${chart.id === "requests" ? carriesADay(budget) : null} />`)}</div>` : html`<p class="dim">Nothing was published in this range.</p>`)}
  </section>`;
}

/** How many requests a day the allowance carries for this and the exports it is shared with; null while it is not known. */
function carriesADay(budget) {
  if (!(budget?.limit > 0) || !(budget.period_s > 0)) return null;
  return Math.floor((budget.limit * (1 - (budget.reserve ?? 0)) * 86400) / budget.period_s) || null;
}

/** 3 of 28,800 → "0.01%", never "0%" for some. */
function percent(part, whole) {
  const share = (100 * part) / whole;
  return part === 0 ? "0%" : share < 0.01 ? "below 0.01%" : `${share < 1 ? share.toFixed(2) : share < 10 ? share.toFixed(1) : Math.round(share)}%`;
}

function Chart({ chart, days, lateness, carries }) {
  const host = useRef(null);
  const readout = useRef(null);
  const sum = (key) => days.reduce((all, d) => all + (d[key] ?? 0), 0);
  const none = chart.series.every((s) => sum(s.key) === 0);
  useEffect(() => {
    if (none) return undefined;
    const show = (i) => {
      const d = days[i];
      if (readout.current) readout.current.textContent = d ? `${visible(d.day)}: ${chart.series.map((s) => `${chart.full(d[s.key])} ${s.name === "bytes" ? "" : s.name}`.trim()).join(", ")}${carries ? `, ${percent(d.requests, carries)} of the allowance` : ""}` : "";
    };
    let plot = null;
    let gone = false;
    let width = 0;
    const draw = async () => {
      const UPlot = await library();
      if (gone || !host.current) return;
      plot?.destroy();
      width = host.current.clientWidth;
      plot = new UPlot(options(UPlot, chart, width, days, show), [days.map((_, i) => i), ...chart.series.map((s) => days.map((d) => (s.bars ? (d[s.key] ?? null) : d[s.key] || null)))], host.current);
    };
    draw();
    const stop = onTheme(draw);
    const watch = new ResizeObserver(() => {
      const next = host.current?.clientWidth;
      if (plot && next && next !== width) plot.setSize({ width: (width = next), height: HEIGHT });
    });
    watch.observe(host.current);
    return () => {
      gone = true;
      stop();
      watch.disconnect();
      plot?.destroy();
    };
  }, [days, chart, carries, none]);
  const hint = chart.id === "late" && lateness?.known_from ? `${chart.hint}; known from ${visible(lateness.known_from).slice(0, 10)}` : chart.hint;
  return html`<figure class="chart" data-testid=${`chart-${chart.id}`}>
    <figcaption><h3>${chart.title}</h3>
      <span class="dim">${hint ? `${hint}. ` : ""}${chart.series.map((s) => `${chart.full(sum(s.key))} ${s.name === "bytes" ? "" : s.name}`.trim()).join(", ")} in all</span>
    </figcaption>
    ${none && html`<p class="dim">None in this range.</p>`}
    ${carries > 0 && !none && html`<p class="dim share" data-testid="budget-share">The allowance carries ${count(carries)} requests a day, its reserve left free. A day of this archive took ${percent(sum("requests") / days.length, carries)} of that on average, ${percent(Math.max(...days.map((d) => d.requests ?? 0)), carries)} at most.</p>`}
    ${chart.series.length > 1 && !none && html`<ul class="legend" aria-hidden="true">${chart.series.map((s) => html`<li><span class=${`key k${s.colour}`}></span> ${s.name}</li>`)}</ul>`}
    ${!none && html`<div ref=${host} class="plot" aria-hidden="true"></div>
      <p ref=${readout} class="readout dim" aria-hidden="true"></p>`}
    ${!none && html`<details><summary>as a table</summary><div class="scroll" tabindex="0" role="region" aria-label=${`${chart.title}, table`}>
      <table class="plain"><thead><tr><th scope="col">day</th>${chart.series.map((s) => html`<th scope="col" class="num">${s.name}</th>`)}${carries > 0 && html`<th scope="col" class="num">of the allowance</th>`}</tr></thead>
      <tbody>${[...days].reverse().map((d) => html`<tr><th scope="row">${visible(d.day)}</th>${chart.series.map((s) => html`<td class="num">${chart.full(d[s.key])}</td>`)}${carries > 0 && html`<td class="num">${percent(d.requests ?? 0, carries)}</td>`}</tr>`)}</tbody></table>
    </div></details>`}
  </figure>`;
}

const HEIGHT = 150;

// The days are numbered: a time axis would be cut by the clock of the reader, not by UTC.
function options(UPlot, chart, width, days, show) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const font = `11px ${style.getPropertyValue("--font")}`;
  const axis = { stroke: colour("--dim"), font, grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), size: 4 } };
  const bars = UPlot.paths.bars({ size: [0.75, 22] });
  return {
    width,
    height: HEIGHT,
    cursor: { sync: { key: "days" }, y: false, drag: { x: false, y: false }, points: { size: 5 } },
    legend: { show: false },
    hooks: { setCursor: [(u) => show(u.cursor.idx)] },
    scales: { x: { time: false, range: () => [-0.6, days.length - 0.4] }, y: { range: (u, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
    axes: [
      { ...axis, space: 56, incrs: [1, 2, 3, 7, 14, 28, 56, 91, 182, 365], size: 26, values: (u, ticks) => ticks.map((i) => label(days[i], days.length)) },
      { ...axis, size: 58, space: 28, values: (u, ticks) => ticks.map((v) => chart.format(v)) },
    ],
    series: [
      {},
      ...chart.series.map((s) => ({
        stroke: colour(s.colour),
        fill: s.bars ? colour(s.colour) : undefined,
        width: s.bars ? 0 : 2,
        dash: s.dash,
        paths: s.bars ? bars : undefined,
        points: { show: !s.bars && days.length <= 62, size: 4 },
      })),
    ],
  };
}

function label(one, many) {
  const s = parse(one?.day);
  if (s === null) return "";
  return many > 400 ? month(s) : monthDay(s);
}
