"""Publishing, one run at a time: a run that died before any of its steps is healed by the next."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import pytest
from tests.logferry.interleaving import Interleaving, Killed
from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import EXPORT, HALF, A, B, C, Publisher, Rows, differing, hours

from logferry.layout import checkpoint_prefix, journal_key, slice_key
from logferry.records.journal import Journal
from logferry.records.ledger import read_ledger


def crowded() -> MemoryStore:
    """A store in which a publication has everything to do: a slice to keep, one to replace, one to create, leftovers
    to remove, a damaged record, and a checkpoint that is due."""
    store = MemoryStore(etags="content")
    for hour in range(5):
        Publisher(f"early{hour}", [A], first=10 + hour).carry(store)
    Publisher("old", [A, A]).carry(store)
    Publisher("fine", [Rows("x", 1), Rows("y", 1)], first=2, grid=HALF).carry(store)
    store.forget(journal_key(EXPORT, 4))
    return store


def crowded_run() -> Publisher:
    return Publisher("run", [A, B, C])


def steps_of_a_crowded_run() -> int:
    interleaving = Interleaving(crowded(), [crowded_run()])
    interleaving.run(lambda waiting: waiting[0])
    operations = Counter(line.split()[1] for line in interleaving.trace)
    assert operations["place"] == 2
    assert any(checkpoint_prefix(EXPORT) in line for line in interleaving.trace)
    return len(interleaving.trace)


@pytest.mark.parametrize("by", ["the same run", "another run"])
def test_a_run_that_died_before_any_of_its_steps_is_healed_by_a_rerun(by: str) -> None:
    for step in range(1, steps_of_a_crowded_run() + 1):
        store = crowded()
        dying = Interleaving(store, [crowded_run()], kill={"run": step})
        dying.run(lambda waiting: waiting[0])
        assert isinstance(dying.runners["run"].outcome, Killed)
        assert differing(store) == []
        again = dataclasses.replace(crowded_run(), attempt=2)
        if by == "another run":
            again.run = "other"
            again.carry(store)
        else:
            again.publish(store)
        ledger = read_ledger(store, EXPORT)
        assert ledger.open_intents == {}, step
        assert ledger.damage == []
        assert differing(store, ledger) == []
        assert store.keys(f"{EXPORT}/") == sorted(one.entry.file.key for one in ledger.slices.values())
        assert ledger.named == ledger.head
        assert store.keys("_staging/web/other/") == []
        records = list(Journal(store, EXPORT).records())
        assert all(after.content.previous == before.hash for before, after in pairwise(records))


class Settling(MemoryStore):
    """Keeps a list of its writes and of what was settled."""

    def __init__(self) -> None:
        super().__init__(before=self.note)
        self.steps: list[str] = []

    def note(self, operation: str, key: str) -> None:
        if operation in ("place", "put_bytes", "remove"):
            self.steps.append(f"{operation} {key}")

    def settle(self, keys: Iterable[str]) -> None:
        self.steps.append(f"settle {' '.join(keys)}")


def attempt_again_after_a_death_at_the_record(store: Settling, run: Publisher) -> None:
    """``store.steps`` are those of the second attempt; the first one placed everything, and only the intent is there
    of it."""

    def dies(operation: str, key: str) -> None:
        if (operation, key) == ("put_bytes", journal_key(EXPORT, 4)):
            raise Killed

    store.before = dies
    with pytest.raises(Killed):
        run.carry(store)
    store.before = store.note
    store.steps.clear()
    dataclasses.replace(run, attempt=2).publish(store)
    assert not any(step.startswith("place") for step in store.steps)


def test_what_a_record_names_is_settled_before_it() -> None:
    store = Settling()
    Publisher("old", [A, B]).carry(store)
    store.steps.clear()
    Publisher("run", [A, C]).carry(store)
    kept, placed = slice_key(EXPORT, hours(0)), slice_key(EXPORT, hours(1))
    assert store.steps[:4] == [
        f"put_bytes {journal_key(EXPORT, 3)}",
        f"place {placed}",
        f"settle {kept} {placed}",
        f"put_bytes {journal_key(EXPORT, 4)}",
    ]


def test_what_a_dead_attempt_put_back_is_settled_though_an_old_record_names_it() -> None:
    store = Settling()
    Publisher("old", [A, B]).carry(store)
    lost = slice_key(EXPORT, hours(1))
    store.delete([lost])
    attempt_again_after_a_death_at_the_record(store, Publisher("run", [A, B]))
    settled = next(step for step in store.steps if step.startswith("settle"))
    assert lost in settled.split()


def test_what_a_dead_attempt_placed_is_settled_by_the_one_that_records_it() -> None:
    store = Settling()
    Publisher("old", [A, B]).carry(store)
    attempt_again_after_a_death_at_the_record(store, Publisher("run", [A, C]))
    operations = [step.split()[0] for step in store.steps]
    assert store.steps[operations.index("settle") :][:2] == [
        f"settle {slice_key(EXPORT, hours(0))} {slice_key(EXPORT, hours(1))}",
        f"put_bytes {journal_key(EXPORT, 5)}",
    ]


def test_rows_of_another_grid_are_removed_only_when_the_new_files_are_settled() -> None:
    store = Settling()
    Publisher("fine", [Rows("x", 1), Rows("y", 1)], grid=HALF).carry(store)
    store.steps.clear()
    Publisher("run", [A]).carry(store)
    operations = [step.split()[0] for step in store.steps]
    assert operations.index("place") < operations.index("settle") < operations.index("remove")
