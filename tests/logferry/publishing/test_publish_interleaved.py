"""Several publications at a time: every store operation is a point where another may go on, for however long, or die.

What must hold: an object is at every moment wholly what some run staged for it; as soon as no run stands in between, it
is what the last publication says; the chain never breaks; a run fails only because another took its place; and one more
publication leaves nothing half done.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.logferry.interleaving import Choose, Interleaving, Killed
from tests.logferry.memory_store import Etags, MemoryStore
from tests.logferry.publishing_runs import EXPORT, START, Publisher, Rows, differing

from logferry.errors import StoreError, Superseded
from logferry.layout import slice_key
from logferry.records.journal import Journal
from logferry.records.ledger import read_ledger
from logferry.records.manifest import Manifest
from logferry.window import TICK_PER_HOUR, TICK_PER_SECOND

A, B, C = Rows("a"), Rows("b"), Rows("c")


def seeded(etags: Etags, before: Sequence[Rows]) -> MemoryStore:
    store = MemoryStore(etags=etags)
    if before:
        Publisher("before", before).carry(store)
    return store


class World:
    """A schedule under watch."""

    def __init__(
        self, store: MemoryStore, publishers: Sequence[Publisher], *, kill: dict[str, int] | None = None
    ) -> None:
        self.store = store
        self.allowed: dict[str, set[bytes]] = {key: {store.content(key)} for key in store.keys(f"{EXPORT}/")}
        for one in publishers:
            for slice_, rows in zip(one.windows(), one.slices, strict=True):
                self.allowed.setdefault(slice_key(EXPORT, slice_), set()).add(rows.data)
        self.interleaving = Interleaving(store, publishers, kill=kill, after_each=self.look)

    def run(self, choose: Choose) -> None:
        try:
            self.interleaving.run(choose)
            self.judge()
        except AssertionError as error:
            error.add_note("\n".join(self.interleaving.trace))
            raise

    def look(self, operation: tuple[str, str]) -> None:
        if operation[0] not in ("place", "renew", "remove", "put_bytes"):
            return
        for key in self.store.keys(f"{EXPORT}/"):
            assert self.store.content(key) in self.allowed[key], f"{key} is torn"
        assert differing(self.store) == []

    def judge(self) -> None:
        runners = self.interleaving.runners
        for runner in runners.values():
            outcome = runner.outcome
            assert isinstance(outcome, Manifest | StoreError | Killed), outcome
        check_chain(self.store)
        if all(not isinstance(runner.outcome, Killed) for runner in runners.values()):
            self.judge_losers()
        heal(self.store, [runner.publisher for runner in runners.values()])

    def judge_losers(self) -> None:
        """Nobody died: a run lost only to one that overlaps, and the last intent of all was fulfilled."""
        runners = self.interleaving.runners
        for name, runner in runners.items():
            if runner.failed is not None:
                assert isinstance(runner.failed, Superseded), runner.failed
                window = runner.publisher.window
                assert any(
                    other.publisher.window.start < window.end and window.start < other.publisher.window.end
                    for rival, other in runners.items()
                    if rival != name
                )
        records = list(Journal(self.store.quiet(), EXPORT).records())
        last = max(record.seq for record in records if record.intent is not None)
        assert any(record.publication is not None and record.publication.intent == last for record in records)


def check_chain(store: MemoryStore) -> None:
    journal = Journal(store.quiet(), EXPORT)
    records = list(journal.records())
    assert [damage for damage in journal.damage if damage.kind != "head"] == []
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    for before, after in itertools.pairwise(records):
        assert after.content.previous == before.hash


def heal(store: MemoryStore, publishers: Sequence[Publisher]) -> None:
    """One more run over everything, a week later."""
    end = max(one.window.end - START for one in publishers) // TICK_PER_HOUR
    store.now += 8 * 24 * 3600 * 10_000_000
    Publisher("heal", [Rows(f"healed-{hour}", 9) for hour in range(end)]).carry(store)
    ledger = read_ledger(store.quiet(), EXPORT)
    assert ledger.open_intents == {}
    assert ledger.damage == []
    assert differing(store, ledger) == []
    assert sorted(store.keys(f"{EXPORT}/")) == sorted(slice_key(EXPORT, slice_) for slice_ in ledger.slices)
    assert store.keys("_staging/") == []
    assert ledger.named is not None
    assert (ledger.named.seq, ledger.named.hash) == (ledger.head.seq, ledger.head.hash)
    check_chain(store)


def pairs_of_points(names: tuple[str, str], stride: int) -> Iterator[list[tuple[str, int]]]:
    """The first run is interrupted by the second, and that one by the first again, at every pair of points."""
    for order in (names, names[::-1]):
        for first in range(1, 26):
            for second in range(first % stride + 1, 26, stride):
                yield [(order[0], first), (order[1], second)]


class Scripted:
    """Follows ``(run, operations)``, then lets the runs that are left end in their order."""

    def __init__(self, script: Sequence[tuple[str, int]]) -> None:
        self._script = [name for name, count in script for _ in range(count)]
        self._script.reverse()

    def __call__(self, waiting: Sequence[str]) -> str:
        while self._script:
            name = self._script.pop()
            if name in waiting:
                return name
        return waiting[0]


@pytest.mark.parametrize(
    ("etags", "before"), [("unique", ()), ("content", (A,))], ids=["nothing there", "a slice there"]
)
def test_two_runs_that_interrupt_each_other_at_pairs_of_points(
    etags: Etags, before: tuple[Rows, ...]
) -> None:
    for script in pairs_of_points(("one", "two"), 7):
        World(seeded(etags, before), [Publisher("one", [B]), Publisher("two", [C])]).run(Scripted(script))


@pytest.mark.parametrize("dies_before", range(16, 30))
def test_a_run_that_dies_is_finished_by_another_that_was_interrupted_by_it(dies_before: int) -> None:
    for second in range(3, 26, 4):
        script = [("one", 12), ("two", second), ("one", 30)]
        runs = [Publisher("one", [B, B]), Publisher("two", [A, C])]
        World(seeded("content", [A, A]), runs, kill={"one": dies_before}).run(Scripted(script))


contents = st.sampled_from([A, B, C, Rows("a", writer="other")])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Etags, list[Rows], list[Publisher], dict[str, int]]:
    etags: Etags = draw(st.sampled_from(["unique", "content"]))
    before = draw(st.lists(contents, max_size=3))
    publishers = []
    for index in range(draw(st.integers(2, 3))):
        slices = draw(st.lists(contents, min_size=1, max_size=3))
        finer = draw(st.sampled_from([1, 1, 1, 2]))
        publishers.append(
            Publisher(
                f"run{index}",
                slices * finer,
                first=draw(st.integers(0, 2)),
                grid=TICK_PER_HOUR // finer,
                allow_shrink=finer == 1,
            )
        )
    kill = draw(st.dictionaries(st.sampled_from([one.run for one in publishers]), st.integers(1, 60)))
    return etags, before, publishers, kill


@given(world=worlds(), data=st.data())
def test_runs_in_any_order_with_any_of_them_dying_anywhere(
    world: tuple[Etags, list[Rows], list[Publisher], dict[str, int]], data: st.DataObject
) -> None:
    etags, before, publishers, kill = world
    bursts = st.tuples(st.integers(0, 2), st.integers(1, 30))
    script = [
        (publishers[index % len(publishers)].run, count)
        for index, count in data.draw(st.lists(bursts, max_size=14))
    ]
    World(seeded(etags, before), publishers, kill=kill).run(Scripted(script))


class Fair:
    """Anyone at random, but nobody stands still for longer than a lease allows for."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._passed_over: dict[str, int] = {}

    def __call__(self, waiting: Sequence[str]) -> str:
        late = [name for name in waiting if self._passed_over.get(name, 0) >= MOST_PASSED_OVER]
        chosen = late[0] if late else self._random.choice(list(waiting))
        for name in waiting:
            self._passed_over[name] = 0 if name == chosen else self._passed_over.get(name, 0) + 1
        return chosen


