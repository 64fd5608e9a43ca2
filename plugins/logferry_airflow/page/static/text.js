// Text from lakes and definitions is shown as text: what would be invisible or would reorder the line is spelled out.
import { html, useState } from "./vendor/htm/standalone.module.js";

// C0 and C1 controls (but tab and newline), zero-width and bidi controls, line separators, BOM, lone surrogates.
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** The string with control and bidi characters as `\uXXXX`; other values as JSON, null as an empty string. */
export function visible(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" ? value : typeof value === "object" ? JSON.stringify(value) : String(value);
  return text.replace(HIDDEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

/** The first `max` characters of `visible(value)`, with an ellipsis when something is left out. */
export function cut(value, max) {
  const raw = typeof value === "string" ? value.slice(0, max + 1) : value;
  const text = visible(raw);
  return text.length > max ? text.slice(0, max).trimEnd() + "…" : text;
}

/** Text of any length; what is beyond `max` characters waits behind a button. */
export function Text({ value, max = 160, mono = false }) {
  const [steps, setSteps] = useState(0);
  const whole = typeof value === "string" ? value : visible(value);
  // A megabyte is opened in steps: one line of that length would freeze the layout.
  const limit = max + steps * 20000;
  const shown = steps ? visible(whole.slice(0, limit)) : cut(whole, max);
  const more = whole.length > limit;
  return html`<span class=${mono ? "mono text" : "text"}
    ><bdi>${shown}</bdi>${more &&
    html` <button type="button" class="link" onClick=${() => setSteps(steps + 1)}>show more</button>`}${steps > 0 &&
    html` <button type="button" class="link" onClick=${() => setSteps(0)}>show less</button>`}</span
  >`;
}

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

/** 1234567 → "1,234,567"; null → "–". */
export const count = (n) => (typeof n !== "number" ? "–" : n >= 0 && n < 1000 && Number.isInteger(n) ? String(n) : whole.format(n));

const tenths = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

/** 1234.56 → "1,234.6": for seconds and other numbers that need not be whole. */
export const amount = (n) => (typeof n === "number" ? tenths.format(n) : "–");

/** 1234567 → "1.2M"; null → "–". */
export const compact = (n) => (typeof n === "number" ? short.format(n) : "–");

/** Bytes in decimal units: 1234567 → "1.2 MB"; null → "–". */
export function bytes(n) {
  if (typeof n !== "number") return "–";
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let i = 0;
  let v = n;
  while (v >= 999.5 && i < units.length - 1) {
    v /= 1000;
    i += 1;
  }
  return `${i === 0 || v >= 100 ? Math.round(v) : v.toFixed(1)} ${units[i]}`;
}

/** plural(1, "gap") → "1 gap"; plural(2, "gap") → "2 gaps". */
export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;
