"""``logferry export``: a range of an export to the lake, one publication per window of its schedule.

``--json``: ``{"export", "status", "windows": [manifest…]}``. ``status`` is the worst of the windows; where a window
was not published it is ``failed``, and ``"errors": [{"window": {"from", "to"}, "error", "exit_code"}]`` is added.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.table import Table

from logferry.audit.stretches import Stretches
from logferry.cli.options import AsJson, Export, From, To, export_range, run_id
from logferry.cli.output import console, number, print_json, say, size
from logferry.cli.plan import summary
from logferry.cli.progress import Watcher, watcher
from logferry.clock import SystemClock
from logferry.connection import connection_for
from logferry.convert.without_pandas import keep_pandas_out
from logferry.errors import LogferryError, ShortError, gravest
from logferry.ferry import Ferry, open_ferry
from logferry.proof.prove import BINS_DIFFER_NOTE
from logferry.proof.twins import DIFFER_NOTE
from logferry.records.manifest import Manifest, SliceEntry, Span, worst
from logferry.spec import ExportSpec, load_exports
from logferry.window import Window, format_instant
from logferry.wording import counted

log = logging.getLogger(__name__)


def export(
    export: Export,
    start: From,
    end: To,
    as_json: AsJson = False,
    allow_shrink: Annotated[
        bool,
        typer.Option(
            "--allow-shrink", help="Replace proven slices even where the source now holds fewer rows."
        ),
    ] = False,
    only_moved: Annotated[
        bool,
        typer.Option(
            "--only-moved",
            help="Count proven slices, and fetch only those whose count is no longer the published one.",
        ),
    ] = False,
) -> int:
    """Fetch, prove and publish a range; it is cut at the schedule's boundaries."""
    keep_pandas_out()
    spec = load_exports().get(export)
    window = export_range(spec, start, end, now=SystemClock().now())
    run = Carrying(as_json=as_json, allow_shrink=allow_shrink, only_moved=only_moved)
    carry_windows(spec, spec.schedule_windows(window), run)
    run.show(spec.name)
    return gravest(run.codes)


def carry_windows(spec: ExportSpec, windows: Iterable[Window], run: Carrying) -> None:
    """Export the windows one after the other, until the next one would fail the same way."""
    clock = SystemClock()
    with (
        watcher(sys.stderr if run.as_json else sys.stdout) as watching,
        open_ferry(spec, connection_for, clock=clock, run_id=run_id(clock.now()), progress=watching) as ferry,
    ):
        for window in windows:
            run.carry(ferry, window, watching)
            if run.hopeless:
                break


class Carrying:
    """The windows of one command, with what became of each."""

    def __init__(self, *, as_json: bool, allow_shrink: bool, only_moved: bool = False) -> None:
        self.as_json = as_json
        self._allow_shrink = allow_shrink
        self._only_moved = only_moved
        self._manifests: list[Manifest] = []
        self._errors: list[tuple[Window, str, int]] = []
        self.hopeless = False
        """The next window would fail the same way: wrong definition or credentials."""

    @property
    def codes(self) -> list[int]:
        short = [ShortError.exit_code for manifest in self._manifests if manifest.status == "short"]
        return short + [code for _, _, code in self._errors]

    def carry(self, ferry: Ferry, window: Window, watching: Watcher) -> None:
        with self._noted(window):
            plan = ferry.plan(window, only_moved=self._only_moved)
            say(summary(plan), stderr=True)
            watching.begin(plan, ferry.forecast, ferry.most_in_flight)
            self.published(ferry.carry(window, plan=plan, allow_shrink=self._allow_shrink))

    def published(self, manifest: Manifest) -> None:
        """One more window is done."""
        self._manifests.append(manifest)

    @contextmanager
    def _noted(self, window: Window) -> Iterator[None]:
        """An error of one window is kept, so that the others still run."""
        try:
            yield
        except LogferryError as error:
            self._errors.append((window, str(error), error.exit_code))
            self.hopeless = error.exit_code in (2, 4)
        except Exception as error:
            log.debug("unexpected", exc_info=True)
            self._errors.append((window, f"unexpected {type(error).__name__}: {error}", 1))

    def show(self, name: str) -> None:
        for window, text, _ in self._errors:
            # Many errors of a window name it themselves.
            say(f"logferry: {text}" if str(window) in text else f"logferry: {window}: {text}", stderr=True)
        for manifest in self._manifests:
            for entry in manifest.slices:
                if entry.status == "short":
                    say(f"logferry: {_short(entry)}", stderr=True)
            for text in _kept(name, manifest):
                say(f"logferry: {text}", stderr=True)
        if self.as_json:
            print_json(self.to_json(name))
        elif self._manifests:
            console().print(_table(self._manifests))

    def to_json(self, name: str) -> dict[str, Any]:
        statuses = [one.status for one in self._manifests] or ["proven"]
        status = "failed" if self._errors else worst(statuses)
        result: dict[str, Any] = {
            "export": name,
            "status": status,
            "windows": [manifest.to_json() for manifest in self._manifests],
        }
        if self._errors:
            result["errors"] = [
                {
                    "window": {"from": format_instant(window.start), "to": format_instant(window.end)},
                    "error": text,
                    "exit_code": code,
                }
                for window, text, code in self._errors
            ]
        return result


