"""Files put in place, and taken away again by a run that was overtaken."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from tests.logferry.harbour import WINDOW, Harbour
from tests.logferry.interleaving import Interleaving
from tests.logferry.memory_store import Etags, MemoryStore
from tests.logferry.publishing_runs import EXPORT, KEY, Publisher, Rows, differing, hours

from logferry.audit.verify import verify
from logferry.errors import StoreError, Superseded
from logferry.layout import slice_key
from logferry.publishing.published_object import published_row_hash
from logferry.records.ledger import read_ledger
from logferry.records.manifest import Manifest
from logferry.stores.local import LocalStore
from logferry.window import TICK_PER_DAY


def test_a_publication_that_died_between_two_parts_is_finished_by_its_retry(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    ferry = harbour.ferry()
    results = [ferry.export(chunk) for chunk in ferry.plan(WINDOW).chunks()]
    place = LocalStore.place
    placed: list[str] = []

    def dies_at_the_second(store: LocalStore, source: str, target: str, **options: Any) -> str:
        if placed:
            raise StoreError("the disk went away")
        placed.append(target)
        return place(store, source, target, **options)

    monkeypatch.setattr(LocalStore, "place", dies_at_the_second)
    with pytest.raises(StoreError, match="went away"):
        ferry.publish(WINDOW, results)
    assert len(placed) == 1
    monkeypatch.setattr(LocalStore, "place", place)
    manifest = ferry.publish(WINDOW, results)
    assert manifest.status == "proven"
    assert [entry.rows for entry in manifest.slices] == [3, 2, 0, 5]
    for entry in manifest.files:
        assert published_row_hash(harbour.store, entry.key) == entry.row_hash


def overtaken_by_a_day(store: MemoryStore, first: Publisher, *, kill: int | None = None) -> Interleaving:
    """A run of hours stands still before it places its first; one on a grid of a day goes by."""
    day = Publisher("day", [Rows("day", 24)], grid=TICK_PER_DAY)
    interleaving = Interleaving(store, [first, day], kill={} if kill is None else {first.run: kill})

    def choose(waiting: Sequence[str]) -> str:
        runners = interleaving.runners
        stands = runners[first.run].at[0] == "place" and not runners["day"].done
        return first.run if first.run in waiting and not stands else waiting[-1]

    interleaving.run(choose)
    return interleaving


@pytest.mark.parametrize("etags", ["unique", "content"])
def test_a_run_that_is_overtaken_by_another_grid_takes_away_what_it_created(etags: Etags) -> None:
    store = MemoryStore(etags=etags)
    runs = overtaken_by_a_day(store, Publisher("hours", [Rows(f"h{hour}") for hour in range(24)]))
    assert isinstance(runs.runners["hours"].failed, Superseded)
    assert store.keys(f"{EXPORT}/") == [slice_key(EXPORT, hours(0, 24))]
    assert read_ledger(store, EXPORT).open_intents == {}


def test_what_a_run_that_died_left_beside_another_grid_is_removed_by_the_next_publication(
    store: MemoryStore,
) -> None:
    run = Publisher("hours", [Rows(f"h{hour}") for hour in range(24)])
    alone = Interleaving(MemoryStore(), [dataclasses.replace(run)])
    alone.run(lambda waiting: waiting[0])
    placed = next(index for index, line in enumerate(alone.trace) if line.startswith("hours: place"))
    overtaken_by_a_day(store, run, kill=placed + 2)
    assert len(store.keys(f"{EXPORT}/")) == 2
    strays = [one.key for one in verify(store, EXPORT, now=store.now).findings if one.kind == "object_stray"]
    assert strays == [KEY]
    Publisher("again", [Rows("day", 24)], grid=TICK_PER_DAY).carry(store)
    assert store.keys(f"{EXPORT}/") == [slice_key(EXPORT, hours(0, 24))]


@pytest.mark.parametrize("etags", ["unique", "content"])
def test_a_run_that_stood_still_takes_away_nothing_that_was_published_since(etags: Etags) -> None:
    """Even where the rows, and in S3 their ETag, are those of the object that it created."""
    store = MemoryStore(etags=etags)
    rows = [Rows(f"h{hour}") for hour in range(24)]
    slow, day = Publisher("slow", rows), Publisher("day", [Rows("day", 24)], grid=TICK_PER_DAY)
    later = Publisher("later", rows)
    interleaving = Interleaving(store, [slow, day, later])

    def choose(waiting: Sequence[str]) -> str:
        at, day_done = interleaving.runners["slow"].at[0], interleaving.runners["day"].done
        if "slow" in waiting and not (at == "place" and not day_done) and at != "remove":
            return "slow"
        return next(name for name in ("day", "later", "slow") if name in waiting)

    interleaving.run(choose)
    assert any("slow: remove" in line for line in interleaving.trace)
    assert isinstance(interleaving.runners["later"].outcome, Manifest)
    assert differing(store) == []
    assert len(store.keys(f"{EXPORT}/")) == 24
