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
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import minimum_answers
from benchmarks.hot_path import profile
from benchmarks.machine import this_machine
from benchmarks.pacing import Pace
from benchmarks.places import GROWTH as GROWTH_PICTURE
from benchmarks.places import PEER_PYTHON, PRODUCT_PYTHON, RESULTS, ROOT, ROUNDS
from benchmarks.records import Record, Records, continue_records, over
from benchmarks.report import megabytes, report
from benchmarks.rounds import run_round, warm_up
from benchmarks.scenarios import (
    APIS,
    DAY,
    GROWTH,
    LOGFERRY,
    PARTS,
    PEERS,
    PROFILE,
    REQUESTS,
    Choice,
    Scenario,
    scenarios,
)
from benchmarks.server import Sandbox

QUICK = Choice(
    parts=(PEERS, REQUESTS),
    rows=(10_000,),
    latencies_ms=(0, 100),
    rounds=1,
)
AZURE_ROWS_AN_ANSWER = 500_000
AZURE_BYTES_AN_ANSWER = 64_000_000
DATADOG_ROWS_AN_ANSWER = 1000
_STAGES = ["-m", "benchmarks.stages"]
_SANDBOX_RATE = ["-m", "logferry_sandbox.rate", "--generated", "0"]


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
    whole = whole and options.latency is None and not options.quick
    records = Records(machine.to_json()) if whole else continue_records(rounds_file, machine)
    bench = Bench(records, command, pace=Pace(patient=options.patient), limit_s=options.limit)
    began = time.monotonic()
    is_through = False
    try:
        bench.run(choice)
        is_through = True
    except KeyboardInterrupt:
        _say("interrupted: what was measured so far is kept")
        return 130
    finally:
        if not is_through and whole:
            records = over(continue_records(rounds_file, machine), records)
        if records.found or records.texts:
            records.save(rounds_file)
            results_file.write_text(report(records), encoding="utf-8")
    if any(one.part == GROWTH for one in records.found.values()):
        drawing = [str(PEER_PYTHON), "-m", "benchmarks.chart", str(rounds_file), str(picture)]
        subprocess.run(drawing, cwd=ROOT, check=True)
    _say(f"{results_file} after {time.monotonic() - began:.0f} s")
    return 0


class Bench:
    """Runs what is chosen and puts it into ``records``."""

    def __init__(self, records: Records, command: str, *, pace: Pace, limit_s: float) -> None:
        self._records = records
        self._command = command
        self._pace = pace
        self._limit_s = limit_s

    def run(self, choice: Choice) -> None:
        wanted = list(scenarios(choice))
        contestants = {one for scenario in wanted for one in scenario.contestants}
        for contestant in sorted(contestants, key=lambda one: one.module):
            warm_up(contestant)
        for scenario in wanted:
            self._measure(scenario)
        if PROFILE in choice.parts:
            for api in choice.apis:
                self._profile(api, min(choice.rows))
            self._program("The stages by themselves, on one core", _STAGES)
            self._program("The server by itself", [*_SANDBOX_RATE, "--rows", str(min(choice.rows))])

    def _measure(self, scenario: Scenario) -> None:
        _say(f"{scenario.key}:")
        record = Record(
            key=scenario.key,
            part=scenario.part,
            api=scenario.api,
            rows=scenario.rows,
            latency_ms=scenario.latency_ms,
            title=scenario.title,
            held=scenario.held,
            event_bytes=scenario.event_bytes,
            command=self._command,
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        with Sandbox(
            scenario.api, scenario.rows, event_bytes=scenario.event_bytes, held=scenario.held
        ) as server:
            truth = server.truth(*DAY)
            server.configure(latency_ms=scenario.latency_ms, limits=scenario.limits)
            to_run = self._how_often(scenario, record)
            for number in range(1, scenario.rounds + 1):
                for contestant in scenario.contestants:
                    if number > to_run[contestant.name]:
                        continue
                    if number > 1 and not self._pace.is_quick(contestant.name, record.rounds):
                        continue
                    one = run_round(contestant, number, scenario, server, truth, limit_s=self._limit_s)
                    record.rounds.append(one)
                    _say(
                        f"  {number} {one.contestant}: {one.wall_s:.2f} s, CPU {one.cpu_s:.2f} s, "
                        f"{megabytes(one.peak_bytes)}, {one.sent} requests, {one.verdict}"
                    )
            if scenario.part == REQUESTS:
                record.minimum = self._minimum(server, record)
        if scenario.part == PEERS:
            self._pace.learn(scenario.api, record.rounds, rows=scenario.rows, latency_ms=scenario.latency_ms)
        self._records.found[record.key] = record

    def _how_often(self, scenario: Scenario, record: Record) -> dict[str, int]:
        """Rounds of each contestant; the slow ones beside the others have fewer, and who is left out is noted."""
        to_run = {one.name: scenario.rounds for one in scenario.contestants}
        if scenario.part != PEERS:
            return to_run
        for contestant in scenario.contestants:
            expected_s = self._pace.expected_s(
                scenario.api, contestant.name, rows=scenario.rows, latency_ms=scenario.latency_ms
            )
            to_run[contestant.name] = self._pace.rounds(expected_s, scenario.rounds)
            if not to_run[contestant.name] and expected_s is not None:
                record.left_out[contestant.name] = f"as it would need about {expected_s:,.0f} s a round"
        return to_run

    def _minimum(self, server: Sandbox, record: Record) -> int:
        by_hour = server.rows_by_hour(*DAY)
        if record.api == "datadog":
            return minimum_answers(by_hour, rows_per_answer=DATADOG_ROWS_AN_ANSWER)
        served = record.rounds[0]
        row_bytes = served.served_bytes / max(1, served.served_rows)
        most = min(AZURE_ROWS_AN_ANSWER, int(AZURE_BYTES_AN_ANSWER / row_bytes) if row_bytes else 1)
        return minimum_answers(by_hour, rows_per_answer=most)

    def _profile(self, api: str, rows: int) -> None:
        _say(f"profile / {api} / {rows} rows:")
        scenario = Scenario(PROFILE, api, rows, (LOGFERRY,), 1)
        with Sandbox(api, rows, event_bytes=scenario.event_bytes, held=scenario.held) as server:
            server.configure(latency_ms=0)
            text = profile(scenario, server)
        title = f"Where the remaining time goes: {api}, {rows:,} rows"
        self._records.texts = {
            name: kept
            for name, kept in self._records.texts.items()
            if not name.startswith(f"Where the remaining time goes: {api}")
        }
        self._records.texts[title] = text

    def _program(self, title: str, program: Sequence[str]) -> None:
        """What a program of its own prints."""
        _say(f"{title}:")
        done = subprocess.run(
            [str(PRODUCT_PYTHON), *program], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"bench: {shlex.join(program)} failed: {done.stderr.strip()[-300:]}")
        text = f"`.venv/bin/python {shlex.join(program)}` prints:\n\n```text\n{done.stdout.rstrip()}\n```\n"
        self._records.texts[title] = text


def _choice(options: argparse.Namespace) -> Choice:
    base = QUICK if options.quick else Choice()
    growth = base.growth + ((10_000_000,) if options.largest else ())
    return Choice(
        parts=tuple(options.parts or base.parts),
        apis=(options.only,) if options.only else APIS,
        rows=tuple(options.rows or base.rows),
        latencies_ms=tuple(options.latency if options.latency is not None else base.latencies_ms),
        rounds=options.rounds or base.rounds,
        contestants=tuple(options.contestants or ()),
        growth=growth,
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


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
