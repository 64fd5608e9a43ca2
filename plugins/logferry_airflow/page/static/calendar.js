// The calendar: days by slices of the day as one grid for pointer, keyboard and screen reader.
// Plain DOM under one preact node: a year of hours is 8,760 cells, and only cells that changed are touched again.
import { html, useEffect, useLayoutEffect, useMemo, useRef } from "./vendor/htm/standalone.module.js";
import { beforeFirst, layout } from "./cells.js";
import { STATES } from "./states.js";
import { count, plural } from "./text.js";
import { DAY, day, HOUR, iso, month, monthDay, range, stamp, WEEKDAYS, weekday } from "./time.js";

const ROW_PX = 18; // a cell and the gap below it, as in the style sheet
const TITLE_PX = 24;

class Grid {
  constructor(host, calls) {
    this.host = host;
    this.calls = calls;
    this.cellsByUnit = [];
    this.at = -1; // the cell that has the tab stop
    this.anchor = -1; // where a selection began
    this.picked = null; // [first, last] units, both included
    this.dragging = false;
    host.addEventListener("keydown", (event) => this.key(event));
    host.addEventListener("pointerdown", (event) => this.press(event));
    host.addEventListener("click", (event) => this.tap(event));
    host.addEventListener("pointerover", (event) => this.hover(event));
    host.addEventListener("focusin", (event) => this.focused(event));
    this.release = () => (this.dragging = false);
    addEventListener("pointerup", this.release);
    addEventListener("pointercancel", this.release);
  }

  destroy() {
    clearTimeout(this.later);
    removeEventListener("pointerup", this.release);
    removeEventListener("pointercancel", this.release);
  }

  show(cells, plan) {
    const before = this.plan;
    this.cells = cells;
    this.plan = plan;
    const sameShape =
      before && before.units.length === plan.units.length && before.unit === plan.unit && before.units[0]?.from === plan.units[0]?.from;
    if (sameShape) this.refresh();
    else this.build();
  }

  /** Lays out the months at once and fills the newest; the others follow while the browser has nothing better to do. */
  build() {
    const { units, columns } = this.plan;
    clearTimeout(this.later);
    this.cellsByUnit = new Array(units.length);
    this.months = [];
    this.anchor = -1;
    this.picked = null;
    const body = document.createDocumentFragment();
    body.append(this.head());
    units.forEach((unit, i) => {
      const name = month(this.rowDay(unit));
      let last = this.months.at(-1);
      if (!last || (last.name !== name && units[i - 1].row !== unit.row)) {
        last = { name, first: i, end: i, filled: false, group: element("div", "cal-month", { role: "rowgroup" }) };
        this.months.push(last);
        body.append(last.group);
      }
      last.end = i + 1;
    });
    for (const one of this.months) {
      const rows = units[one.end - 1].row - units[one.first].row + 1;
      one.group.style.minHeight = `${rows * ROW_PX + TITLE_PX}px`;
      one.group.style.containIntrinsicSize = `auto none auto ${rows * ROW_PX + TITLE_PX}px`;
    }
    this.host.style.setProperty("--columns", String(columns));
    this.host.setAttribute("aria-rowcount", String((units.at(-1)?.row ?? 0) + 2));
    this.host.setAttribute("aria-colcount", String(columns + 1));
    this.host.replaceChildren(body);
    this.at = this.firstStop();
    for (const one of this.months.slice(-2)) this.fill(one);
    if (this.at >= 0) this.cell(this.at).tabIndex = 0;
    // The newest rows are what people come for.
    this.host.scrollTop = this.host.scrollHeight;
    const next = () => {
      const waiting = this.months.findLast((one) => !one.filled);
      if (!waiting) return;
      this.fill(waiting);
      this.later = setTimeout(next, 8);
    };
    this.later = setTimeout(next, 30);
  }

  rowDay(unit) {
    return Math.max(this.plan.rowStart(unit.row), Math.floor(unit.from / DAY) * DAY);
  }

