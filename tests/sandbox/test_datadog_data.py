"""The generated history: deterministic, exact in number, and awkward every single day."""

import base64
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logferry_sandbox.datadog_data import GeneratedDays, event_ids
from logferry_sandbox.datadog_query import parse_query
from logferry_sandbox.datadog_store import ALL, DatadogStore, Selection

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
DAY = 20_777  # 2026-11-20


def raw_events(store: DatadogStore, day: int = DAY, **visible: Any) -> list[bytes]:
    selection = Selection(ALL, ALL, **visible)
    return [
        body
        for segment in store.segments(selection, day * DAY_MS, (day + 1) * DAY_MS)
        for body in segment.view.bodies(segment.start, segment.end)
    ]


@pytest.fixture(scope="module")
def day_raw() -> list[bytes]:
    return raw_events(DatadogStore(GeneratedDays()))


@pytest.fixture(scope="module")
def day_events(day_raw: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(body) for body in day_raw]


def times_of(store: DatadogStore, day: int) -> list[int]:
    selection = Selection(ALL, ALL)
    return [
        at_ms
        for segment in store.segments(selection, day * DAY_MS, (day + 1) * DAY_MS)
        for at_ms in segment.view.times[segment.start : segment.end]
    ]


def test_a_day_is_the_same_whoever_makes_it_and_in_whatever_order() -> None:
    ahead, behind = DatadogStore(GeneratedDays(seed=7)), DatadogStore(GeneratedDays(seed=7))
    raw_events(behind, DAY + 1)
    behind.truth(DAY * DAY_MS, (DAY + 1) * DAY_MS, "service:auth")
    assert raw_events(ahead) == raw_events(behind)
    assert raw_events(DatadogStore(GeneratedDays(seed=8))) != raw_events(ahead)
    assert raw_events(ahead, DAY + 1) != raw_events(ahead)


@given(day=st.integers(18_262, 29_000), events_per_day=st.integers(0, 6000), seed=st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_every_day_has_exactly_its_number_of_events_and_an_empty_hour(
    day: int, events_per_day: int, seed: int
) -> None:
    times = times_of(DatadogStore(GeneratedDays(seed=seed, events_per_day=events_per_day)), day)
    assert len(times) == events_per_day
    assert times == sorted(times)
    assert len({at_ms // HOUR_MS for at_ms in times}) < 24


def test_hours_differ_and_their_edges_are_occupied(day_events: list[dict[str, Any]]) -> None:
    times = times_of(DatadogStore(GeneratedDays()), DAY)
    per_hour = Counter(at_ms // HOUR_MS for at_ms in times)
    assert len(per_hour) == 23
    assert max(per_hour.values()) > 3 * min(per_hour.values())
    for hour in per_hour:
        assert hour * HOUR_MS in times
        assert (hour + 1) * HOUR_MS - 1 in times


def test_more_than_a_page_of_events_share_one_millisecond() -> None:
    crowded, size = Counter(times_of(DatadogStore(GeneratedDays()), DAY)).most_common(1)[0]
    assert size >= 1500
    assert crowded % HOUR_MS not in (0, HOUR_MS - 1)


def test_ids_are_unique_and_ascend_within_a_millisecond(day_events: list[dict[str, Any]]) -> None:
    keys = [(event["attributes"]["timestamp"], event["id"]) for event in day_events]
    assert keys == sorted(keys)
    assert len({event["id"] for event in day_events}) == len(day_events)


def test_ids_have_the_recorded_shape() -> None:
    (text,) = event_ids([1_649_694_587_000], [0xEDD1B037])
    raw = base64.urlsafe_b64decode(text + b"=")
    # The recorded id of an event of that very millisecond starts with the same bytes.
    assert text.startswith(b"AQAAAYAZdbh47dGwNwAAAABB")
    assert (raw[0], int.from_bytes(raw[1:9]), len(raw)) == (1, 1_649_694_587_000, 41)
    ingested = int.from_bytes(base64.b64decode(raw[17:])[:6])
    assert 200 <= ingested - 1_649_694_587_000 < 3900


@pytest.mark.parametrize("missing", ["host", "service", "message", "attributes", "tags", "status"])
def test_each_member_is_missing_somewhere(day_events: list[dict[str, Any]], missing: str) -> None:
    assert any(missing not in event["attributes"] for event in day_events)


def test_the_awkward_values_are_there_every_day(
    day_raw: list[bytes], day_events: list[dict[str, Any]]
) -> None:
    everything = b"\n".join(day_raw)
    messages = [event["attributes"].get("message") for event in day_events]
    free_forms = [event["attributes"].get("attributes", {}) for event in day_events]
    assert sum(len(message) >= 200 * 1024 for message in messages if message) == 1
    assert b"\\ud83d" in everything
    assert "" in messages
    for fragment in ("🧨", "عالم", "e\u0301", "\u2028", "\r\n", "\x00", '"quoted"'):
        assert any(fragment in message for message in messages if message), fragment
    assert b":1e400" in everything
    assert b":2700000.0" in everything
    assert b":18446744073709551615" in everything
    assert any(form.get("order_id", 0) > 2**53 for form in free_forms)
    codes = [form["http"]["status_code"] for form in free_forms if "http" in form]
    assert {type(code) for code in codes} == {int, str}
    assert any("http.status_code" in form for form in free_forms)
    assert {type(form["user"]) for form in free_forms if "user" in form} >= {dict, str, type(None)}
    assert any(
        len(set(tags)) < len(tags) for event in day_events if (tags := event["attributes"].get("tags"))
    )
    assert any("relationships" in event for event in day_events)
    assert any("ingest_hint" in event["attributes"] for event in day_events)


def test_flex_only_events_are_seen_in_the_flex_tier_alone() -> None:
    store = DatadogStore(GeneratedDays())
    default, flex = raw_events(store), raw_events(store, flex=True)
    assert set(default) < set(flex)
    assert b"audit-trail" not in b"".join(default)
    assert all(b"audit-trail" in body for body in set(flex) - set(default))


@pytest.mark.parametrize("query", ["service:auth", "env:prod -status:info", "order", "@http.status_code:500"])
def test_a_query_selects_what_it_selects_event_by_event(day_raw: list[bytes], query: str) -> None:
    parsed = parse_query(query)
    expected = [event["id"] for event in map(json.loads, day_raw) if parsed.matches(event["attributes"])]
    assert expected
    assert DatadogStore(GeneratedDays()).truth(DAY * DAY_MS, (DAY + 1) * DAY_MS, query) == expected


def test_forgetting_bodies_does_not_change_them(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = raw_events(DatadogStore(GeneratedDays()))
    monkeypatch.setattr("logferry_sandbox.datadog_data._CACHED_BYTES", 1)
    monkeypatch.setattr("logferry_sandbox.datadog_data._CACHED_TIMES", 1)
    monkeypatch.setattr("logferry_sandbox.datadog_store._CACHED_ROWS", 1)
    forgetful = DatadogStore(GeneratedDays())
    assert raw_events(forgetful) == whole
    assert raw_events(forgetful) == whole


def test_there_is_no_history_before_2020() -> None:
    store = DatadogStore(GeneratedDays())
    assert store.truth(0, 1_577_836_800_000) == []
    assert store.truth(0, 1_577_836_800_000 + 3 * HOUR_MS) != []
