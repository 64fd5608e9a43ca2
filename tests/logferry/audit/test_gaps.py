"""Gaps and their remedies: exactly what is missing, and a command that brings it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.logferry.made_archive import START, MadeArchive, hours

from logferry.audit.coverage import cover
from logferry.audit.definitions import DefinitionUse
from logferry.audit.gaps import Gap, gaps, remedies, replacing, reprovable
from logferry.cli.options import export_range
from logferry.schedule import Schedule
from logferry.spec import ExportSpec, export_from
from logferry.window import TICK_PER_HOUR, TICK_PER_MINUTE, Window, format_instant, parse_instant

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


def test_what_lies_before_the_first_boundary_is_exported_as_far_as_it_has_settled() -> None:
    now = parse_instant("2026-11-22T05:10:00Z")
    monthly = {"schedule": "@monthly", "start": "2026-11-18T00:00:00Z"}
    assert commands(window("2026-11-18T00:00:00Z", "2026-11-22T06:00:00Z"), now=now, **monthly) == [
        "logferry export web --from 2026-11-18T00:00:00Z --to 2026-11-22T04:00:00Z"
    ]
    assert commands(window("2026-11-22T05:00:00Z", "2026-11-22T06:00:00Z"), now=now, **monthly) == []


@given(
    schedule=st.sampled_from(
        ["@hourly", "@daily", "@weekly", "@monthly", "0 */6 * * *", "0 3 * * 1-5", "0 0 29 2 *"]
    ),
    start=st.integers(0, 60 * 24),
    slice_=st.sampled_from([1, 2, 4]),
    settle=st.integers(0, 30),
    now=st.integers(1, 90 * 24 * 60),
    ranges=st.lists(st.tuples(st.integers(0, 90 * 96), st.integers(1, 400)), max_size=5),
)
def test_every_command_can_be_run_as_it_is_printed(
    schedule: str, start: int, slice_: int, settle: int, now: int, ranges: list[tuple[int, int]]
) -> None:
    first = START + start * TICK_PER_HOUR
    export = spec(
        schedule=schedule,
        start=format_instant(first),
        slice=f"{60 // slice_}m",
        settle=f"{settle}h",
    )
    step = export.slice
    windows = [Window(first + at * step, first + (at + count) * step) for at, count in ranges]
    clock = first + now * TICK_PER_MINUTE
    boundaries = Schedule(schedule)
    for remedy in remedies(export, windows, now=clock):
        whole = remedy.window
        assert whole.on_grid(step)
        assert whole.start >= export.start
        assert whole.end + export.settle <= clock
        edges = [edge for one in remedy.windows for edge in (one.start, one.end)]
        if remedy.command.startswith("airflow"):
            assert all(boundaries.previous_at_or_before(edge) == edge for edge in edges)
            assert f"--to-date {format_instant(remedy.windows[-1].start)[:-1]}+00:00" in remedy.command
        else:
            _, _, _, _, begin, _, end = remedy.command.split()
            assert export_range(export, begin, end, now=clock) == whole


def test_what_never_shrink_has_kept_is_replaced_only_where_it_is_told_to() -> None:
    use = DefinitionUse("sha256:old", False, 30, (hours(0, 30),), None, kept=(hours(2, 3),))
    found = [one.command for one in replacing(spec(), use, now=NOW)]
    assert found[1] == (
        "logferry export web --from 2026-11-10T02:00:00Z --to 2026-11-10T05:00:00Z --allow-shrink"
    )
    assert found[0].startswith("airflow backfill create")
    assert len(found) == 2


def test_unproven_slices_that_the_source_still_holds_can_be_proven(archive: MadeArchive) -> None:
    archive.publish(hours(0, 3), files=False, status="unproven")
    archive.publish(hours(1), files=False)
    coverage = cover(spec(), archive.ledger, hours(0, 4), now=NOW, fingerprint="sha256:one", damage={})
    assert reprovable(spec(), coverage, now=NOW) == [hours(0), hours(2)]
    short = spec(source={"kind": "datadog", "connection": "dd", "retention": "77h"})
    assert reprovable(short, coverage, now=NOW) == [hours(2)]


def test_no_gap_has_no_remedy() -> None:
    assert commands() == []