MOST_PASSED_OVER = 15
"""Of operations of a tenth of a second: less than the pause of two seconds in which a lease is taken."""


@given(world=worlds(), seed=st.integers(0, 2**32))
def test_where_conditions_are_ignored_a_lease_keeps_runs_apart(
    world: tuple[Etags, list[Rows], list[Publisher], dict[str, int]], seed: int
) -> None:
    etags, before, publishers, kill = world
    store = seeded(etags, before)
    store.enforces = False
    world_ = World(store, publishers, kill=kill)
    world_.interleaving.run(Fair(seed))
    runners = world_.interleaving.runners.values()
    if not any(isinstance(runner.outcome, Killed) for runner in runners):
        assert [runner.outcome for runner in runners if not isinstance(runner.outcome, Manifest)] == []
    check_chain(store)
    heal(store, publishers)


def test_a_run_that_stood_still_beyond_its_lease_stops_at_its_next_step() -> None:
    for steps in range(14, 40):
        store = seeded("unique", [A])
        store.enforces = False
        slow, quick = Publisher("slow", [B]), Publisher("quick", [C])
        interleaving = Interleaving(store, [slow, quick])

        def choose(
            waiting: Sequence[str], interleaving: Interleaving = interleaving, steps: int = steps
        ) -> str:
            slow_ = interleaving.runners["slow"]
            if slow_.steps < steps and not slow_.done:
                interleaving.store.now = max(interleaving.store.now, slow_.wakes)
                return "slow"
            if interleaving.runners["quick"].steps == 0:
                interleaving.store.now += 400 * TICK_PER_SECOND
            return "quick" if "quick" in waiting else "slow"

        interleaving.run(choose)
        assert isinstance(interleaving.runners["quick"].outcome, Manifest)
        assert isinstance(interleaving.runners["slow"].outcome, Manifest | Superseded)
        check_chain(store)
