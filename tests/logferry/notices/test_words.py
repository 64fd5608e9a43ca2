"""A notice says what is wrong first, then the numbers, the likely cause, what to do, and where to look."""

from __future__ import annotations

import pytest
from tests.logferry.notices.made import at, entry, finding, short_manifest, span

from logferry.audit.survey import never_published
from logferry.notices.behind import behind_notice, late_windows, lost_notice, unreadable_notice
from logferry.notices.notice import keys_of
from logferry.notices.short import short_notice
from logferry.notices.verification import verification_notice
from logferry.records.manifest import Span
from logferry.spec import ExportSpec, export_from
from logferry.window import TICK_PER_DAY, Window, format_instant

PAGE = "https://airflow.example.org/plugin/logferry#/export/web_errors"


def no_page(window: Span | None) -> str | None:
    return None


def test_a_short_window_is_a_message_for_a_pager() -> None:
    told = short_notice(short_manifest(entry(0, "proven", 5, 5), entry(1, "short", 1200, 1234)), page=PAGE)
    assert told.subject == (
        "web_errors is short: 1,205 of 1,239 rows, window 2026-11-20T00:00:00Z to 2026-11-21T00:00:00Z"
    )
    assert told.text.splitlines() == [
        (
            "web_errors is short: 1,205 rows are written, the source counts 1,239, in the window "
            "2026-11-20T00:00:00Z to 2026-11-21T00:00:00Z."
        ),
        "1 slice of 2 short: 2026-11-20T01:00:00Z (1,200 of 1,234). It is published and marked `short`.",
        "Likely: the source counts rows that its searches leave out, or rows are still coming in (`settle`)",
        "Next: logferry export web_errors --from 2026-11-20T00:00:00Z --to 2026-11-21T00:00:00Z",
        f"See: {PAGE}",
    ]


def test_the_same_numbers_are_the_same_news_and_others_are_not() -> None:
    first = short_notice(short_manifest(entry(1, "short", 1, 2), seq=2), page=None)
    again = short_notice(short_manifest(entry(1, "short", 1, 2), seq=9), page=None)
    fewer = short_notice(short_manifest(entry(1, "short", 0, 2)), page=None)
    elsewhere = short_notice(short_manifest(entry(2, "short", 1, 2)), page=None)
    assert first.keys == again.keys
    assert len({first.keys, fewer.keys, elsewhere.keys}) == 3


def test_an_archive_that_changed_is_told_with_its_files_and_both_ways_on() -> None:
    told = verification_notice(
        "web_errors", [finding(hour) for hour in (3, 4, 5, 7)], page=lambda window: f"{PAGE}?{window}"
    )
    assert told is not None
    assert told.window == Span(start="2026-11-20T03:00:00Z", end="2026-11-20T08:00:00Z")
    assert told.subject.startswith(
        "web_errors is not what was published: 4 findings, 2026-11-20T03:00:00Z to "
    )
    assert told.text.count("- web_errors/dt=") == 3
    assert "\nand 1 more\n" in told.text
    assert (
        "Next: logferry verify web_errors --from 2026-11-20T03:00:00Z --to 2026-11-20T08:00:00Z" in told.text
    )
    assert "logferry export web_errors --from" in told.text
    assert f"See: {PAGE}?Span(" in told.text


def test_damage_of_the_journal_is_not_mended_by_an_export() -> None:
    told = verification_notice("web_errors", [finding(3, "record_hash")], page=no_page)
    assert told is not None
    assert "logferry export" not in told.text
    assert "the records under `_manifests` were changed" in told.text


def test_notes_alone_are_no_news() -> None:
    assert verification_notice("web_errors", [finding(3, level="note")], page=no_page) is None


def test_a_finding_of_a_megabyte_stays_a_short_message() -> None:
    told = verification_notice("web_errors", [finding(3, about="x" * 1_000_000)], page=no_page)
    assert told is not None
    assert len(told.text) < 2_000


