"""The window view: what a record says, how it hangs in the chain, and whatever else may lie in its place."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import EXPORT, START, Publisher, Rows, Scribe
from tests.logferry.view.made_year import YEAR_START, make_year, year_spec
from tests.logferry.view.states import state_of

from logferry.layout import findings_key, head_key, journal_key
from logferry.records.journal import Head
from logferry.records.manifest import content_hash
from logferry.view.archive_state import ArchiveState
from logferry.view.cells import cells
from logferry.view.fill import fill
from logferry.view.ranges import default_range
from logferry.view.record import NoSuchRecord, record_view, records
from logferry.view.series import series
from logferry.view.slices import slice_view
from logferry.view.summary import summary
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, Window

NOW = START + 2 * TICK_PER_DAY


def every_view(state: ArchiveState, now: int) -> list[dict[str, Any]]:
    """All answers of an archive, each as JSON that any reader takes."""
    window = default_range(state.spec, now=now)
    answers = [
        summary(state, now=now),
        cells(state, window, now=now),
        series(state, window, now=now),
        slice_view(state, window.start, now=now),
        fill(state, window, now=now),
        records(state),
        *(record_view(state, seq) for seq in range(1, state.have().seq + 1) if state.record(seq) is not None),
    ]
    for answer in answers:
        json.dumps(answer, allow_nan=False).encode()
    return answers


def test_a_publication_is_told_whole() -> None:
    store = MemoryStore()
    spec = year_spec()
    make_year(store, spec, slices=72, late={30: 5})
    state = state_of(store, spec)
    answer = record_view(state, 2)
    assert answer["record"] == "publication"
    assert answer["window"] == {"from": "2025-11-21T00:00:00Z", "to": "2025-11-22T00:00:00Z"}
    assert answer["chain"] == {
        "previous": {"seq": 1, "hash": content_hash(store.read(journal_key("web", 1))), "agrees": True},
        "hash": content_hash(store.read(journal_key("web", 2))),
        "next": {"seq": 3, "agrees": True},
    }
    assert answer["superseded"] == {"slices": 24, "by": [4]}
    assert answer["requests"]["sent"] == answer["requests"]["search"] + answer["requests"]["count"]
    assert answer["run"]["seconds"] == 180
    assert json.loads(answer["raw"])["seq"] == 2
    newest = record_view(state, 4)
    assert newest["superseded"] == {"slices": 0, "by": []}
    assert all(one["current"] for one in newest["slices"])
    assert newest["slices"][6]["previous_rows"] == newest["slices"][6]["rows"] - 5
    assert newest["chain"]["next"] is None
    assert record_view(state, 1)["chain"]["previous"] == {"seq": 0, "hash": None, "agrees": True}


def test_an_intent_is_told() -> None:
    store = MemoryStore()
    scribe = Scribe(store)
    scribe.intend(Publisher("dead", [Rows("a")]), etag="e1")
    answer = record_view(state_of(store), 1)
    assert (answer["record"], answer["run"]["id"], answer["slices"][0]["etag"]) == ("intent", "dead", "e1")


def test_a_record_that_was_changed_by_hand_does_not_agree_with_its_neighbours() -> None:
    store = MemoryStore()
    spec = year_spec()
    make_year(store, spec, slices=72)
    key = journal_key("web", 2)
    store.seed(key, store.read(key).replace(b'"attempt": 1', b'"attempt": 2'))
    state = state_of(store, spec)
    assert record_view(state, 2)["chain"]["next"] == {"seq": 3, "agrees": False}
    assert record_view(state, 3)["chain"]["previous"]["agrees"] is False


def test_a_number_without_a_record_is_refused_in_a_sentence() -> None:
    state = state_of(MemoryStore())
    for seq in (0, -1, 1, 10**13):
        with pytest.raises(NoSuchRecord, match="has no record"):
            record_view(state, seq)


def test_publications_are_listed_newest_first_and_in_pages() -> None:
    store = MemoryStore()
    spec = year_spec()
    make_year(store, spec, slices=24 * 30)
    state = state_of(store, spec)
    first = records(state, limit=20)
    assert [one["seq"] for one in first["records"]] == list(range(30, 10, -1))
    assert first["records"][0]["rows"] == record_view(state, 30)["rows"]
    rest = records(state, before=first["next"], limit=20)
    assert [one["seq"] for one in rest["records"]] == list(range(10, 0, -1))
    assert rest["next"] is None


HOSTILE = [
    b"",
    b"\x00\xff\xfe",
    b"null",
    b"[]",
    b"{}",
    b'{"record": "publication"}',
    b'{"record": "' + b"x" * 1_000_000 + b'"}',
    b'{"a":' * 100_000,
    b"[" * 1_000_000,
    b'{"record": "intent", "seq": 1e400}',
    "<script>alert(1)</script>\u202e\x07".encode(),
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_record_is_shown_as_broken_and_every_view_stays_up(data: bytes) -> None:
    store = MemoryStore()
    scribe = Scribe(store)
    scribe.record(Publisher("one", [Rows("a")]))
    scribe.record(Publisher("two", [Rows("b")], first=1))
    scribe.point()
    store.seed(journal_key(EXPORT, 1), data)
    state = state_of(store)
    answer = record_view(state, 1)
    assert answer["record"] == "broken"
    assert answer["broken"].endswith(".")
    assert len(answer["broken"]) < 2_001
    assert len(answer["raw"]) <= 200_000
    every_view(state, NOW)
    assert summary(state, now=NOW)["journal"]["damage"]


@pytest.mark.parametrize("key", [head_key(EXPORT), findings_key(EXPORT)])
@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_heads_and_findings_stop_no_view(key: str, data: bytes) -> None:
    store = MemoryStore()
    Scribe(store).record(Publisher("one", [Rows("a")]))
    store.seed(key, data)
    every_view(state_of(store), NOW)


evil_text = st.sampled_from(
    ["", "<img src=x onerror=alert(1)>", "\u0000\u202e\u0007", "y" * 1_000_000, "2026-11-20T00:00:00Z", "💥"]
)
evil_numbers = st.sampled_from([0, -1, 2**53, -(2**63), 2**63 - 1, 10**30])
evil = st.one_of(
    evil_text,
    evil_numbers,
    st.none(),
    st.recursive(
        evil_text, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(evil_text, inner, max_size=2)
    ),
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    if isinstance(value, dict):
        return found + [one for name in value for one in paths(value[name], (*at, name))]
    if isinstance(value, list):
        return found + [one for number, inner in enumerate(value) for one in paths(inner, (*at, number))]
    return found


@given(data=st.data())
def test_no_value_anywhere_in_a_manifest_stops_a_view(data: st.DataObject) -> None:
    store = MemoryStore()
    scribe = Scribe(store)
    scribe.record(Publisher("one", [Rows("a"), Rows("b")]))
    plain = json.loads(store.read(journal_key(EXPORT, 1)))
    plain["slices"][0] |= {"notes": {"n": 1}, "source_now": 3, "source_now_at": "x", "previous_rows": 1}
    plain["columns"] = [{"name": "id"}]
    plain["requests"] = {"search": 1}
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths(plain)))
        holder = plain
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = data.draw(evil)
    changed = json.dumps(plain).encode()
    store.seed(journal_key(EXPORT, 1), changed)
    store.seed(head_key(EXPORT), msgspec.json.encode(Head(1, content_hash(changed))))
    for answer in every_view(state_of(store), NOW):
        assert len(json.dumps(answer)) < 3_000_000


def test_a_year_of_slices_in_one_manifest_is_cut_with_a_count() -> None:
    store = MemoryStore()
    spec = year_spec()
    make_year(store, spec, slices=1_000, per_window=1_000)
    answer = record_view(state_of(store, spec), 1)
    assert (len(answer["slices"]), answer["slices_more"]) == (500, 500)
    assert answer["superseded"]["slices"] == 0
    assert len(answer["raw"]) == 200_000
    assert answer["raw"].endswith("…")


def test_slices_of_another_length_are_told_where_their_rows_lie() -> None:
    store = MemoryStore()
    scribe = Scribe(store)
    scribe.record(Publisher("halves", [Rows("a", 2), Rows("b", 3)], grid=TICK_PER_HOUR // 2))
    state = state_of(store)
    answer = slice_view(state, START, now=NOW)
    assert (answer["cell"], answer["rows"], answer["seq"]) == ("P", None, 1)
    assert [one["rows"] for one in answer["lies_in"]] == [2, 3]
    shown = cells(state, Window(START, START + TICK_PER_HOUR), now=NOW)
    assert (shown["rows"], shown["totals"]["rows"]) == ([None], 5)
    assert set(shown["marks"]["0"]) == {"other_grid", "other_definition"}
    assert all(one["current"] for one in record_view(state, 1)["slices"])


def test_a_slice_whose_record_is_gone_says_so_and_shows_what_is_known() -> None:
    store = MemoryStore()
    spec = year_spec()
    make_year(store, spec, slices=72, recorded=1)
    state = state_of(store, spec)
    answer = slice_view(state, YEAR_START, now=YEAR_START + 9 * TICK_PER_DAY)
    assert (answer["cell"], answer["file"], answer["run"]["attempt"]) == ("P", None, 1)
    assert answer["note"] == "Record 1 is not in the journal any more."
