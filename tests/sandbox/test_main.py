"""``python -m logferry_sandbox`` as a process: its one line, its state file, its end."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.free_port import free_port

from logferry_sandbox import rate

pytestmark = pytest.mark.integration

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "logferry_sandbox", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def first_line(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr and process.stderr.read()
    described: dict[str, Any] = json.loads(line)
    return described


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_leaves_nothing_behind(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    state_file = tmp_path / "state.json"
    process = start("--state-file", str(state_file), "--events-per-day", "100", "--seed", "3")
    described = first_line(process)
    assert json.loads(state_file.read_text()) == described
    assert set(described) == {"datadog", "azure"}
    datadog = described["datadog"]
    answer = requests.get(
        datadog["base_url"] + "/_sandbox/truth",
        params={"from": "2026-11-19T00:00:00Z", "to": "2026-11-20T00:00:00Z"},
        timeout=30,
    )
    assert answer.json()["rows"] == 100
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_datadog_alone_on_a_chosen_port(start: Start) -> None:
    port = free_port()
    described = first_line(start("--no-azure", "--port-datadog", str(port)))
    assert list(described) == ["datadog"]
    assert described["datadog"]["base_url"] == f"http://127.0.0.1:{port}"


def test_a_prepared_history_is_served_as_told(start: Start) -> None:
    process = start(
        *("--prepared", "3000", "--from", "2026-11-20T10:00:00Z", "--to", "2026-11-20T11:00:00+00:00"),
        *("--event-bytes", "1200", "--odd-every", "0", "--latency-ms", "1"),
        *("--rate-limit", "3/10s", "--azure-rate-limit", "7/9s"),
    )
    described = first_line(process)
    assert described["prepared"] == {
        "rows": 3000, "from": "2026-11-20T10:00:00+00:00", "to": "2026-11-20T11:00:00+00:00",
    }  # fmt: skip
    url = described["datadog"]["base_url"] + "/_sandbox/"
    settings = requests.get(url + "settings", timeout=30).json()
    assert (settings["search_limit"], settings["search_period_s"], settings["latency_s"]) == (3, 10, 0.001)
    assert (settings["compress"], settings["hide_future"]) == (False, False)
    hour = {"from": "2026-11-20T10:00:00Z", "to": "2026-11-20T11:00:00Z"}
    assert requests.get(url + "truth", params=hour, timeout=30).json()["rows"] == 3000
    url = described["azure"]["query_endpoint"] + "/_sandbox/"
    knobs = requests.post(url + "knobs", json={}, timeout=30).json()
    assert (knobs["rate_limit"], knobs["rate_window_s"], knobs["latency_s"]) == (7, 9, 0.001)
    from_tick = 17_951_688_000_000_000
    ticks = {"table": "AppRequests", "from_tick": from_tick, "to_tick": from_tick + 36 * 10**9}
    assert requests.get(url + "truth", params=ticks, timeout=30).json()["rows"] == 3000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prepared", "0"], "at least one row, not 0"),
        (["--prepared", "9", "--event-bytes", "10"], "at least 1,000 bytes, not 10"),
        (["--prepared", "9", "--from", "2026-11-20T10:00:00"], "need a zone"),
        (["--prepared", "9", "--from", "2026-11-21T00:00:00Z"], "from before to"),
    ],
)
def test_a_history_that_cannot_be_made_is_one_sentence(
    start: Start, arguments: list[str], words: str
) -> None:
    process = start("--no-azure", *arguments)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, words in errors, len(errors.splitlines())) == (1, True, 1)


def test_a_rate_that_is_none_is_refused(start: Start) -> None:
    process = start("--rate-limit", "3")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a rate looks like 3/10s, not '3'" in errors


def test_the_sandbox_measures_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert rate.main(["--rows", "2500", "--generated", "1500"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split()[:2] == ["server", "rows"]
    assert [line.split("  ")[0] for line in lines] == [
        "Datadog, prepared",
        "Azure, prepared",
        *(f"{api}, generated, {turn}" for api in ("Datadog", "Azure") for turn in ("first time", "again")),
    ]
    assert [" 2,500 " in line for line in lines] == [True, True, False, False, False, False]


def test_the_sandbox_tells_its_rates_to_programs_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert rate.main(["--rows", "2500", "--generated", "0", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["server"], one["rows"]) for one in found] == [
        ("Datadog, prepared", 2500),
        ("Azure, prepared", 2500),
    ]
    assert all(one["body_bytes"] > 2500 * 1000 for one in found)


def test_a_busy_port_is_one_sentence(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        process = start("--no-azure", "--port-datadog", str(busy.getsockname()[1]))
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, "")
    assert errors.startswith("sandbox: cannot start: ")
    assert len(errors.splitlines()) == 1
