"""The page and the command line say the same of every slice: both follow from one coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st
from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import EXPORT, START, Publisher, Rows, Scribe
from tests.logferry.view.made_year import make_year, year_spec
from tests.logferry.view.states import spec_of, state_of

from logferry.audit.coverage import Coverage, cover
from logferry.audit.findings import Finding, Remembered
from logferry.audit.gaps import gap_state, gaps
from logferry.records.ledger import Ledger, read_ledger
from logferry.records.manifest import Span, Status
from logferry.spec import ExportSpec
from logferry.view.cells import cells
from logferry.view.index import Index
from logferry.view.letters import WORDS
from logferry.view.summary import summary
from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_MINUTE,
    Window,
)

STATUSES: list[Status] = ["proven", "unproven", "short"]
SPEC = spec_of(horizon="2h")
LENGTHS = [TICK_PER_HOUR, TICK_PER_HOUR, TICK_PER_HOUR, TICK_PER_HOUR // 2, 2 * TICK_PER_HOUR]


@dataclass(frozen=True)
class Step:
    """A record of a journal: an intent, a publication that fulfils the record before it, one that does not, or one
    that removes slices."""

    kind: str
    publisher: Publisher


publishers = st.builds(
    Publisher,
    run=st.sampled_from(["r1", "r2"]),
    slices=st.lists(st.builds(Rows, st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=4),
    first=st.integers(-4, 40),
    status=st.sampled_from(STATUSES),
    grid=st.sampled_from(LENGTHS),
    fingerprint=st.sampled_from(["f", "g"]),
    counted=st.sampled_from([None, 0, 9]),
    finished_at=st.sampled_from(["2026-11-19T00:00:00Z", "2026-11-22T00:00:00Z"]),
).map(lambda one: replace(one, first=one.first // 2 * 2) if one.grid > TICK_PER_HOUR else one)
steps = st.builds(Step, st.sampled_from(["intent", "own", "other", "removing"]), publishers)
damaged = st.sets(st.integers(-4, 40), max_size=4)
nows = st.integers(-10 * 60, 50 * 60).map(lambda minute: START + minute * TICK_PER_MINUTE)


def ledger_of(journal: Sequence[Step]) -> Ledger:
    store = MemoryStore()
    scribe = Scribe(store)
    for step in journal:
        if step.kind == "intent":
            scribe.intend(step.publisher)
        else:
            removed = [hour(3), hour(8)] if step.kind == "removing" else []
            scribe.record(
                step.publisher,
                intent=scribe.seq if step.kind == "own" and scribe.seq else None,
                removed=removed,
            )
    return read_ledger(store, EXPORT)


def hour(number: int) -> Window:
    return Window(START + number * TICK_PER_HOUR, START + (number + 1) * TICK_PER_HOUR)


def damage_of(hours: set[int]) -> dict[Window, list[Remembered]]:
    return {
        hour(number): [
            Remembered(
                finding=Finding(
                    kind="object_size",
                    window=Span.of(hour(number)),
                    key="k",
                    detail=f"wrong {number % 2}",
                    remedy="r",
                ),
                seq=1,
                found_at="",
            )
        ]
        for number in hours
    }


def both(
    journal: Sequence[Step], hours: set[int], now: int, window: Window, spec: ExportSpec = SPEC
) -> tuple[Index, Coverage]:
    ledger, damage = ledger_of(journal), damage_of(hours)
    index = Index(spec, ledger, fingerprint="f", damage=damage)
    return index, cover(spec, ledger, window, now=now, fingerprint="f", damage=damage)


windows = st.tuples(st.integers(0, 40), st.integers(1, 30)).map(
    lambda found: Window(START + found[0] * TICK_PER_HOUR, START + sum(found) * TICK_PER_HOUR)
)


@given(journal=st.lists(steps, max_size=25), hours=damaged, now=nows, window=windows)
def test_every_slice_has_the_state_the_coverage_gives_it(
    journal: list[Step], hours: set[int], now: int, window: Window
) -> None:
    index, coverage = both(journal, hours, now, window)
    due = index.due_before(SPEC, now)
    for slice_ in coverage.slices:
        number = slice_.window.start // SPEC.slice
        assert WORDS[index.letter(number, due)] == (gap_state(slice_) or slice_.state)
        cell = index.cell(number)
        if not slice_.published:
            assert cell is None or cell.letter is None
            continue
        assert cell is not None
        assert cell.seq == max(one.seq for one in slice_.published)
        assert ("other_definition" in cell.marks) == slice_.other_definition
        own = slice_.published[0] if slice_.published[0].window == slice_.window else None
        assert cell.rows == (None if own is None else own.entry.rows)
        assert cell.source_rows == (None if own is None else own.entry.source_rows)
        assert cell.bytes == (None if own is None else own.entry.file.bytes)


@given(journal=st.lists(steps, max_size=25), hours=damaged, now=nows, window=windows)
def test_gaps_and_totals_of_any_range_are_those_of_its_coverage(
    journal: list[Step], hours: set[int], now: int, window: Window
) -> None:
    index, coverage = both(journal, hours, now, window)
    due = index.due_before(SPEC, now)
    found = index.numbers(window)
    assert index.gaps(*found, due) == gaps(coverage)
    totals = index.totals(*found, due)
    assert (totals.rows, totals.bytes) == (coverage.rows, coverage.bytes)
    told = [WORDS[index.letter(number, due)] for number in range(*found)]
    assert {word: told.count(word) for word in WORDS.values()} == {
        WORDS[letter]: count for letter, count in totals.cells.items()
    }


@given(journal=st.lists(steps, max_size=25), hours=damaged, now=nows)
def test_what_holds_the_archive_up_rolls_with_the_clock(
    journal: list[Step], hours: set[int], now: int
) -> None:
    index, coverage = both(journal, hours, now, hour(0))
    assert index.holding(index.due_before(SPEC, now)) == coverage.held_by


FINE = spec_of(horizon="2h", slice="10m")


@given(journal=st.lists(steps, max_size=25), hours=damaged, now=nows, window=windows)
def test_on_a_finer_grid_slices_of_older_ones_are_told_as_one_by_one(
    journal: list[Step], hours: set[int], now: int, window: Window
) -> None:
    index, coverage = both(journal, hours, now, window, FINE)
    due = index.due_before(FINE, now)
    found = index.numbers(window)
    for slice_ in coverage.slices:
        number = slice_.window.start // FINE.slice
        assert WORDS[index.letter(number, due)] == (gap_state(slice_) or slice_.state)
        cell = index.cell(number)
        assert (cell is not None and cell.letter is not None) == bool(slice_.published)
        assert [one.window for one in index.others_of(number)] == [
            one.window for one in slice_.published if one.window != slice_.window
        ]
        assert index.damage_of(number) == slice_.damage
    assert index.gaps(*found, due) == gaps(coverage)
    totals = index.totals(*found, due)
    assert (totals.rows, totals.bytes) == (coverage.rows, coverage.bytes)
    assert index.holding(due) == coverage.held_by
    published = [one.window.start // FINE.slice for one in coverage.slices if one.published]
    assert index.published(*found) == len(published)
    last = index.last_published(found[1])
    assert last == (published[-1] if published else last)


def test_an_older_grid_of_long_slices_is_kept_once_for_each_of_them() -> None:
    store = MemoryStore()
    make_year(store, year_spec(slice_="1d"), slices=365, per_window=1, recorded=1)
    spec = year_spec(slice_="1m")
    state = state_of(store, spec)
    assert state.entries == 3 * 365
    now = spec.start + 365 * TICK_PER_DAY
    assert summary(state, now=now)["cells"]["P"] == 365 * 1_440
    part = cells(state, Window(spec.start, now), now=now)
    assert part["cells"] == "P" * 20_000
    assert part["marks"]["19999"] == ["other_grid", "other_definition"]
