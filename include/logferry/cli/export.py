"""``logferry export``: a range of an export to the lake, one publication per window of its schedule.

``--json``: ``{"export", "status", "windows": [manifest…]}``. ``status`` is the worst of the windows; where a window
was not published it is ``failed``, and ``"errors": [{"window": {"from", "to"}, "error", "exit_code"}]`` is added.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.table import Table

from logferry.cli.options import AsJson, Export, From, To, export_range, run_id
from logferry.cli.output import console, number, print_json, say, size
from logferry.cli.plan import summary
from logferry.cli.progress import Watcher, watcher
from logferry.clock import SystemClock
from logferry.connection import connection_for
from logferry.errors import LogferryError, ShortError, gravest
from logferry.ferry import Ferry, open_ferry
from logferry.manifest import Manifest, worst
from logferry.spec import load_exports
from logferry.window import Window, format_instant

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
) -> int:
    """Fetch, prove and publish a range; it is cut at the schedule's boundaries."""
    spec = load_exports().get(export)
    clock = SystemClock()
    window = export_range(spec, start, end, now=clock.now())
    run = _Run(as_json=as_json, allow_shrink=allow_shrink)
    with (
        watcher(sys.stderr if as_json else sys.stdout) as watching,
        open_ferry(spec, connection_for, clock=clock, run_id=run_id(clock.now()), progress=watching) as ferry,
    ):
        for piece in spec.schedule_windows(window):
            run.carry(ferry, piece, watching)
            if run.hopeless:
                break
    run.show(spec.name)
    return gravest(run.codes)


class _Run:
    """The windows of one command, with what became of each."""

    def __init__(self, *, as_json: bool, allow_shrink: bool) -> None:
        self._as_json = as_json
        self._allow_shrink = allow_shrink
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
            plan = ferry.plan(window)
            say(summary(plan), stderr=True)
            watching.begin(plan)
            self._manifests.append(ferry.carry(window, plan=plan, allow_shrink=self._allow_shrink))

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
            say(f"logferry: {window}: {text}", stderr=True)
        for manifest in self._manifests:
            for entry in manifest.slices:
                if entry.status == "short":
                    say(
                        f"logferry: [{entry.start}, {entry.end}) is short: {number(entry.rows)} rows "
                        "written, "
                        f"{number(entry.source_rows)} counted at the source; export it again",
                        stderr=True,
                    )
        if self._as_json:
            print_json(self._json(name))
        elif self._manifests:
            console().print(_table(self._manifests))

    def _json(self, name: str) -> dict[str, Any]:
        status = "failed" if self._errors else worst([one.status for one in self._manifests])
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


def _table(manifests: list[Manifest]) -> Table:
    table = Table("from", "to", "status", box=None, pad_edge=False)
    for title in ("at source", "written", "files", "size", "requests", "seq"):
        table.add_column(title, justify="right")
    for one in manifests:
        asked = sum(one.requests.get(purpose, 0) for purpose in ("search", "count", "schema"))
        table.add_row(
            one.window.start,
            one.window.end,
            one.status,
            number(one.source_rows),
            number(one.rows),
            number(len(one.files)),
            size(sum(file.bytes for file in one.files)),
            number(asked),
            str(one.seq),
        )
    return table
