"""Where the time of an export goes: samples of a running ``logferry export``, taken from outside by py-spy.

py-spy stops the process for an instant a few hundred times a second and notes what each busy thread is at. Waiting
threads are not counted, so a share is a share of the CPU time; threads that Arrow starts itself are not seen.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
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
_WAITS = (" (threading.py)", "_worker (concurrent/futures/thread.py)")
"""Innermost functions of threads that wait for others: py-spy takes some of them for busy."""
_START = "start: imports"
_OTHER = "other: plan, proof, publication, command line"
_STAGES = {
    "HTTP: requests, bodies, budget": (
        *(
            "logferry/http.py",
            "logferry/body.py",
            "logferry/wire.py",
            "logferry/budget/",
            "logferry/credentials/",
        ),
        *("requests/", "urllib3/", "http/", "socket.py", "ssl.py", "selectors.py"),
    ),
    "decode: JSON to Arrow": ("logferry/convert/", "logferry/sources/"),
    "sort and hash": ("logferry/fetching/rows.py", "logferry/writing/row_hash.py"),
    "Parquet, checksums, disk": ("logferry/writing/", "logferry/stores/", "pyarrow/parquet/"),
    "hand-over between threads and processes": ("logferry/fetching/", "multiprocessing/"),
}
"""By where a function's file begins; the first that fits."""


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
            "--subprocesses",
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
    """Two tables: the share of samples by stage, and, imports apart, by function: in it and in what it called."""
    stages: Counter[str] = Counter()
    own: Counter[str] = Counter()
    cumulative: Counter[str] = Counter()
    waiting = 0
    for frames, count in stacks:
        functions = [function_of(frame) for frame in frames if not frame.startswith(("thread ", "process "))]
        if not functions:
            continue
        if functions[-1].endswith(_WAITS):
            waiting += count
            continue
        stage = stage_of(functions)
        stages[stage] += count
        if stage == _START:
            continue
        own[functions[-1]] += count
        for name in set(functions):
            cumulative[name] += count
    total, working = stages.total(), own.total()
    if not total:
        return "No profile: not one sample was taken.\n"
    by_stage = [
        [stage, _share(count, total), "" if stage == _START else _share(count, working)]
        for stage, count in stages.most_common()
    ]
    by_function = [
        [f"`{name}`", _share(count, working), _share(cumulative[name], working)]
        for name, count in own.most_common(top)
    ]
    return "\n".join(
        [
            f"{total:,} samples of busy threads; {waiting:,} more at a lock or an empty queue are left out.\n",
            table(["stage", "share", "share without imports"], by_stage),
            table(["function, imports apart", "itself", "with what it calls"], by_function),
        ]
    )


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %"


def stage_of(functions: Sequence[str]) -> str:
    """The stage that the innermost function of a known file belongs to; ``functions``: outermost first."""
    if any("importlib" in name for name in functions):
        return _START
    for name in reversed(functions):
        path = name.rpartition(" (")[2].rstrip(")")
        for stage, starts in _STAGES.items():
            if path.startswith(starts):
                return stage
    return _OTHER


def function_of(frame: str) -> str:
    """``name (logferry/http.py)`` of ``name (/long/way/logferry/http.py:12)``: a function, not a line of it."""
    name, _, place = frame.rpartition(" (")
    path = place.rstrip(")").rpartition(":")[0] or place.rstrip(")")
    for start in ("site-packages/", "include/", "lib/python"):
        path = path.rpartition(start)[2]
    return f"{name} ({path})"
