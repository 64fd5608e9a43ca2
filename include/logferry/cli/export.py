"""``logferry export``: a range of an export to the lake, one publication per window of its schedule.

``--json``: ``{"export", "status", "windows": [manifest…]}``. ``status`` is the worst of the windows; where a window
was not published it is ``failed``, and ``"errors": [{"window": {"from", "to"}, "error", "exit_code"}]`` is added.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Annotated, Any

import typer

from logferry.cli.narrow import lines_on_stderr
from logferry.cli.options import AsJson, Export, From, To, export_range, run_id
from logferry.cli.output import print_json, say
from logferry.cli.progress import Watcher, watcher
from logferry.cli.remarks import kept_lines, short_lines, summary
from logferry.clock import SystemClock
from logferry.connection import connection_for
from logferry.convert.without_pandas import keep_pandas_out
from logferry.errors import LogferryError, ShortError, gravest
from logferry.ferry import Ferry
from logferry.mate import Mate, spare_mate
from logferry.opening import open_ferry
from logferry.records.manifest import Manifest, worst
from logferry.spec import ExportSpec, load_exports
from logferry.window import Window, format_instant
from logferry.writing.work_folder import work_folder

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


def carry_windows(spec: ExportSpec, windows: Sequence[Window], run: Carrying) -> None:
    """Export the windows one after the other, until the next one would fail the same way."""
    clock = SystemClock()
    open_run = partial(open_ferry, spec, connection_for, clock=clock, run_id=run_id(clock.now()))
    with (
        # Here, so that nothing of a mate stays, whatever becomes of it.
        work_folder(None) as folder,
        spare_mate(lambda progress: open_run(progress=progress, workdir=folder)) or nullcontext() as mate,
        watcher(sys.stderr if run.as_json else sys.stdout) as watching,
        open_run(progress=watching, workdir=folder) as ferry,
    ):
        for place, window in enumerate(windows, start=1):
            run.carry(
                ferry, window, watching, mate, place=f"{place} of {len(windows)}" if len(windows) > 1 else ""
            )
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
        self._lake: str | None = None
        self.hopeless = False
        """The next window would fail the same way: wrong definition or credentials."""

    @property
    def codes(self) -> list[int]:
        short = [ShortError.exit_code for manifest in self._manifests if manifest.status == "short"]
        return short + [code for _, _, code in self._errors]

    def carry(
        self, ferry: Ferry, window: Window, watching: Watcher, mate: Mate | None, *, place: str
    ) -> None:
        """Plan, fetch, prove and publish one window; ``place``: which of how many, for people."""
        self._lake = ferry.store.url
        with self._noted(window):
            plan = ferry.plan(window, only_moved=self._only_moved)
            for line in lines_on_stderr(summary(plan)):
                say(line, stderr=True)
            watching.begin(plan, ferry.forecast, ferry.most_in_flight, place)
            self.published(ferry.carry(window, plan=plan, allow_shrink=self._allow_shrink, mate=mate))

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
            for text in kept_lines(name, manifest):
                say(f"logferry: {text}", stderr=True)
        for text in short_lines(name, self._manifests):
            say(f"logferry: {text}", stderr=True)
        if self.as_json:
            print_json(self.to_json(name))
        elif self._manifests:
            from logferry.cli.published import show_published  # Rich, which --json does without

            show_published(self._manifests, self._lake, failed=len(self._errors))

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
