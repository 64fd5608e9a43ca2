"""The command line without any server: usage, ranges, and what each way of ending means."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec
import pytest
from tests.logferry.memory_source import MemorySource

from logferry.budget import Forecast
from logferry.cli import app, main
from logferry.cli.options import export_range, run_id
from logferry.cli.output import lasting, number, printable, size
from logferry.cli.plan import what_if
from logferry.cli.remarks import summary
from logferry.errors import (
    CredentialsError,
    DefinitionError,
    LogferryError,
    ShortError,
    StoreError,
    Unavailable,
)
from logferry.plan import Plan, SlicePlan
from logferry.records.manifest import Span
from logferry.sources.base import LogSource, SourceSchema
from logferry.spec import DatadogSourceSpec, ExportSpec
from logferry.window import TICK_PER_HOUR, TICK_PER_MINUTE, Window, format_instant, parse_instant

EXPORT = """\
name: web
source: {kind: datadog, connection: dd_test}
schedule: "@daily"
start: 2026-01-01T00:00:00Z
"""
NOW = parse_instant("2026-11-20T12:10:00Z")
SPEC = ExportSpec(
    name="web",
    source=DatadogSourceSpec(connection="dd"),
    schedule="@daily",
    start=0,
    settle=30 * TICK_PER_MINUTE,
    horizon=0,
)


@pytest.fixture(autouse=True)
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one export, and no credentials anywhere."""
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "web.yaml").write_text(EXPORT)
    monkeypatch.setenv("LOGFERRY_EXPORTS_DIR", str(folder))
    for name in ("AIRFLOW_CONN_DD_TEST", "AIRFLOW_CONN_DATADOG_DEFAULT", "DD_API_KEY", "DD_APP_KEY"):
        monkeypatch.delenv(name, raising=False)
    return folder


DAY = ["--from", "2026-11-19T00:00:00Z", "--to", "2026-11-20T00:00:00Z"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "No such command 'nothing'"),
        (["plan"], "Missing argument 'EXPORT'"),
        (["plan", "web"], "Missing option '--from'"),
        (["plan", "web", *DAY, "--fast"], "No such option"),
        (["export", "nope", *DAY], "there is no export 'nope'"),
        (["export", "web", "--from", "now-1d", "--to", "now"], "--from: 'now-1d' is not an absolute time"),
        (["export", "web", "--from", "2026-11-19T00:00:00", "--to", "now"], "not an absolute time with a zone"),
        (["export", "web", "--from", "2026-11-19T00:20:00Z", "--to", "2026-11-20T00:00:00Z"],
         "write 2026-11-19T00:00:00Z or 2026-11-19T01:00:00Z"),
        (["plan", "web", "--from", "2026-11-20T00:00:00Z", "--to", "2026-11-19T00:00:00Z"], "is reversed"),
        (["plan", "web", "--from", "2026-11-20T00:00:00Z", "--to", "2026-11-20T00:00:00Z"], "is empty"),
        (["export", "web", "--from", "2198-01-01T00:00:00Z", "--to", "2198-01-02T00:00:00Z"], "the latest --to is"),
        (["plan", "web", "--from", "1969-12-31T00:00:00Z", "--to", "2026-01-02T00:00:00Z"],
         "--from 1969-12-31T00:00:00Z is not between 1970 and 2200"),
        (["plan", "web", "--from", "2026-01-01T00:00:00Z", "--to", "9999-12-31T23:59:59Z"],
         "--to 9999-12-31T23:59:59Z is not between 1970 and 2200"),
        (["export", "web", "--from", "0001-01-01T00:00:00+23:59", "--to", "2026-01-02T00:00:00Z"], "--from: "),
        (["export", "web", "--from", "2025-12-31T00:00:00Z", "--to", "2026-01-02T00:00:00Z"],
         "--from 2025-12-31T00:00:00Z lies before the start of web; give 2026-01-01T00:00:00Z or later"),
        (["search", "web", "--connection", "my conn"], "'my conn' is not the id of a connection"),
        (["search", "web", "--connection", "a/b"], "use letters, digits and _ - ."),
        (["doctor", "my conn"], "'my conn' is not the id of a connection"),
        (["search"], "give the name of an export, or --kind"),
        (["search", "web", "--kind", "azure_monitor"], "is of kind datadog"),
        (["search", "web", "--table", "T"], "--table is not an option of datadog"),
        (["search", "web", "--from", "now", "--to", "now-1h"], "is reversed"),
        (["search", "web", "--from", "sometime"], "is not a time"),
        (["search", "web", "--sort", "size"], "is no order"),
        (["search", "web", "--limit", "0"], "asks for nothing"),
        (["search", "web", "--ndjson", "--json"], "give one"),
        (["search", "web", "--storage-tier", "cold"], "storage_tier: 'cold' is not allowed"),
        (["search", "--kind", "splunk"], "'splunk' is not one of"),
        (["search", "--kind", "azure_monitor", "--table", "Event"], "workspace: is missing"),
        (["search", "--kind", "azure_monitor", "--workspace", "my-ws", "--table", "Event"], "not a workspace GUID"),
        (["search", "--kind", "azure_monitor", "--query", "Event", "--table", "Event"], "leave --table"),
        (["search", "--kind", "azure_log_search", "--sort", "timestamp"], "--sort is not an option"),
        (["doctor", "dd_test", "--table", "T"], "go together"),
    ],
)  # fmt: skip
def test_a_wrong_command_is_one_message_and_exit_code_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.startswith("logferry: ")
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert "Value error" not in captured.err


