"""One run of the benchmark: what is chosen is measured, one scenario after the other."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import minimum_answers
from benchmarks.hot_path import profile
from benchmarks.pacing import Pace
from benchmarks.places import PRODUCT_PYTHON, ROOT
from benchmarks.records import Record, Records
from benchmarks.report import megabytes
from benchmarks.rounds import run_round, warm_up, write_contents
from benchmarks.scenarios import DAY, LOGFERRY, PEERS, PROFILE, REQUESTS, SERVER, Choice, Scenario, scenarios
from benchmarks.server import Sandbox

AZURE_ROWS_AN_ANSWER = 500_000
AZURE_BYTES_AN_ANSWER = 64_000_000
DATADOG_ROWS_AN_ANSWER = 1000
_STAGES = ["-m", "benchmarks.stages"]
_SERVER_RATE = ["-m", "logferry_sandbox.rate", "--generated", "0"]


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
            self._stages()
        if SERVER in choice.parts:
            self._server(min(choice.rows))

    def _measure(self, scenario: Scenario) -> None:
        say(f"{scenario.key}:")
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
        with (
            tempfile.TemporaryDirectory(prefix="logferry-bench-truth-") as scratch,
            Sandbox(
                scenario.api, scenario.rows, event_bytes=scenario.event_bytes, held=scenario.held
            ) as server,
        ):
            contents = Path(scratch)
            write_contents(scenario, contents)
            truth = server.truth(*DAY)
            server.configure(latency_ms=scenario.latency_ms, limits=scenario.limits)
            to_run = self._how_often(scenario, record)
            for number in range(1, scenario.rounds + 1):
                for contestant in scenario.contestants:
                    if number > to_run[contestant.name]:
                        continue
                    if number > 1 and not self._pace.is_quick(contestant.name, record.rounds):
                        continue
                    one = run_round(
                        contestant, number, scenario, server, truth, contents, limit_s=self._limit_s
                    )
                    record.rounds.append(one)
                    say(
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
        say(f"profile / {api} / {rows} rows:")
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

    def _stages(self) -> None:
        text = _output_of(_STAGES).rstrip()
        self._records.texts["The stages by themselves, on one core"] = (
            f"`{_command(_STAGES)}` prints:\n\n```text\n{text}\n```\n"
        )

    def _server(self, rows: int) -> None:
        program = [*_SERVER_RATE, "--rows", str(rows)]
        rates = json.loads(_output_of([*program, "--json"]))
        self._records.server = {"command": _command(program), "rates": rates}


def _output_of(program: Sequence[str]) -> str:
    """What a program of its own prints."""
    say(f"{_command(program)}:")
    done = subprocess.run(
        [str(PRODUCT_PYTHON), *program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"bench: {shlex.join(program)} failed: {done.stderr.strip()[-300:]}")
    return done.stdout


def _command(program: Sequence[str]) -> str:
    """As it is typed in the checkout's folder."""
    return f".venv/bin/python {shlex.join(program)}"


def say(text: str) -> None:
    """Tell who waits at the terminal."""
    print(text, file=sys.stderr, flush=True)