  fill(one) {
    const { units, span } = this.plan;
    one.filled = true;
    const title = element("div", "cal-monthname", { "aria-hidden": "true" });
    title.append(element("span", "", {}, one.name));
    const body = document.createDocumentFragment();
    body.append(title);
    let row = null;
    let rowAt = -1;
    for (let i = one.first; i < one.end; i += 1) {
      const unit = units[i];
      if (unit.row !== rowAt) {
        rowAt = unit.row;
        row = element("div", "cal-row", { role: "row", "aria-rowindex": String(unit.row + 2) });
        row.append(rowHeader(this.rowDay(unit), span));
        body.append(row);
      }
      const cell = document.createElement("span");
      cell.setAttribute("role", "gridcell");
      cell.tabIndex = -1;
      cell.dataset.i = i;
      cell.dataset.from = iso(unit.from);
      cell.setAttribute("aria-colindex", String(unit.column + 2));
      if (row.childElementCount === 1 && unit.column) cell.style.gridColumnStart = String(unit.column + 2);
      this.cellsByUnit[i] = cell;
      this.paint(i);
      row.append(cell);
    }
    one.group.replaceChildren(body);
    one.group.style.minHeight = "";
  }

  /** The element of a unit, made now if its month was not yet. */
  cell(i) {
    if (!this.cellsByUnit[i]) this.fill(this.months.find((one) => i >= one.first && i < one.end));
    return this.cellsByUnit[i];
  }

  /** The tab stop to begin with: the newest cell that is due. */
  firstStop() {
    const { units } = this.plan;
    for (let i = units.length - 1; i >= 0; i -= 1) if (units[i].letter !== "N") return i;
    return units.length - 1;
  }

  head() {
    const { columns, unit, span } = this.plan;
    const row = element("div", "cal-row cal-head", { role: "row", "aria-rowindex": "1" });
    row.append(element("span", "cal-day", { role: "columnheader" }, span === DAY ? "day" : "week"));
    for (let c = 0; c < columns; c += 1) {
      const offset = c * unit;
      const within = offset % DAY;
      let name = "";
      let full;
      if (span === DAY) {
        full = clock(offset);
        if (unit >= HOUR ? columns <= 12 || c % 3 === 0 : offset % (3 * HOUR) === 0) name = full.slice(0, 2);
      } else {
        const weekdayName = WEEKDAYS[Math.floor(offset / DAY)];
        full = within ? `${weekdayName} ${clock(within)}` : weekdayName;
        name = within ? "" : weekdayName;
      }
      const hour = element("span", "cal-hour", { role: "columnheader" }, name);
      if (name !== full) hour.replaceChildren(element("span", "", { "aria-hidden": "true" }, name), element("span", "sr-only", {}, full));
      row.append(hour);
    }
    return row;
  }

  refresh() {
    for (let i = 0; i < this.cellsByUnit.length; i += 1) if (this.cellsByUnit[i]) this.paint(i);
  }

  paint(i) {
    const unit = this.plan.units[i];
    const cell = this.cellsByUnit[i];
    const noted = hasMark(this.cells, unit);
    const label = describe(this.cells, unit);
    if (cell.dataset.state === unit.letter && cell.getAttribute("aria-label") === label) return;
    cell.className = `c s-${unit.letter}${noted ? " noted" : ""}${beforeFirst(this.cells, unit) ? " before" : ""}${this.isPicked(i) ? " sel" : ""}`;
    cell.dataset.state = unit.letter;
    cell.setAttribute("aria-label", label);
    if (this.isPicked(i)) cell.setAttribute("aria-selected", "true");
  }

  isPicked(i) {
    return this.picked !== null && i >= this.picked[0] && i <= this.picked[1];
  }

  /** Marks the selection [from, to) in seconds, or none. */
  select(selection) {
    const before = this.picked;
    this.picked = null;
    if (selection) {
      const { units } = this.plan;
      const first = units.findIndex((unit) => unit.to > selection.from);
      let last = first;
      while (last >= 0 && last + 1 < units.length && units[last + 1].from < selection.to) last += 1;
      if (first >= 0 && units[first].from < selection.to) this.picked = [first, last];
    }
    const touched = [before, this.picked].filter(Boolean);
    const low = Math.min(...touched.map((p) => p[0]));
    const high = Math.max(...touched.map((p) => p[1]));
    for (let i = low; i <= high; i += 1) {
      const on = this.isPicked(i);
      const cell = this.cellsByUnit[i];
      if (!cell || cell.classList.contains("sel") === on) continue;
      cell.classList.toggle("sel", on);
      if (on) cell.setAttribute("aria-selected", "true");
      else cell.removeAttribute("aria-selected");
    }
    if (!selection) this.anchor = -1;
  }