def _short(entry: SliceEntry) -> str:
    """What is wrong with a short slice and what to do about it."""
    numbers = f"{number(entry.rows)} rows written, {number(entry.source_rows)} counted at the source"
    text = f"[{entry.start}, {entry.end}) is short: {numbers}"
    if entry.rows != entry.source_rows:
        return f"{text}; export it again"
    if DIFFER_NOTE in entry.notes:
        return (
            f"{text}, but equal rows of one instant came under other ids each time they were asked for "
            f"({counted(entry.notes[DIFFER_NOTE], 'instant')}), so one row may stand in for another; export it "
            "again, and if it stays so, ask the vendor why ids change"
        )
    return (
        f"{text}, but they lie at other times than the source counts them "
        f"({counted(entry.notes.get(BINS_DIFFER_NOTE, 0), 'bin')} differ); export it again"
    )


def _kept(name: str, manifest: Manifest) -> Iterator[str]:
    """A sentence for the slices that stayed as published, and one more for those of another definition."""
    kept = [entry for entry in manifest.slices if entry.source_now is not None]
    fewer = [entry for entry in kept if entry.source_now is not None and entry.source_now < entry.rows]
    if fewer:
        now = sum(entry.source_now or 0 for entry in fewer)
        yield (
            f"{counted(len(fewer), 'slice')} of [{manifest.window.start}, {manifest.window.end}) kept as published: "
            f"{number(sum(entry.rows for entry in fewer))} proven rows, the source now gives {number(now)}"
        )
    others = [entry.window() for entry in kept if entry.fingerprint is not None]
    for window in Stretches(others):
        span = Span.of(window)
        yield (
            f"what is kept from {span.start} to {span.end} is of another definition; to replace it by what the present "
            f"one gives: logferry export {name} --from {span.start} --to {span.end} --allow-shrink (in Airflow the "
            "param allow_shrink)"
        )


def _at_source(manifest: Manifest) -> int | None:
    """What the source held when it was last asked: of a kept slice less, or more, than was written."""
    counts = [one.source_rows if one.source_now is None else one.source_now for one in manifest.slices]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _table(manifests: list[Manifest]) -> Table:
    table = Table("from", "to", "status", box=None, pad_edge=False)
    for title in ("at source", "written", "files", "size", "requests", "seq"):
        table.add_column(title, justify="right")
    kept = [sum(entry.source_now is not None for entry in one.slices) for one in manifests]
    if any(kept):
        table.add_column("")
    for one, stayed in zip(manifests, kept, strict=True):
        asked = sum(one.requests.get(purpose, 0) for purpose in ("search", "count", "schema"))
        table.add_row(
            one.window.start,
            one.window.end,
            one.status,
            number(_at_source(one)),
            number(one.rows),
            number(len(one.files)),
            size(sum(file.bytes for file in one.files)),
            number(asked),
            str(one.seq),
            *([f"{counted(stayed, 'slice')} kept" if stayed else ""] if any(kept) else []),
        )
    return table
