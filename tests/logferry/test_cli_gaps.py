"""``logferry gaps``: what is missing, the command that brings it, and the runs themselves."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.logferry.made_archive import MadeArchive, hours
from tests.logferry.test_cli_coverage import NOW, define
from tests.logferry.test_cli_coverage import archive as archive

from logferry.cli import main
from logferry.clock import SystemClock
from logferry.layout import head_key, manifest_key
from logferry.records.ledger import read_ledger
from logferry_sandbox.datadog_sandbox import DatadogSandbox

COMMAND = re.compile(r"^ +((?:airflow|logferry) (?:.*\\\n)*.*)$", re.MULTILINE)
DAY = ["--from", "2026-11-10T00:00:00Z", "--to", "2026-11-11T00:00:00Z"]


def commands(text: str) -> list[str]:
    """What stands there to be copied into a shell, each as the shell reads it."""
    return [" ".join(one.replace("\\\n", " ").split()) for one in COMMAND.findall(text)]


def test_a_whole_archive_has_no_gaps(archive: MadeArchive, capsys: pytest.CaptureFixture[str]) -> None:
    archive.publish(hours(0, 72), files=False)
    assert main(["gaps", "web", "--check"]) == 0
    assert capsys.readouterr().out.startswith("'web' has no gaps in what is due")


def test_gaps_are_listed_with_the_exact_backfill(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 24), files=False)
    archive.publish(hours(3), files=False, status="short")
    assert main(["gaps", "web"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "2026-11-10T03:00:00Z to 2026-11-10T04:00:00Z short: 3 rows written, 4 at the source\n"
        "2026-11-11T00:00:00Z to 2026-11-13T00:00:00Z missing: never published\n"
        "49 slices in 2 gaps\n"
    )
    assert commands(text) == [
        (
            "airflow backfill create --dag-id export_web --from-date 2026-11-10T00:00:00+00:00 "
            "--to-date 2026-11-12T00:00:00+00:00 --reprocess-behavior completed"
        ),
        "logferry gaps web --fill",
    ]


def test_on_a_terminal_gaps_are_wrapped_and_their_commands_can_still_be_copied(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    archive.publish(hours(0, 24), files=False)
    archive.publish(hours(3), files=False, status="short")
    assert main(["gaps", "web", *DAY]) == 0
    text = capsys.readouterr().out
    assert "short: 3 rows written, 4 at the\n  source\n" in text
    assert (
        commands(text)[-1] == "logferry gaps web --from 2026-11-10T00:00:00Z --to 2026-11-11T00:00:00Z --fill"
    )
    assert max(len(line) for line in text.splitlines()) <= 80


def test_while_make_run_is_up_its_own_airflow_command_is_named(
    archive: MadeArchive,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("LOGFERRY_HOME", str(tmp_path / "home"))
    for command in (["gaps", "web"], ["coverage", "web"]):
        assert main(command) == 0
        assert "make run" not in capsys.readouterr().out
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "airflow-cli").touch()
    monkeypatch.chdir(tmp_path)
    for command in (["gaps", "web"], ["coverage", "web"]):
        assert main(command) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert "(for the Airflow of make run, begin that with home/airflow-cli in place of airflow)" in text


def test_what_is_proposed_for_a_range_stays_in_that_range(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gaps", "web", *DAY]) == 0
    assert commands(capsys.readouterr().out)[-1] == (
        "logferry gaps web --from 2026-11-10T00:00:00Z --to 2026-11-11T00:00:00Z --fill"
    )
    assert main(["gaps", "web"]) == 0
    assert commands(capsys.readouterr().out)[-1] == "logferry gaps web --fill"


def test_check_is_exit_code_3_with_any_gap(archive: MadeArchive) -> None:
    archive.publish(hours(0, 24), files=False)
    assert main(["gaps", "web", "--check"]) == 3
    assert main(["gaps", "web", "--check", *DAY]) == 0
    archive.begin(hours(2))
    assert main(["gaps", "web", "--check", *DAY]) == 3


def test_windows_of_another_definition_are_apart_and_no_gap(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    present = archive.fingerprint
    archive.fingerprint = "sha256:other"
    archive.publish(hours(0, 24), files=False)
    archive.fingerprint = present
    archive.publish(hours(24, 48), files=False)
    assert main(["gaps", "web", "--check"]) == 0
    assert "24 slices of another definition (other), which are no gaps" in capsys.readouterr().out
    assert main(["gaps", "web", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"export", "window", "slices", "gaps", "remedies", "definitions"}
    (one,) = found["definitions"]
    assert one["remedies"][0]["command"].startswith("airflow backfill create --dag-id export_web")


def test_the_json_tells_each_gap_and_remedy(archive: MadeArchive, capsys: pytest.CaptureFixture[str]) -> None:
    archive.publish(hours(0, 48), files=False)
    assert main(["gaps", "web", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    span = {"from": "2026-11-12T00:00:00Z", "to": "2026-11-13T00:00:00Z"}
    assert found["gaps"] == [{**span, "state": "missing", "reason": "never published", "slices": 24}]
    assert [(one["from"], one["to"], one["windows"]) for one in found["remedies"]] == [(*span.values(), 1)]
    assert found["slices"] == 24


def test_check_and_fill_are_one_or_the_other(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gaps", "web", "--check", "--fill"]) == 2
    assert "give one" in capsys.readouterr().err


def test_fill_without_keys_is_exit_code_4_but_not_when_there_is_nothing_to_fill(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 24), files=False)
    assert main(["gaps", "web", "--fill", *DAY, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["filled"] == {
        "export": "web",
        "status": "proven",
        "windows": [],
    }
    assert main(["gaps", "web", "--fill"]) == 4


@pytest.fixture(scope="module")
def datadog() -> Iterator[DatadogSandbox]:
    sandbox = DatadogSandbox(events_per_day=500)
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.mark.integration
def test_fill_exports_the_windows_with_gaps_oldest_first_and_damage_is_healed(
    archive: MadeArchive,
    datadog: DatadogSandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    define(archive, tmp_path, schedule="0 */6 * * *")
    connect(datadog, monkeypatch)
    assert main(["export", "web", "--from", "2026-11-10T06:00:00Z", "--to", "2026-11-10T12:00:00Z"]) == 0
    capsys.readouterr()
    assert main(["gaps", "web", *DAY, "--fill", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    starts = [one["window"]["from"] for one in found["filled"]["windows"]]
    assert starts == ["2026-11-10T00:00:00Z", "2026-11-10T12:00:00Z", "2026-11-10T18:00:00Z"]
    assert main(["gaps", "web", *DAY, "--check"]) == 0
    assert main(["verify", "web", "--deep"]) == 0
    whole = archive.object(hours(3)).read_bytes()
    archive.object(hours(3)).write_bytes(whole[:-9] + b"x" + whole[-8:])
    assert main(["verify", "web"]) == 3
    assert main(["gaps", "web", *DAY, "--check"]) == 3
    assert main(["gaps", "web", *DAY, "--fill"]) == 0
    assert main(["gaps", "web", *DAY, "--check"]) == 0
    assert main(["verify", "web", "--deep"]) == 0
    assert hours(3) in read_ledger(archive.store, "web").slices


WINDOWS = ["--from", "2026-11-10T00:00:00Z", "--to", "2026-11-10T04:00:00Z"]
ATTACKS = {
    "a byte flipped in the rows": lambda made: flip(made.object(hours(1)), 30),
    "a byte flipped in the footer": lambda made: flip(made.object(hours(1)), -20),
    "an object deleted": lambda made: made.object(hours(1)).unlink(),
    "an object emptied": lambda made: made.object(hours(1)).write_bytes(b""),
    "two files swapped": lambda made: swap(made.object(hours(0)), made.object(hours(3))),
    "a record deleted": lambda made: made.record(2).unlink(),
    "a record emptied": lambda made: made.record(2).write_bytes(b""),
    "a record edited": lambda made: made.record(2).write_bytes(made.record(2).read_bytes() + b" "),
    "a record of another export": lambda made: made.record(2).write_bytes(
        made.record(2).read_bytes().replace(b'"web"', b'"other"')
    ),
    "an intent deleted": lambda made: made.record(3).unlink(),
    "the last manifest removed": lambda made: made.record(4).unlink(),
    "HEAD deleted": lambda made: made.path(head_key("web")).unlink(),
    "HEAD emptied": lambda made: made.path(head_key("web")).write_bytes(b""),
    "HEAD naming another hash": lambda made: made.path(head_key("web")).write_bytes(
        b'{"seq": 4, "hash": "sha256:0"}'
    ),
    "a window's manifest deleted": lambda made: made.path(manifest_key("web", hours(0, 2))).unlink(),
    "a window's manifest replaced": lambda made: made.path(manifest_key("web", hours(0, 2))).write_bytes(
        b"{}"
    ),
}


@pytest.mark.integration
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_whatever_was_done_is_named_and_healed_by_running_the_windows_again(
    archive: MadeArchive,
    datadog: DatadogSandbox,
    attack: Callable[[MadeArchive], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    define(archive, tmp_path, schedule="0 */2 * * *")
    connect(datadog, monkeypatch)
    assert main(["export", "web", *WINDOWS]) == 0
    assert main(["verify", "web", "--deep"]) == 0
    attack(archive)
    assert main(["verify", "web"]) == 3
    assert main(["export", "web", *WINDOWS]) == 0
    capsys.readouterr()
    code = main(["verify", "web", "--deep"])
    assert (code, capsys.readouterr().out.count("finding")) == (0, 0)
    assert main(["gaps", "web", *WINDOWS, "--check"]) == 0


def connect(datadog: DatadogSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    access = datadog.describe()
    extra = {"api_key": access["api_key"], "app_key": access["app_key"], "sandbox": True}
    conn = {"conn_type": "datadog_logs", "host": access["base_url"], "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_DD_TEST", json.dumps(conn))
    # A budget that waits for its period would wait for ever by a clock that stands still.
    began = time.monotonic_ns()
    monkeypatch.setattr(SystemClock, "now", lambda self: NOW + (time.monotonic_ns() - began) // 100)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def swap(one: Path, other: Path) -> None:
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