  /** Brings the cell at `from` into view, makes it the tab stop and shows its details. */
  scrollTo(from) {
    const i = this.plan.units.findIndex((unit) => unit.to > from);
    if (i < 0) return;
    this.stop(i);
    this.cell(i).scrollIntoView({ block: "nearest" });
    this.calls.onInspect(this.plan.units[i]);
  }

  stop(i) {
    if (this.at >= 0 && this.cellsByUnit[this.at]) this.cellsByUnit[this.at].tabIndex = -1;
    this.at = i;
    this.cell(i).tabIndex = 0;
  }

  focus(i = this.at) {
    if (i < 0 || i >= this.cellsByUnit.length) return;
    this.stop(i);
    this.cell(i).focus();
  }

  indexOf(event) {
    const cell = event.target.closest?.("[data-i]");
    return cell && this.host.contains(cell) ? Number(cell.dataset.i) : -1;
  }

  choose(a, b) {
    const { units } = this.plan;
    const [low, high] = a < b ? [a, b] : [b, a];
    this.calls.onSelect({ from: units[low].from, to: units[high].to });
  }

  press(event) {
    const i = this.indexOf(event);
    if (i < 0 || event.button !== 0 || event.pointerType === "touch") return;
    if (event.shiftKey && this.at >= 0) {
      if (this.anchor < 0) this.anchor = this.at;
      event.preventDefault();
      this.focus(i);
    } else {
      this.anchor = this.begin(i);
      this.dragging = true;
    }
    this.choose(this.anchor, i);
  }

  /** A finger scrolls by moving, so it selects by a tap. */
  tap(event) {
    const i = this.indexOf(event);
    if (i >= 0 && event.pointerType === "touch") this.choose(this.begin(i), i);
  }

  begin(i) {
    return this.calls.extending() && this.picked ? this.picked[0] : i;
  }

  hover(event) {
    const i = this.indexOf(event);
    if (i < 0) return;
    this.calls.onInspect(this.plan.units[i]);
    if (this.dragging && event.buttons & 1 && this.anchor >= 0) this.choose(this.anchor, i);
  }

  focused(event) {
    const i = this.indexOf(event);
    if (i < 0) return;
    if (i !== this.at) this.stop(i);
    this.calls.onInspect(this.plan.units[i]);
  }

  key(event) {
    const { units } = this.plan;
    const i = this.at;
    if (i < 0 || event.altKey) return;
    let to = null;
    const ends = event.ctrlKey || event.metaKey;
    if (event.key === "ArrowLeft") to = i - 1;
    else if (event.key === "ArrowRight") to = i + 1;
    else if (event.key === "ArrowUp") to = this.vertical(i, -1);
    else if (event.key === "ArrowDown") to = this.vertical(i, 1);
    else if (event.key === "PageUp") to = this.vertical(i, -7);
    else if (event.key === "PageDown") to = this.vertical(i, 7);
    else if (event.key === "Home") to = ends ? 0 : units.findIndex((unit) => unit.row === units[i].row);
    else if (event.key === "End") to = ends ? units.length - 1 : units.findLastIndex((unit) => unit.row === units[i].row);
    else if (event.key === " ") {
      this.anchor = i;
      this.choose(i, i);
    } else if (event.key === "Enter") this.calls.onOpen(units[i]);
    else if (event.key === "Escape") this.calls.onSelect(null);
    else return;
    event.preventDefault();
    if (to === null) return;
    to = Math.max(0, Math.min(units.length - 1, to));
    if (event.shiftKey) {
      if (this.anchor < 0) this.anchor = i;
      this.focus(to);
      this.choose(this.anchor, to);
    } else {
      this.anchor = -1;
      this.focus(to);
    }
  }

