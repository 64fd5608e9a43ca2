"""Gaps and their remedies: exactly what is missing, and a command that brings it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.logferry.made_archive import MadeArchive, hours

from logferry.audit.coverage import cover
from logferry.audit.gaps import Gap, gaps, remedies
from logferry.spec import ExportSpec, export_from
from logferry.window import Window, parse_instant

NOW = parse_instant("2026-11-13T06:00:00Z")


def spec(**changes: object) -> ExportSpec:
    data = {
        "name": "web",
        "source": {"kind": "datadog", "connection": "dd"},
        "schedule": "@daily",
        "start": "2026-11-10T00:00:00Z",
        **changes,
    }
    return export_from(data, where="test", written=True)


def found(archive: MadeArchive, window: Window) -> list[Gap]:
    return gaps(cover(spec(), archive.ledger, window, now=NOW, fingerprint="sha256:one", damage={}))


def window(start: str, end: str) -> Window:
    return Window(parse_instant(start), parse_instant(end))


def commands(*windows: Window, now: int = NOW, **changes: object) -> list[str]:
    return [one.command for one in remedies(spec(**changes), windows, now=now)]


@pytest.fixture
def archive(tmp_path: Path) -> MadeArchive:
    return MadeArchive(tmp_path / "lake")


def test_adjoining_slices_of_one_state_are_one_gap_with_its_reason(archive: MadeArchive) -> None:
    archive.publish(hours(0, 5), files=False)
    archive.publish(hours(2, 2), files=False, status="short")
    archive.begin(hours(6, 1))
    assert found(archive, hours(0, 8)) == [
        Gap(hours(2, 2), "short", "3 rows written, 4 at the source", 2),
        Gap(hours(5), "missing", "never published", 1),
        Gap(hours(6), "missing", "a run began to publish it and did not end", 1),
        Gap(hours(7), "missing", "never published", 1),
    ]


def test_no_slice_of_a_window_that_has_not_ended_is_a_gap(archive: MadeArchive) -> None:
    assert found(archive, hours(3 * 24, 6)) == []


def test_the_backfill_names_the_start_of_the_last_window_because_that_one_is_run_too() -> None:
    assert commands(window("2026-11-10T05:00:00Z", "2026-11-11T02:00:00Z")) == [
        (
            "airflow backfill create --dag-id export_web --from-date 2026-11-10T00:00:00+00:00 "
            "--to-date 2026-11-11T00:00:00+00:00 --reprocess-behavior completed"
        )
    ]


def test_gaps_in_one_window_share_a_command_and_distant_ones_do_not() -> None:
    found = commands(hours(1), hours(5), hours(25), hours(49 + 24), now=NOW + 10**13)
    assert [command.split("--from-date ")[1][:10] for command in found] == ["2026-11-10", "2026-11-13"]


def test_what_lies_before_the_first_boundary_is_exported_from_the_command_line() -> None:
    first, second = remedies(spec(start="2026-11-10T06:00:00Z"), [hours(6, 30)], now=NOW)
    assert first.command == "logferry export web --from 2026-11-10T06:00:00Z --to 2026-11-11T00:00:00Z"
    assert "--from-date 2026-11-11T00:00:00+00:00 --to-date 2026-11-11T00:00:00+00:00" in second.command


def test_what_lies_in_a_window_that_has_not_ended_is_exported_by_itself() -> None:
    today = window("2026-11-13T01:00:00Z", "2026-11-13T03:00:00Z")
    assert commands(today) == ["logferry export web --from 2026-11-13T01:00:00Z --to 2026-11-13T03:00:00Z"]
    late = window("2026-11-13T05:00:00Z", "2026-11-13T06:00:00Z")
    assert commands(late) == []


def test_the_windows_of_a_remedy_are_those_of_the_schedule_oldest_first() -> None:
    (remedy,) = remedies(spec(schedule="0 */6 * * *"), [hours(13), hours(7)], now=NOW)
    assert remedy.windows == (hours(6, 6), hours(12, 6))
    assert remedy.window == hours(6, 12)


def test_windows_of_a_schedule_that_skips_days_are_whole_too() -> None:
    weekdays = remedies(spec(schedule="0 0 * * 1-5", start="2026-11-02T00:00:00Z"), [hours(-48, 1)], now=NOW)
    assert [remedy.window for remedy in weekdays] == [window("2026-11-06T00:00:00Z", "2026-11-09T00:00:00Z")]


def test_no_gap_has_no_remedy() -> None:
    assert commands() == []
