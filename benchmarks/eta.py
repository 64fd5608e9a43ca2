"""The time that ``logferry plan`` and ``logferry export`` reckon, against the time that the export takes.

    python -m benchmarks.eta                            3 searches per 10 s, about 48 of them: some three minutes
    python -m benchmarks.eta --limit 30 --period 2

``logferry doctor`` teaches the allowance first, in a process of its own; before that the plan says that it cannot know.
During the export the time to go is what the progress bar shows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.limited import DAY, environment, limited_sandbox, logferry
from logferry.cli.remaining import Remaining
from logferry.connection import connection_for
from logferry.opening import open_ferry
from logferry.publishing.results import SliceResult
from logferry.spec import load_exports
from logferry.window import Window, parse_instant


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, default=3)
    parser.add_argument("--period", type=int, default=10, help="seconds")
    parser.add_argument("--rows", type=int, default=40_000)
    options = parser.parse_args()
    window = ("--from", DAY[0], "--to", DAY[1])
    with (
        tempfile.TemporaryDirectory(prefix="logferry-eta-") as folder,
        limited_sandbox(
            options.limit, options.period, events_per_day=options.rows, page_rows=0, latency_s=0.3
        ) as (sandbox, noted),
    ):
        env = environment(sandbox, Path(folder), ["eta"])
        print(_run("plan", "eta", *window, env=env).splitlines()[-1])
        _run("doctor", "bench", "--kind", "datadog", env=env)
        planned = json.loads(_run("plan", "eta", *window, "--json", env=env))
        print(_run("plan", "eta", *window, env=env).splitlines()[-1])
        before = len(noted.asked)
        with patched(env):
            moments, took = _export(Window(parse_instant(DAY[0]), parse_instant(DAY[1])))
    refused = sum(not admitted for _, admitted in noted.asked[before:])
    print(f"searches planned {planned['requests']}, sent {len(noted.asked) - before}, refused {refused}")
    print(f"{'at':>8}  {'reckoned':>9}  {'true':>8}  {'off':>6}")
    for at, left in [(0.0, planned["eta_s"]), *moments[:: max(1, len(moments) // 8)]]:
        off = (at + left - took) / took
        print(f"{at:>6.0f} s  {at + left:>7.0f} s  {took:>6.0f} s  {off:>6.1%}")


class _Watching:
    """A ferry's progress that notes what is reckoned to remain, as the progress bar does."""

    def __init__(self) -> None:
        self.remaining: Remaining | None = None
        self.moments: list[tuple[float, float]] = []
        self.began = time.monotonic()

    def page(self, rows: int, body_bytes: int) -> None:
        assert self.remaining is not None
        self.remaining.page(rows)
        left_s = self.remaining.seconds()
        if left_s is not None:
            self.moments.append((time.monotonic() - self.began, left_s))

    def slice_done(self, result: SliceResult) -> None: ...


def _export(window: Window) -> tuple[list[tuple[float, float]], float]:
    """The export, as the command does it; what was reckoned at which second, and how long it took."""
    watching = _Watching()
    spec = load_exports().get("eta")
    with open_ferry(spec, connection_for, run_id="eta", progress=watching) as ferry:
        plan = ferry.plan(window)
        watching.remaining = Remaining(plan, ferry.forecast, ferry.most_in_flight)
        ferry.carry(window, plan=plan)
    return watching.moments, time.monotonic() - watching.began


@contextlib.contextmanager
def patched(env: dict[str, str]) -> Iterator[None]:
    """The variables of the commands, for this process too."""
    before = dict(os.environ)
    os.environ.update(env)
    tempfile.tempdir = env["TMPDIR"]
    try:
        yield
    finally:
        tempfile.tempdir = None
        os.environ.clear()
        os.environ.update(before)


def _run(*arguments: str, env: dict[str, str]) -> str:
    process = logferry(*arguments, env=env)
    out, errors = process.communicate()
    if process.returncode not in (0, 3):
        raise SystemExit(f"logferry {arguments[0]} failed ({process.returncode}): {errors[-2000:]}")
    return out


if __name__ == "__main__":
    main()