def test_without_a_command_the_help_is_all_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert "Usage: logferry" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize("command", ["search", "coverage", "record"])
def test_what_may_be_left_out_has_one_pair_of_brackets(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    assert "[[" not in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["plan", "web", *DAY], ["search", "web"], ["doctor", "none_such"]])
def test_missing_credentials_are_exit_code_4_and_name_the_connection(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "AIRFLOW_CONN_" in line


def test_a_misspelt_destination_connection_is_exit_code_4_and_names_the_remedy(
    exports: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (exports / "web.yaml").write_text(
        f"{EXPORT}destination: {{url: s3://acme/logs, connection: aws_defualt}}\n"
    )
    monkeypatch.setenv("AIRFLOW_CONN_DD_TEST", "datadog-logs://?api_key=a&app_key=b")
    assert main(["plan", "web", *DAY]) == 4
    err = capsys.readouterr().err
    assert "'aws_defualt' is not configured" in err
    assert "leave `connection` out of the destination" in err


def test_a_broken_definition_is_shown_where_its_export_is_asked_for(
    exports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (exports / "bad.yaml").write_text("name: bad\nslice: 5\n")
    (exports / "other.yaml").write_text("name: another\n")
    assert main(["plan", "bad", *DAY]) == 2
    err = capsys.readouterr().err
    assert f"{exports / 'bad.yaml'}: slice: 5 has no unit" in err
    assert "other.yaml" not in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LogferryError("x"), 1),
        (ValueError("x"), 1),
        (DefinitionError("x"), 2),
        (ShortError("x"), 3),
        (CredentialsError("x"), 4),
        (Unavailable("x"), 5),
        (StoreError("x"), 6),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_its_exit_code_and_no_traceback(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> Callable[[], None]:
        raise error

    monkeypatch.setattr("logferry.cli.search.load_exports", fail)
    assert main(["search", "web"]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1
    assert lines[0].startswith("logferry: ")


@pytest.mark.parametrize(
    ("arguments", "shows"),
    [
        (["--debug", "search", "web"], True),
        (["search", "--debug", "web"], True),
        (["search", "web", "--debug"], True),
        (["search", "web", "--debug", "--limit", "5"], True),
        (["search", "web"], False),
    ],
)
def test_debug_shows_where_it_failed_wherever_it_is_given(
    arguments: list[str], shows: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise LookupError("gone")

    monkeypatch.setattr("logferry.cli.search.load_exports", fail)
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert ("Traceback" in err) == shows
    assert ("(logferry --debug … shows where)" in err) != shows
    assert logging.getLogger("logferry").level == (logging.DEBUG if shows else logging.WARNING)


def test_what_follows_two_dashes_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *DAY, "--", "--debug"]) == 2
    assert "there is no export '--debug'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["coverage", "gaps", "record", "verify"])
def test_a_lake_below_a_file_is_no_empty_archive(
    command: str, exports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = exports / "web.yaml"
    file.write_text(f"{EXPORT}destination: {{url: '{(file / 'lake').as_uri()}'}}\n")
    assert main([command, "web"]) == 6
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert f"{file} is a file where a folder should be: correct destination.url" in line


def test_a_reader_that_is_gone_is_no_error_of_the_version_either() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = "import sys; from logferry.cli import main; sys.exit(main())"
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, "--version"], stdout=writing, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_the_help_names_every_command_and_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("search", "plan", "export", "doctor"))
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("logferry 0.")


def test_the_latest_to_is_the_last_slice_that_has_settled() -> None:
    late = format_instant(NOW // TICK_PER_HOUR * TICK_PER_HOUR)
    with pytest.raises(
        DefinitionError, match=r"latest --to is 2026-11-20T11:00:00Z .* from 2026-11-20T12:30:00Z"
    ):
        export_range(SPEC, "2026-11-20T00:00:00Z", late, now=NOW)
    window = export_range(SPEC, "2026-11-20T00:00:00+00:00", "2026-11-20T12:00:00+01:00", now=NOW)
    assert window == Window(parse_instant("2026-11-20T00:00:00Z"), parse_instant("2026-11-20T11:00:00Z"))


def planned(rows: int | None, slices: int) -> Plan:
    day = "2026-11-20T00:00:00Z"
    return Plan(
        export="web",
        window=Span(start=day, end="2026-11-21T00:00:00Z"),
        started_at=day,
        counted_at=day,
        rows=rows,
        requests=slices,
        bytes=None if rows is None else rows * 1000,
        eta_s=None,
        slices=[SlicePlan(start=day, end=day, rows=rows)] * slices,
        schema=SourceSchema((), has_id=True),
        spent={},
        fingerprint="sha256:x",
    )


def test_a_plan_in_one_line_counts_one_thing_as_one_and_guesses_no_size() -> None:
    assert "Z: 1 row in 1 slice, 1 request, about 1.0 kB, time " in summary(planned(1, 1))
    line = summary(planned(None, 2))
    assert "Z: an unknown number of rows in 2 slices, 2 requests, size unknown, time unknown" in line


def test_what_would_change_is_reckoned_by_what_the_connection_lets_be_under_way() -> None:
    wide = Forecast(
        limit=10_000, period_s=10, reserve=0.1, others=0, due=9000, left=9000, carried=0, next_s=5, sharing=1,
        answer_s=0.8,
    )  # fmt: skip
    plan = msgspec.structs.replace(planned(None, 160), forecast=wide)
    source = cast(LogSource, MemorySource({}, most_in_flight=16))
    seconds = [what_if([plan], source, at_once)[0]["eta_s"] for at_once in (1, 16)]
    assert seconds == [pytest.approx(128, rel=0.05), pytest.approx(8, rel=0.15)]


def test_two_runs_of_one_second_have_different_names() -> None:
    assert run_id(NOW) != run_id(NOW)
    assert run_id(NOW).startswith("cli-20261120T121000Z-")


def test_text_from_logs_cannot_command_the_terminal() -> None:
    assert printable("a\x1b[31mb\nc\td\u2028\ud83d") == "a\\x1b[31mb\\nc d\\u2028\\ud83d"
    assert printable({"a": 1}) == '{"a": 1}'
    assert printable(None) == ""


def test_numbers_for_people() -> None:
    assert [size(count) for count in (5, 1500, 2_000_000)] == ["5 B", "1.5 kB", "2.0 MB"]
    assert [lasting(s) for s in (3.2, 200, 7260)] == ["3 s", "3 min 20 s", "2 h 1 min"]
    assert lasting(None).startswith("unknown")
    assert (number(81234), number(None)) == ("81,234", "-")


def test_the_command_needs_no_airflow() -> None:
    code = "import sys, logferry.cli; print([m for m in sys.modules if m.split('.')[0] == 'airflow'])"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(Path(app.__file__).parents[2])},
    )  # fmt: skip
    assert json.loads(run.stdout) == []
