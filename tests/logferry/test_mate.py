"""A mate: a second process that works like the first, and nothing is lost with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.logferry import mating

from logferry import mate as module
from logferry.mate import spare_mate

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="there are no mates elsewhere"),
]

PROJECT = Path(__file__).resolve().parents[2]


def start(*arguments: str) -> subprocess.Popen[str]:
    paths = [str(PROJECT / "include"), str(PROJECT / "plugins"), str(PROJECT)]
    return subprocess.Popen(
        [sys.executable, str(Path(mating.__file__)), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(scenario: str, *arguments: str) -> list[str]:
    """What both processes said, when both have ended."""
    process = start(scenario, *arguments)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0, text
    return text.splitlines()


def said_when_hanging(scenario: str, *arguments: str) -> tuple[list[str], int]:
    """The same, of a scenario that goes on when its mate hangs; and its exit status."""
    process = start(scenario, *arguments)
    assert process.stdout is not None
    assert process.stdout.readline() == "hanging\n"
    text, _ = process.communicate("go on\n", timeout=120)
    return text.splitlines(), process.returncode


def test_its_results_its_progress_and_its_log_arrive() -> None:
    assert said("works") == [
        "WARNING half of it",
        "page 3 100",
        "slice 2026-11-20T00:00:00Z 3",
        "done work 2 True",
        "done nothing 2 True",
    ]


def test_its_errors_are_raised_here_and_it_goes_on() -> None:
    assert said("fails") == [
        "Unavailable later 2.5 ",
        "KeyError 'nobody thought of this'  with its traceback",
        "RuntimeError Local: seven 7  with its traceback",
        "done nothing 2 True",
    ]


def test_one_that_cannot_open_its_source_says_why_and_has_ended() -> None:
    first, then = said("refused")
    assert first == "CredentialsError no key  "
    assert then in {"cannot work", "MateLost exit status 0  "}


def test_one_whose_progress_cannot_be_told_is_not_asked_again() -> None:
    assert said("deaf") == ["WARNING half of it", "nobody listens cannot work"]


def test_one_that_is_killed_is_lost() -> None:
    assert said("dies") == ["done nothing 2 True", "MateLost exit status -9  ", "cannot work"]


def test_one_that_is_closed_puts_away_what_it_was_at() -> None:
    lines, code = said_when_hanging("closed")
    assert (sorted(lines), code) == (["MateLost exit status 0  ", "cannot work", "put away"], 0)


def test_one_that_does_not_end_is_killed() -> None:
    lines, code = said_when_hanging("stubborn", "5")
    assert (sorted(lines), code) == (["MateLost exit status -9  ", "cannot work", "put away"], 0)


def test_it_ends_with_the_first_process_however_that_ends() -> None:
    # The pipe ends when both have.
    assert said_when_hanging("killed") == (["put away"], -signal.SIGKILL)


@pytest.mark.parametrize(("scenario", "lines"), [("unused", []), ("at once", ["all closed"])])
def test_one_that_was_never_asked_ends_without_a_word(scenario: str, lines: list[str]) -> None:
    assert said(scenario) == lines


@pytest.mark.parametrize("other", ["threads", "no processor", "another system", "a daemon"])
def test_there_is_none_where_it_could_not_work(monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    monkeypatch.setattr(module, "Mate", lambda opening: "a mate")
    monkeypatch.setattr(module, "spare_processors", lambda: 0 if other == "no processor" else 1)
    monkeypatch.setattr(threading, "active_count", lambda: 2 if other == "threads" else 1)
    if other == "a daemon":
        monkeypatch.setitem(module.multiprocessing.current_process()._config, "daemon", True)
    if other == "another system":
        monkeypatch.setattr(sys, "platform", "darwin")
    assert spare_mate(mating.acting) is None


def test_there_is_one_where_it_can_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Mate", lambda opening: "a mate")
    monkeypatch.setattr(module, "spare_processors", lambda: 1)
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    assert spare_mate(mating.acting) == "a mate"


def test_a_machine_without_room_for_one_goes_on_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_room(opening: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(module, "Mate", no_room)
    monkeypatch.setattr(module, "spare_processors", lambda: 1)
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    assert spare_mate(mating.acting) is None
    assert "going on with one" in caplog.text