  /** The cell in the same column `rows` further down; the nearest there is at the edges. */
  vertical(i, rows) {
    const { units } = this.plan;
    const want = units[i].from + rows * this.plan.span;
    if (want < units[0].from) return rows < -1 ? 0 : i;
    const guess = units.findLastIndex((unit) => unit.from <= want);
    return want >= units.at(-1).to ? (rows > 1 ? units.length - 1 : i) : guess;
  }
}

function element(tag, name, attributes, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function rowHeader(start, span) {
  const header = element("span", "cal-day", { role: "rowheader" });
  if (span === DAY) {
    header.setAttribute("aria-label", `${WEEKDAYS[weekday(start)]} ${day(start)}`);
    header.append(element("span", "wd", {}, WEEKDAYS[weekday(start)]), ` ${day(start).slice(8)}`);
    if (weekday(start) >= 5) header.classList.add("weekend");
  } else {
    header.setAttribute("aria-label", `week of ${day(start)}`);
    header.textContent = monthDay(start);
  }
  return header;
}

const clock = (s) => `${String(Math.floor(s / HOUR)).padStart(2, "0")}:${String(Math.floor((s % HOUR) / 60)).padStart(2, "0")}`;

/** Whether the API noted something on one of the unit's slices, such as late rows: a corner of the cell shows it. */
function hasMark(cells, unit) {
  for (let i = unit.first; i < unit.last; i += 1) if (cells.marks[i]?.length) return true;
  return false;
}

/** A cell in words, for screen readers: "2026-11-20 03:00 – 04:00, proven, 3,210 rows". */
export function describe(cells, unit) {
  const parts = [unit.to - unit.from === DAY ? day(unit.from) : `${stamp(unit.from)} to ${stamp(unit.to).slice(11)}`];
  if (unit.last - unit.first > 1) {
    const odd = {};
    for (let i = unit.first; i < unit.last; i += 1) odd[cells.letters[i]] = (odd[cells.letters[i]] ?? 0) + 1;
    parts.push(Object.entries(odd).map(([letter, n]) => `${n} ${STATES[letter]?.name ?? "unknown"}`).join(", "));
  } else {
    parts.push(STATES[unit.letter].name);
    if (typeof cells.rows[unit.first] === "number") parts.push(plural(cells.rows[unit.first], "row"));
    if (beforeFirst(cells, unit)) parts.push("before the first publication");
    if (unit.letter === "S") parts.push(`${count(cells.source[unit.first])} at the source`);
  }
  return parts.join(", ");
}

/**
 * The grid. `selection` is {from, to} in seconds or null; `onSelect` gets the same; `onInspect` a unit under the pointer
 * or the focus; `onOpen` the unit of the Enter key; `extending()` whether the next press goes on with the selection.
 * `handle` (a ref) gets {focus(), scrollTo(seconds)}.
 */
export function Calendar({ cells, selection, onSelect, onInspect, onOpen, extending, handle, name }) {
  const host = useRef(null);
  const grid = useRef(null);
  const calls = useRef({});
  Object.assign(calls.current, { onSelect, onInspect, onOpen, extending });
  const plan = useMemo(() => layout(cells), [cells]);
  useLayoutEffect(() => {
    const late = (call) => (value) => calls.current[call](value);
    grid.current = new Grid(host.current, { onSelect: late("onSelect"), onInspect: late("onInspect"), onOpen: late("onOpen"), extending: late("extending") });
    if (handle) handle.current = { focus: () => grid.current.focus(), scrollTo: (from) => grid.current.scrollTo(from) };
    return () => grid.current.destroy();
  }, []);
  useLayoutEffect(() => {
    performance.mark("calendar-start");
    grid.current.show(cells, plan);
    grid.current.select(selection);
    performance.measure("calendar", "calendar-start");
  }, [cells, plan]);
  useEffect(() => grid.current.select(selection), [selection]);
  const what = plan.unit === cells.slice ? "slices" : "hours, each with the gravest state of its slices";
  return html`<div ref=${host} class=${`cal ${plan.columns > 30 ? "fine" : ""}`} role="grid" tabindex="-1" aria-multiselectable="true" data-testid="calendar"
    aria-label=${`Coverage of ${name}, ${range(cells.from, cells.to)}: ${plan.span === DAY ? "days" : "weeks"} by ${what}`} aria-describedby="cal-help"></div>`;
}
