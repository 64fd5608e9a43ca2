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
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    described = first_line(start("--no-azure", "--port-datadog", str(port)))
    assert list(described) == ["datadog"]
    assert described["datadog"]["base_url"] == f"http://127.0.0.1:{port}"


def test_a_busy_port_is_one_sentence(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        process = start("--no-azure", "--port-datadog", str(busy.getsockname()[1]))
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, "")
    assert errors.startswith("sandbox: cannot start: ")
    assert len(errors.splitlines()) == 1