def test_each_finding_is_news_by_itself_and_very_many_are_one() -> None:
    assert len(keys_of("verification", ["a", "b", "a"])) == 2
    assert len(keys_of("verification", map(str, range(5_000)))) == 1


@pytest.fixture
def spec() -> ExportSpec:
    definition = {
        "name": "web_errors",
        "source": {"kind": "datadog", "connection": "dd", "retention": "15d"},
        "schedule": "@daily",
        "start": "2026-01-01T00:00:00Z",
    }
    return export_from(definition, where="test")


MISSED = [span("17T00", "18T00"), span("18T00", "19T00"), span("20T00", "21T00")]


@pytest.mark.parametrize(
    ("now", "late"),
    [("19T01", 0), ("19T02", 1), ("20T01", 1), ("20T02", 2), ("21T23", 2), ("22T02", 3)],
)
def test_a_window_is_late_when_the_next_one_should_be_there_too(
    spec: ExportSpec, now: str, late: int
) -> None:
    """Its period, half an hour of settling and an hour of grace after its end."""
    assert late_windows(spec, MISSED, at(now)) == MISSED[:late]
    told = behind_notice(spec, MISSED, at(now), page=None)
    assert (told is None) == (late == 0)


@pytest.mark.parametrize(
    ("start", "since", "now", "first", "count"),
    [
        ("01T00", "18T09", "18T12", "17T00", 1),
        ("01T00", "18T09", "20T01", "17T00", 3),
        ("01T00", "18T00", "18T01", "17T00", 1),
        ("18T00", "18T09", "18T12", None, 0),
        ("18T00", "18T09", "19T01", "18T00", 1),
        ("25T00", "18T09", "20T01", None, 0),
    ],
)
def test_an_export_that_never_published_owes_what_its_dag_would_have_begun_with(
    spec: ExportSpec, start: str, since: str, now: str, first: str | None, count: int
) -> None:
    owed = never_published(spec.model_copy(update={"start": at(start)}), at(since), at(now))
    assert len(owed) == count
    assert (owed[0].start if owed else None) == (at(first) if first else None)
    assert all(one.ticks == TICK_PER_DAY for one in owed)


def test_an_export_behind_its_schedule_says_since_when(spec: ExportSpec) -> None:
    told = behind_notice(spec, MISSED, at("22T02"), page=PAGE)
    assert told is not None
    assert told.subject == "web_errors is behind: 3 windows not published, the oldest due 4 days ago"
    assert "was due at 2026-11-18T00:30:00Z, 4 days ago." in told.text
    assert "logferry export web_errors --from 2026-11-17T00:00:00Z --to 2026-11-21T00:00:00Z" in told.text


def test_being_behind_by_more_windows_is_no_other_news(spec: ExportSpec) -> None:
    first, later = (behind_notice(spec, MISSED, at(now), page=None) for now in ("19T02", "22T02"))
    assert first is not None
    assert later is not None
    assert first.keys == later.keys


def test_what_retention_took_is_told_once_a_day_of_the_archive(spec: ExportSpec) -> None:
    hours = [Window(at(f"20T{hour:02}"), at(f"20T{hour + 1:02}")) for hour in range(1, 22)]
    one, more = (lost_notice(spec, hours[:count], page=None) for count in (1, 21))
    assert one is not None
    assert more is not None
    assert one.once
    assert one.keys == more.keys
    other = lost_notice(spec, [*hours, span("21T00", "21T01")], page=None)
    assert other is not None
    assert other.keys != one.keys
    assert "(`retention` 15d)" in one.text


def test_a_lake_that_does_not_answer_is_told_after_some_hours(spec: ExportSpec) -> None:
    since = at("20T00")
    assert unreadable_notice(spec, "no answer", since, at("20T02"), page=None) is None
    told = unreadable_notice(spec, "no answer", since, at("20T03"), page=PAGE)
    assert told is not None
    assert told.subject == "web_errors cannot be looked after for 3 hours"
    assert f"since {format_instant(since)}" in told.text
    assert "no answer" in told.text
    assert "Next: logferry doctor dd --kind datadog; logferry coverage web_errors" in told.text
