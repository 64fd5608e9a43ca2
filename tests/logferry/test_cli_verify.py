"""``logferry verify``: one line for each finding, and exit code 3 with any."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from tests.logferry.made_archive import MadeArchive, hours
from tests.logferry.test_cli_coverage import archive as archive
from tests.logferry.test_cli_sandbox import azure_connection

from logferry import project
from logferry.cli import main
from logferry.layout import head_key, journal_key, slice_key
from logferry.records.journal import Head
from logferry.window import parse_instant
from logferry_sandbox.azure_sandbox import AzureSandbox

NOW = parse_instant("2026-11-13T06:10:00Z")


def test_an_intact_archive_is_exit_code_0_and_gives_a_witness_for_later(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 3))
    assert main(["verify", "web"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "3 objects and 2 records of web, byte by byte: all as published; witness 2:sha256:"
    )
    assert main(["verify", "web", "--deep", "--witness", line.rpartition("witness ")[2]]) == 0
    assert "with every row decoded" in capsys.readouterr().out


def test_a_finding_is_one_line_with_the_file_what_it_is_and_what_to_do(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 3))
    archive.object(hours(1)).unlink()
    assert main(["verify", "web"]) == 3
    line, total = capsys.readouterr().out.splitlines()
    assert line == (
        f"{slice_key('web', hours(1))}: there is no object; export the slice again "
        "(logferry export web --from 2026-11-10T01:00:00Z --to 2026-11-10T02:00:00Z)"
    )
    assert total.endswith("1 finding")


def test_adjoining_slices_with_one_fault_are_one_line_with_one_command(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 8))
    for at in (1, 2, 3, 6):
        archive.object(hours(at)).unlink()
    assert main(["verify", "web"]) == 3
    together, alone, total, all_of_them = capsys.readouterr().out.splitlines()
    assert together == (
        f"3 objects from 2026-11-10T01:00:00Z to 2026-11-10T04:00:00Z, {slice_key('web', hours(1))} first: there is no "
        "object; export them again (logferry export web --from 2026-11-10T01:00:00Z --to 2026-11-10T04:00:00Z)"
    )
    assert alone.startswith(slice_key("web", hours(6)))
    assert total.endswith("4 findings")
    assert all_of_them.endswith(
        "logferry gaps web --from 2026-11-10T01:00:00Z --to 2026-11-10T07:00:00Z --fill"
    )


def test_records_missing_one_after_the_other_are_one_line(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 3))
    archive.store.put_bytes(head_key("web"), msgspec.json.encode(Head(14, "sha256:" + "0" * 64)))
    assert main(["verify", "web"]) == 3
    lines = capsys.readouterr().out.splitlines()
    (missing,) = [line for line in lines if "there is no such object" in line]
    assert f"{journal_key('web', 3)} and 11 records after it" in missing


def test_a_note_is_no_failure(archive: MadeArchive, capsys: pytest.CaptureFixture[str]) -> None:
    archive.publish(hours(0, 3))
    archive.begin(hours(0, 3))
    assert main(["verify", "web"]) == 0
    assert capsys.readouterr().out.startswith(
        "note: _manifests/web/journal/000000000003.json: the run run-3 began"
    )


def test_the_json_holds_every_finding(archive: MadeArchive, capsys: pytest.CaptureFixture[str]) -> None:
    record = archive.publish(hours(0, 3))
    archive.object(hours(1)).unlink()
    arguments = ["verify", "web", "--from", "2026-11-10T00:00:00Z", "--to", "2026-11-10T02:00:00Z", "--json"]
    assert main(arguments) == 3
    found = json.loads(capsys.readouterr().out)
    (finding,) = found.pop("findings")
    assert found == {
        "export": "web",
        "window": {"from": "2026-11-10T00:00:00Z", "to": "2026-11-10T02:00:00Z"},
        "deep": False,
        "status": "damaged",
        "seq": 2,
        "hash": record.hash,
        "records": 2,
        "objects": 2,
    }
    assert set(finding) == {"kind", "level", "window", "key", "detail", "remedy"}
    assert (finding["kind"], finding["level"]) == ("object_missing", "finding")


def test_a_witness_that_the_journal_does_not_hold_is_exit_code_3(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 3))
    assert main(["verify", "web", "--witness", "9:" + "a" * 64]) == 3
    assert "its tail was cut off" in capsys.readouterr().out


def test_a_witness_of_another_form_is_exit_code_2(
    archive: MadeArchive, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "web", "--witness", "nine"]) == 2
    assert "write SEQ:HASH" in capsys.readouterr().err


def test_nothing_published_is_said_so(archive: MadeArchive, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "web"]) == 0
    assert capsys.readouterr().out == "the export 'web' has published nothing yet\n"


def test_foreign_files_beside_the_manifests_give_no_traceback(
    archive: MadeArchive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.publish(hours(0, 3))
    for name in ("findings.json", "notes.txt", "journal/README", "checkpoints/x", "lease.json"):
        archive.store.put_bytes(f"_manifests/web/{name}", b"\x00{")
    assert main(["verify", "web"]) == 0
    assert main(["coverage", "web"]) == 0
    assert "Traceback" not in capsys.readouterr().err


SHIPPED = Path(project.__file__).parents[1] / "exports"


@pytest.mark.integration
def test_archives_of_each_kind_of_source_are_verified_to_the_last_row(
    archive: MadeArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    day = ["--from", "2026-11-10T00:00:00Z", "--to", "2026-11-10T12:00:00Z"]
    for name in ("app_requests", "legacy_events"):
        text = (SHIPPED / f"{name}.yaml").read_text()
        (tmp_path / "exports" / f"{name}.yaml").write_text(
            f"{text}\ndestination: {{url: '{archive.root.as_uri()}'}}\n"
        )
    with AzureSandbox(state_dir=tmp_path, rows_per_day=500) as azure:
        monkeypatch.setenv("AIRFLOW_CONN_AZURE_DEFAULT", azure_connection(azure))
        for name in ("app_requests", "legacy_events"):
            assert main(["export", name, *day]) in (0, 3)
    capsys.readouterr()
    for name in ("app_requests", "legacy_events"):
        # The source is gone and nothing misses it.
        assert main(["verify", name, "--deep", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["findings"] == []
        assert found["objects"] == {"app_requests": 12, "legacy_events": 2}[name]
