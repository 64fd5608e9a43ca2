"""The overview, the calendar and the charts of a made archive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import START, Publisher, Rows, Scribe
from tests.logferry.view.made_year import (
    YEAR_START,
    connect,
    make_year,
    usual_rows,
    year_fingerprint,
    year_spec,
)
from tests.logferry.view.states import spec_of, state_of

from logferry.errors import DefinitionError
from logferry.records.ledger import read_ledger
from logferry.spec import load_exports
from logferry.view.cells import MOST_SLICES, cells
from logferry.view.expected import Expected
from logferry.view.listing import exports
from logferry.view.ranges import asked, default_range
from logferry.view.series import series
from logferry.view.slices import slice_view
from logferry.view.summary import summary
from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_MINUTE,
    Window,
    format_instant,
    parse_instant,
)

DAYS = 40
NOW = YEAR_START + DAYS * TICK_PER_DAY + 5 * TICK_PER_HOUR


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    store = MemoryStore()
    make_year(
        store,
        year_spec(),
        slices=(DAYS - 2) * 24,
        missing=[100, 101],
        short=[200],
        unproven=[300],
        late={400: 12},
        damaged=[500],
    )
    return store


def test_the_overview_of_an_export(store: MemoryStore) -> None:
    answer = summary(state_of(store, year_spec()), now=NOW)
    assert answer["cells"] == {"D": 1, "M": 50, "S": 1, "I": 0, "U": 1, "P": 907, "N": 5}
    published = [number for number in range((DAYS - 2) * 24) if number not in (100, 101)]
    assert answer["rows"] == sum(map(usual_rows, published)) + 12
    assert (answer["gaps"]["slices"], answer["gaps"]["stretches"]) == (52, 4)
    assert [one["state"] for one in answer["gaps"]["list"]] == ["missing", "damaged", "short", "missing"]
    assert answer["last_proven"]["to"] == format_instant(YEAR_START + (DAYS - 2) * TICK_PER_DAY)
    assert answer["behind"] == {
        "windows": 2,
        "since": format_instant(YEAR_START + (DAYS - 1) * TICK_PER_DAY + 30 * TICK_PER_MINUTE),
    }
    assert answer["final_up_to"] is None
    assert answer["held_by"]["from"] == "2025-11-20T00:00:00Z"
    assert len(answer["days"]) == 30
    assert answer["days"][-1] == {"day": "2025-12-30", "rows": 0, "bytes": 0, "worst": "N"}
    assert answer["days"][0]["day"] == "2025-12-01"
    assert {one["day"]: one["worst"] for one in answer["days"]}["2025-12-10"] == "D"
    assert answer["budget"] is None
    assert answer["budget_note"]


def test_an_export_that_never_ran_is_behind_with_every_window() -> None:
    answer = summary(state_of(MemoryStore(), year_spec()), now=NOW)
    assert answer["behind"]["windows"] == DAYS
    assert (answer["last_proven"], answer["journal"]) == (None, {"seq": 0, "damage": []})
    assert answer["cells"]["M"] == DAYS * 24
    assert answer["held_by"]["reason"] == "it was never published"


def test_an_export_whose_last_due_window_is_there_is_not_behind(store: MemoryStore) -> None:
    now = YEAR_START + (DAYS - 2) * TICK_PER_DAY + TICK_PER_HOUR
    assert summary(state_of(store, year_spec()), now=now)["behind"] is None


def test_cells_are_parallel_lists_with_marks_where_there_is_something_to_say(store: MemoryStore) -> None:
    spec = year_spec()
    window = Window(spec.start + 96 * TICK_PER_HOUR, NOW - NOW % TICK_PER_HOUR)
    answer = cells(state_of(store, spec), window, now=NOW)
    letters = answer["cells"]
    assert len(letters) == len(answer["rows"]) == len(answer["seq"]) == len(answer["source_rows"])
    assert (letters[4:6], letters[200 - 96], letters[300 - 96], letters[500 - 96]) == ("MM", "S", "U", "D")
    assert answer["source_rows"][200 - 96] == answer["rows"][200 - 96] + 1
    assert answer["source_rows"][300 - 96] is None
    assert answer["rows"][4] is None
    assert answer["marks"] == {str(400 - 96): ["late:+12"]}
    assert answer["due_before"] == format_instant(YEAR_START + DAYS * TICK_PER_DAY)
    assert letters.endswith("MNNNNN")
    assert answer["next"] is None


def test_a_long_range_comes_in_parts() -> None:
    spec = year_spec(slice_="1m", schedule="@hourly")
    state = state_of(MemoryStore(), spec)
    now = spec.start + (MOST_SLICES + 100) * TICK_PER_MINUTE
    window = Window(spec.start, now)
    part = cells(state, window, now=now)
    assert len(part["cells"]) == MOST_SLICES
    rest = cells(state, window, now=now, page=parse_instant(part["next"]))
    assert len(rest["cells"]) == 100
    assert rest["next"] is None
    assert sum(part["totals"]["cells"].values()) == 20_100
    # They would be added up twice.
    assert not {"totals", "gaps", "gaps_more"} & rest.keys()
    for outside in (window.start - TICK_PER_MINUTE, window.end):
        with pytest.raises(DefinitionError, match="ask for the first page anew"):
            cells(state, window, now=now, page=outside)


def test_a_range_that_is_too_long_is_cut_and_says_where() -> None:
    spec = year_spec(slice_="1m", schedule="@hourly")
    state = state_of(MemoryStore(), spec)
    window = Window(spec.start, spec.start + 160_000 * TICK_PER_MINUTE)
    part = cells(state, window, now=window.end)
    assert part["cut_at"] == format_instant(spec.start + 150_000 * TICK_PER_MINUTE)
    assert sum(part["totals"]["cells"].values()) == 150_000
    assert part["gaps"][-1]["slices"] == 150_000


def test_days_of_a_range_with_late_rows_and_requests(store: MemoryStore) -> None:
    spec = year_spec()
    state = state_of(store, spec)
    answer = series(state, Window(spec.start, spec.start + 20 * TICK_PER_DAY), now=NOW)
    days = answer["days"]
    assert [day["late_rows"] for day in days] == [0] * 16 + [12] + [0] * 3
    assert days[4]["cells"] == {"D": 0, "M": 2, "S": 0, "I": 0, "U": 0, "P": 22, "N": 0}
    assert days[0]["requests"] == -(-sum(usual_rows(number) for number in range(24)) // 1000) + 24
    assert answer["lateness"] == {"known_from": "2025-11-20T00:00:00Z"}
    whole = series(state, asked(spec, format_instant(spec.start), None, now=NOW), now=NOW)
    shown = summary(state, now=NOW)
    assert sum(day["rows"] for day in whole["days"]) == shown["rows"]
    assert {letter: sum(day["cells"][letter] for day in whole["days"]) for letter in shown["cells"]} == shown[
        "cells"
    ]


def test_one_slice_with_all_that_its_record_says(store: MemoryStore) -> None:
    spec = year_spec()
    state = state_of(store, spec)
    damaged = slice_view(state, spec.start + 500 * TICK_PER_HOUR + 7, now=NOW)
    assert (damaged["cell"], damaged["state"], damaged["reason"]) == (
        "D", "damaged", "its bytes are not those that were published",
    )  # fmt: skip
    assert damaged["damage"][0]["remedy"] == "export its window again"
    assert damaged["definition"] == {"fingerprint": year_fingerprint(spec), "present": True}
    assert damaged["file"]["url"].startswith("memory://lake/web/dt=2025-12-10/")
    late = slice_view(state, spec.start + 400 * TICK_PER_HOUR, now=NOW)
    assert (late["rows"] - late["previous_rows"], late["rows"] - late["first_rows"]) == (12, 12)
    missing = slice_view(state, spec.start + 100 * TICK_PER_HOUR, now=NOW)
    assert (missing["cell"], missing["reason"], missing["run"]) == ("M", "never published", None)
    with pytest.raises(DefinitionError, match="is in no slice of web"):
        slice_view(state, spec.start - 1, now=NOW)


def test_a_run_that_died_is_told_slice_by_slice() -> None:
    store = MemoryStore()
    scribe = Scribe(store)
    scribe.record(Publisher("one", [Rows("a")]))
    scribe.intend(Publisher("dead", [Rows("b"), Rows("c")]))
    state = state_of(store)
    now = START + TICK_PER_DAY
    shown = cells(state, Window(START, START + 3 * TICK_PER_HOUR), now=now)
    assert shown["cells"] == "IMM"
    assert [one["reason"] for one in shown["gaps"]] == [
        "a run began to replace it and did not end",
        "a run began to publish it and did not end",
        "never published",
    ]


def test_exports_are_listed_in_pages_and_only_where_they_may_be_read(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        (tmp_path / f"{name}.yaml").write_text(
            f"name: {name}\nsource: {{kind: datadog, connection: dd, query: 'service:{name}'}}\n"
            'schedule: "@daily"\nstart: 2026-01-01T00:00:00Z\n'
        )
    (tmp_path / "broken.yaml").write_text("name: broken\n")
    loaded = load_exports(tmp_path)
    answer = exports(loaded, now=NOW, limit=2, readable=lambda name: name != "b")
    assert [one["name"] for one in answer["exports"]] == ["a", "c"]
    assert (answer["total"], answer["next"]) == (3, 2)
    assert exports(loaded, now=NOW, offset=2, limit=2, readable=lambda name: name != "b")["next"] is None
    assert answer["exports"][0] == {
        "name": "a",
        "kind": "datadog",
        "connection": "dd",
        "query": "service:a",
        "dag_id": "export_a",
        "schedule": "@daily",
        "slice": "1h",
        "slice_s": 3600,
        "start": "2026-01-01T00:00:00Z",
        "horizon": "1d",
        "settle": "30m",
        "destination": "./lake",
    }
    assert [one["file"] for one in answer["broken"]] == ["broken.yaml"]


def test_a_range_is_widened_to_slices_and_begins_with_the_export() -> None:
    spec = spec_of()
    now = START + 90 * TICK_PER_DAY + TICK_PER_MINUTE
    usual = default_range(spec, now=now)
    assert (usual.ticks, usual.end) == (
        30 * TICK_PER_DAY + TICK_PER_HOUR,
        START + 90 * TICK_PER_DAY + TICK_PER_HOUR,
    )
    assert asked(spec, None, None, now=now) == usual
    wide = asked(spec, "2026-11-01T00:00:00Z", "2026-11-20T05:10:00Z", now=now)
    assert wide == Window(START, START + 6 * TICK_PER_HOUR)
    assert asked(spec, "2026-12-01T00:30:00Z", None, now=now).start % TICK_PER_HOUR == 0
    assert asked(spec, None, "2026-12-31T00:00:00+01:00", now=now).ticks == 31 * TICK_PER_DAY


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("yesterday", None, "'from': 'yesterday' is not an absolute time"),
        (None, "2026-11-20", "'to': '2026-11-20' is not an absolute time"),
        ("2026-11-22T00:00:00Z", "2026-11-21T00:00:00Z", "reversed"),
        ("2026-11-21T00:00:00Z", "2026-11-21T00:00:00Z", "empty"),
        ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "before web begins"),
        ("2199-01-01T00:00:00Z", "2199-01-02T00:00:00Z", "more than a year ahead"),
        ("9999-12-31T23:59:59Z", None, "reversed"),
    ],
)
def test_a_range_that_is_none_is_refused_in_a_sentence(start: str | None, end: str | None, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        asked(spec_of(), start, end, now=START + 90 * TICK_PER_DAY)


def test_the_connection_of_the_made_year_gives_its_fingerprint(store: MemoryStore) -> None:
    state = state_of(store, year_spec())
    assert state.have().definition.fingerprint == year_fingerprint(year_spec())
    assert connect("x", "datadog").conn_type == "datadog_logs"


def test_slices_that_do_not_divide_a_day_are_counted_in_the_day_they_begin_in() -> None:
    store = MemoryStore()
    spec = year_spec(schedule="0 0 * * 4", slice_="7m")
    a_week = 7 * TICK_PER_DAY // spec.slice
    make_year(store, spec, slices=a_week, per_window=a_week, rows=lambda number: 1, short=[205])
    state = state_of(store, spec)
    now = spec.start + 8 * TICK_PER_DAY
    days = [0] * 9
    for number in range(-(-8 * TICK_PER_DAY // spec.slice)):
        days[number * spec.slice // TICK_PER_DAY] += 1
    answer = series(state, Window(spec.start, spec.start + a_week * spec.slice), now=now)
    assert [sum(day["cells"].values()) for day in answer["days"]] == days[:7]
    assert [day["rows"] for day in answer["days"]] == days[:7]
    assert [day["cells"]["S"] for day in answer["days"]] == [1, 0, 0, 0, 0, 0, 0]
    shown = summary(state, now=now)
    assert [day["rows"] for day in shown["days"]] == [*days[:7], 0]
    assert default_range(spec, now=spec.start + 40 * TICK_PER_DAY).on_grid(spec.slice)


def test_rows_are_expected_of_the_slice_at_the_same_hour_where_slices_do_not_divide_a_day() -> None:
    store = MemoryStore()
    spec = year_spec(schedule="0 0 * * 4", slice_="7m")
    a_day = TICK_PER_DAY / spec.slice
    make_year(store, spec, slices=1_440, per_window=1, recorded=1, rows=lambda number: round(number % a_day))
    index = state_of(store, spec).index
    expected = Expected(index)
    assert expected.rows(index.first + 1_440 + 100) == 100
    # Four weeks on, one of that weekday is near enough.
    assert expected.rows(index.first + 4 * 1_440 + 300) == round(300 % a_day)
    assert expected.used == {"weekday": 2}


def test_rows_that_mend_a_short_slice_are_not_late_and_those_after_them_are() -> None:
    store = MemoryStore()
    scribe = Scribe(store)
    scribe.record(Publisher("one", [Rows("a", 4), Rows("b", 2)], status="short"))
    start = Window(START, START + TICK_PER_DAY)
    told = series(state_of(store), start, now=START + 2 * TICK_PER_DAY)
    assert told["days"][0]["late_rows"] == 0
    assert told["lateness"]["known_from"] == format_instant(START)
    scribe.record(Publisher("mended", [Rows("a", 9), Rows("b", 2)]))
    told = series(state_of(store), start, now=START + 2 * TICK_PER_DAY)
    assert told["days"][0]["late_rows"] == 0
    scribe.record(Publisher("late", [Rows("a", 12), Rows("b", 2)]))
    state = state_of(store)
    assert series(state, start, now=START + 2 * TICK_PER_DAY)["days"][0]["late_rows"] == 3
    assert cells(state, start, now=START + 2 * TICK_PER_DAY)["marks"]["0"][0] == "late:+3"


def test_what_is_missing_before_the_first_run_is_told_apart(store: MemoryStore) -> None:
    spec = spec_of(start=format_instant(START - 3 * TICK_PER_DAY))
    first = MemoryStore()
    Scribe(first).record(Publisher("one", [Rows("a")]))
    state = state_of(first, spec)
    now = START + TICK_PER_DAY
    shown = summary(state, now=now)
    assert shown["before_first"] == {
        "from": format_instant(START - 3 * TICK_PER_DAY),
        "to": format_instant(START),
        "slices": 72,
    }
    # The rest of that day is missing too, and somebody should have brought it.
    assert shown["cells"]["M"] > 72
    assert cells(state, Window(spec.start, now), now=now)["begun_at"] == format_instant(START)
    assert summary(state_of(store, year_spec()), now=NOW)["before_first"] is None
    assert summary(state_of(MemoryStore(), spec), now=now)["before_first"] is None


def test_what_runs_failed_to_bring_before_the_first_publication_is_an_ordinary_gap() -> None:
    spec = spec_of(start=format_instant(START - 3 * TICK_PER_DAY))
    first = MemoryStore()
    Scribe(first).record(Publisher("one", [Rows("a")]))
    state = replace(state_of(first, spec), asked_since=START - TICK_PER_DAY + TICK_PER_HOUR)
    now = START + TICK_PER_DAY
    assert summary(state, now=now)["before_first"]["slices"] == 48
    begun = cells(state, Window(spec.start, now), now=now)["begun_at"]
    assert begun == format_instant(START - TICK_PER_DAY)
    assert state.version != replace(state, asked_since=None).version
    # A run of today says nothing of the time before, nor does one of a time that the export leaves out.
    later = replace(state, asked_since=now)
    assert summary(later, now=now)["before_first"]["slices"] == 72
    earlier = replace(state, asked_since=spec.start - TICK_PER_DAY)
    assert summary(earlier, now=now)["before_first"] is None


def test_a_hole_in_the_first_window_that_ran_is_an_ordinary_gap() -> None:
    spec = spec_of(start=format_instant(START - TICK_PER_DAY))
    store = MemoryStore()
    Scribe(store).record(Publisher("one", [Rows("a")], first=2))
    shown = summary(state_of(store, spec), now=START + TICK_PER_DAY)
    assert shown["before_first"]["to"] == format_instant(START)


def test_windows_that_the_schedule_had_since_the_first_run_are_no_days_before_it() -> None:
    """The export published before the first slice that is published now, so the schedule ran in between."""
    store = MemoryStore()
    Scribe(store).record(Publisher("one", [Rows("a")], first=60))
    state = state_of(store, spec_of(start=format_instant(START - TICK_PER_DAY)))
    assert read_ledger(store, state.spec.name).first_published_at == START + 48 * TICK_PER_HOUR
    assert state.index.begun_at == START + 48 * TICK_PER_HOUR
