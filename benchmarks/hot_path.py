"""Where the time of an export goes: samples of a running ``logferry export``, taken from outside by py-spy.

py-spy stops the process for an instant a few hundred times a second and notes what each busy thread is at. Waiting
threads are not counted, so a share is a share of the CPU time.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from benchmarks.measure import run_measured
from benchmarks.places import PEER_PYTHON
from benchmarks.report import table
from benchmarks.rounds import command_of, environment, prepare
from benchmarks.scenarios import LOGFERRY, Scenario
from benchmarks.server import Sandbox

_TOP = 20
_RATE = 250
_LIMIT_S = 900.0


def profile(scenario: Scenario, server: Sandbox) -> str:
    """A Markdown table of the functions that an export spends its CPU time in, or why there is none."""
    with tempfile.TemporaryDirectory(prefix="logferry-bench-") as scratch:
        folder = Path(scratch)
        prepare(folder, LOGFERRY, scenario, server)
        samples = folder / "samples"
        spy = [
            str(PEER_PYTHON.with_name("py-spy")),
            "record",
            "--format",
            "raw",
            "--rate",
            str(_RATE),
            "--threads",
        ]
        command = [*spy, "--output", str(samples), "--", *command_of(LOGFERRY, folder)]
        watched = run_measured(command, folder=folder, environment=environment(folder), limit_s=_LIMIT_S)
        if watched.code is None:
            return f"No profile: the export was stopped after {_LIMIT_S:,.0f} s.\n"
        if not samples.exists():
            return f"No profile: py-spy could not watch the process ({watched.last_words}).\n"
        stacks = list(read_stacks(samples.read_text(encoding="utf-8").splitlines()))
    return shares(stacks)


def read_stacks(lines: Iterable[str]) -> Iterable[tuple[list[str], int]]:
    """``outermost;…;innermost count`` of each line."""
    for line in lines:
        frames, _, count = line.rpartition(" ")
        yield frames.split(";"), int(count)


def shares(stacks: Iterable[tuple[list[str], int]], *, top: int = _TOP) -> str:
    """By function: the share of samples that were in it, and of those in it or in what it called."""
    own: Counter[str] = Counter()
    cumulative: Counter[str] = Counter()
    total = 0
    for frames, count in stacks:
        functions = [function_of(frame) for frame in frames if not frame.startswith(("thread ", "process "))]
        if not functions:
            continue
        total += count
        own[functions[-1]] += count
        for name in set(functions):
            cumulative[name] += count
    if not total:
        return "No profile: not one sample was taken.\n"
    rows = [
        [f"`{name}`", f"{100 * count / total:.1f} %", f"{100 * cumulative[name] / total:.1f} %"]
        for name, count in own.most_common(top)
    ]
    return f"{total:,} samples of busy threads.\n\n" + table(
        ["function", "itself", "with what it calls"], rows
    )


def function_of(frame: str) -> str:
    """``name (logferry/http.py)`` of ``name (/long/way/logferry/http.py:12)``: a function, not a line of it."""
    name, _, place = frame.rpartition(" (")
    path = place.rstrip(")").rpartition(":")[0] or place.rstrip(")")
    for start in ("site-packages/", "include/", "lib/python"):
        path = path.rpartition(start)[2]
    return f"{name} ({path})"
