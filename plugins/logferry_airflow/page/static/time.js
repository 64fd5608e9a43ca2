// Times are UTC. Inside the page an instant is a whole number of seconds since 1970; on the wire it is ISO with Z.
export const MINUTE = 60;
export const HOUR = 3600;
export const DAY = 86400;

const pad = (n) => (n < 10 ? `0${n}` : String(n));

/** "2026-11-20T03:00:00Z" → seconds; null when it is no zoned ISO time. A bare date is its midnight. */
export function parse(text) {
  if (typeof text !== "string") return null;
  const zoned = /^\d{4}-\d\d-\d\d$/.test(text) ? text + "T00:00:00Z" : text;
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/.test(zoned)) return null;
  const ms = Date.parse(zoned);
  return Number.isNaN(ms) ? null : Math.floor(ms / 1000);
}

let dayNumber = NaN;
let dayText = "";

/** seconds → "2026-11-20". A calendar asks for the same day many times over, so the last one is kept. */
export function day(s) {
  const number = Math.floor(s / DAY);
  if (number !== dayNumber) {
    dayText = new Date(number * DAY * 1000).toISOString().slice(0, 10);
    dayNumber = number;
  }
  return dayText;
}

function clock(s) {
  const t = ((s % DAY) + DAY) % DAY;
  return `${pad(Math.floor(t / HOUR))}:${pad(Math.floor((t % HOUR) / MINUTE))}:${pad(t % MINUTE)}`;
}

/** seconds → "2026-11-20T03:00:00Z". */
export const iso = (s) => `${day(s)}T${clock(s)}Z`;

/** seconds or ISO → "2026-11-20 03:00", with seconds only where there are any. */
export function stamp(value) {
  const s = typeof value === "string" ? parse(value) : value;
  if (s === null || s === undefined) return "–";
  return `${day(s)} ${s % MINUTE ? clock(s) : clock(s).slice(0, 5)}`;
}

/** "2026-11-20 03:00 – 04:00", the second date only where it differs; whole days without clock times. */
export function range(from, to) {
  const a = typeof from === "string" ? parse(from) : from;
  const b = typeof to === "string" ? parse(to) : to;
  if (a === null || b === null) return `${stamp(from)} – ${stamp(to)}`;
  if (a % DAY === 0 && b % DAY === 0) {
    return b - a === DAY ? day(a) : `${day(a)} – ${day(b - DAY)} (${(b - a) / DAY} days)`;
  }
  const time = (s) => stamp(s).slice(11);
  if (day(a) === day(b)) return `${stamp(a)} – ${time(b)}`;
  if (b % DAY === 0 && day(a) === day(b - 1)) return `${stamp(a)} – 24:00`;
  return `${stamp(a)} – ${stamp(b)}`;
}

/** Seconds in words, two units at most: 5400 → "1 h 30 min". */
export function duration(seconds) {
  if (typeof seconds !== "number") return "–";
  let s = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [size, name] of [[DAY, "d"], [HOUR, "h"], [MINUTE, "min"], [1, "s"]]) {
    const n = Math.floor(s / size);
    if (n) parts.push(`${n} ${name}`);
    s -= n * size;
    if (parts.length === 2) break;
  }
  return parts.length ? parts.join(" ") : "0 s";
}

/** How far `value` is from `now`, roughly: "in 3 h", "12 min ago". */
export function away(value, now) {
  const s = typeof value === "string" ? parse(value) : value;
  if (s === null || s === undefined) return "–";
  const gap = Math.abs(s - now);
  const rough = gap < MINUTE ? "a moment" : duration(gap).split(" ").slice(0, 2).join(" ");
  return s > now ? `in ${rough}` : `${rough} ago`;
}

export const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Monday is 0. 1970-01-01 was a Thursday. */
export const weekday = (s) => (((Math.floor(s / DAY) + 3) % 7) + 7) % 7;

/** "Nov 20". */
export const monthDay = (s) => `${MONTHS[new Date(s * 1000).getUTCMonth()]} ${pad(new Date(s * 1000).getUTCDate())}`;

/** "November 2026" in short: "Nov 2026". */
export const month = (s) => `${MONTHS[new Date(s * 1000).getUTCMonth()]} ${new Date(s * 1000).getUTCFullYear()}`;

export const now = () => Math.floor(Date.now() / 1000);
