"""``python -m benchmarks``: measure Logferry beside its peers and write RESULTS.md, results.json and the chart.

A run of everything begins anew, once it is through. One of a part, or one that did not get to its end, replaces the
tables it measured and keeps the others, as long as the machine is the same.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench import Bench, say
from benchmarks.machine import this_machine
from benchmarks.pacing import Pace
from benchmarks.places import GROWTH as GROWTH_PICTURE
from benchmarks.places import PEER_PYTHON, RESULTS, ROOT, ROUNDS
from benchmarks.records import Records, continue_records, over
from benchmarks.report import report
from benchmarks.scenarios import APIS, GROWTH, PARTS, PEERS, REQUESTS, Choice

QUICK = Choice(
    parts=(PEERS, REQUESTS),
    rows=(10_000,),
    latencies_ms=(0, 100),
    rounds=1,
)


def main(argv: Sequence[str] | None = None) -> int:
    """0 when everything ran, whatever the results; 2 for a wrong command line."""
    options = _parser().parse_args(argv)
    choice = _choice(options)
    folder: Path | None = options.output or (ROOT / "build" / "bench" if options.quick else None)
    rounds_file = folder / ROUNDS.name if folder else ROUNDS
    results_file = folder / RESULTS.name if folder else RESULTS
    picture = folder / GROWTH_PICTURE.name if folder else GROWTH_PICTURE
    command = as_typed(sys.argv[1:] if argv is None else argv)
    machine = this_machine()
    whole = not (options.only or options.parts or options.rows or options.rounds or options.contestants)
    whole = whole and not (options.growth or options.hour_rows or options.long_rows)
    whole = whole and options.latency is None and not options.quick
    records = Records(machine.to_json()) if whole else continue_records(rounds_file, machine)
    bench = Bench(records, command, pace=Pace(patient=options.patient), limit_s=options.limit)
    began = time.monotonic()
    is_through = False
    try:
        bench.run(choice)
        is_through = True
    except KeyboardInterrupt:
        say("interrupted: what was measured so far is kept")
        return 130
    finally:
        if not is_through and whole:
            records = over(continue_records(rounds_file, machine), records)
        if records.found or records.texts or records.server:
            records.save(rounds_file)
            results_file.write_text(report(records), encoding="utf-8")
    if any(one.part == GROWTH for one in records.found.values()):
        drawing = [str(PEER_PYTHON), "-m", "benchmarks.chart", str(rounds_file), str(picture)]
        subprocess.run(drawing, cwd=ROOT, check=True)
    say(f"{results_file} after {time.monotonic() - began:.0f} s")
    return 0


def _choice(options: argparse.Namespace) -> Choice:
    base = QUICK if options.quick else Choice()
    growth = tuple(options.growth or base.growth) + ((10_000_000,) if options.largest else ())
    return Choice(
        parts=tuple(options.parts or base.parts),
        apis=(options.only,) if options.only else APIS,
        rows=tuple(options.rows or base.rows),
        latencies_ms=tuple(options.latency if options.latency is not None else base.latencies_ms),
        rounds=options.rounds or base.rounds,
        contestants=tuple(options.contestants or ()),
        growth=growth,
        hour_rows=tuple(options.hour_rows or base.hour_rows),
        long_rows=tuple(options.long_rows or base.long_rows),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about two minutes, into build/bench")
    parser.add_argument("--only", choices=APIS, help="one API")
    parser.add_argument("--parts", type=_parts, metavar="A,B", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--rows", type=_numbers, metavar="N,N", help="sizes; default: 200000,1000000")
    parser.add_argument("--rounds", type=int, metavar="N", help="default: 3")
    parser.add_argument("--latency", type=_numbers, metavar="MS,MS", help="of each request; default: 0,100")
    parser.add_argument(
        "--contestants",
        type=_words,
        metavar="A,B",
        help="their files' names, such as logferry,datadog_careful",
    )
    parser.add_argument(
        "--growth", type=_numbers, metavar="N,N", help="rows of its points; default: 10000,100000,1000000"
    )
    parser.add_argument(
        "--hour-rows", type=_numbers, metavar="N,N", help="rows in one hour; default: 100000,1000000"
    )
    parser.add_argument("--long-rows", type=_numbers, metavar="N,N", help="rows of 1 MB; default: 200,2000")
    parser.add_argument("--largest", action="store_true", help="the growth chart up to 10,000,000 rows")
    parser.add_argument(
        "--patient", action="store_true", help="every round of every contestant, however slow"
    )
    parser.add_argument(
        "--limit", type=float, default=1800.0, metavar="S", help="stop a round after; default: 1800"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: benchmarks, and docs/images")
    return parser


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    try:
        found = [int(word.replace("_", "")) for word in _words(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"whole numbers with commas between, not {text!r}") from None
    if not found or min(found) < 0:
        raise argparse.ArgumentTypeError(f"whole numbers from 0 with commas between, not {text!r}")
    return found


def _parts(text: str) -> list[str]:
    found = _words(text)
    if unknown := [word for word in found if word not in PARTS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is no part; there are {', '.join(PARTS)}")
    return found


def as_typed(arguments: Sequence[str]) -> str:
    """The command of this run, without where it put its results."""
    kept = [
        word
        for before, word in zip(["", *arguments], arguments, strict=False)
        if "--output" not in (before, word.partition("=")[0])
    ]
    return f"make bench ARGS={shlex.quote(shlex.join(kept))}" if kept else "make bench"


if __name__ == "__main__":
    sys.exit(main())
