"""Publishing, one run at a time: what is placed, kept, removed and refused, and what a run that died leaves."""

from __future__ import annotations

import dataclasses
import io
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.logferry.interleaving import Interleaving, Killed
from tests.logferry.memory_store import Etags, MemoryStore
from tests.logferry.publishing_runs import EXPORT, START, Publisher, Rows, differing, hours, sha256

from logferry.audit.verify import verify
from logferry.errors import DefinitionError, StoreError, Superseded
from logferry.layout import (
    checkpoint_prefix,
    head_key,
    journal_key,
    manifest_key,
    piece_key,
    slice_key,
    staged_key,
)
from logferry.publishing.published_object import ROW_HASH_METADATA
from logferry.records.journal import Journal
from logferry.records.ledger import read_ledger
from logferry.records.manifest import Intent, Manifest, Status, decode_record
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, Window
from logferry.writing.row_hash import RowHash

A, B, C = Rows("a", 4), Rows("b", 5), Rows("c", 6)
HALF = TICK_PER_HOUR // 2
KEY = slice_key(EXPORT, hours(0))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def intent_of(store: MemoryStore, manifest: Manifest) -> Intent:
    assert manifest.intent is not None
    found = decode_record(store.content(journal_key(EXPORT, manifest.intent)))
    assert isinstance(found, Intent)
    return found


# -- the records


def test_a_slice_that_is_called_proven_with_other_rows_than_were_counted_is_refused(
    store: MemoryStore,
) -> None:
    publisher = Publisher("a", [Rows("x", 7)], counted=8)
    publisher.stage(store)
    with pytest.raises(StoreError, match="called proven with 7 rows, and the source counted 8"):
        publisher.publish(store)
    assert not list(store.list("_logferry/"))


def test_an_intent_names_every_slice_before_and_after_and_the_publication_names_the_intent(
    store: MemoryStore,
) -> None:
    Publisher("one", [A, B]).carry(store)
    manifest = Publisher("two", [A, C, B]).carry(store)
    assert (manifest.seq, manifest.intent) == (4, 3)
    found = [(one.old, one.new, one.etag is not None) for one in intent_of(store, manifest).slices]
    assert found == [
        (A.row_hash, A.row_hash, False),
        (B.row_hash, C.row_hash, True),
        (None, B.row_hash, False),
    ]


def test_the_windows_copy_and_head_are_of_the_last_publication(store: MemoryStore) -> None:
    Publisher("one", [A]).carry(store)
    Publisher("two", [B]).carry(store)
    assert store.content(manifest_key(EXPORT, hours(0))) == store.content(journal_key(EXPORT, 4))
    ledger = read_ledger(store, EXPORT)
    assert ledger.named == ledger.head


def test_other_rows_under_another_definition_are_not_late_rows(store: MemoryStore) -> None:
    Publisher("one", [Rows("a", 3)]).carry(store)
    manifest = Publisher("two", [Rows("b", 5)], fingerprint="g").carry(store)
    (entry,) = manifest.slices
    assert (entry.rows, entry.previous_rows, entry.previous_counted_at) == (5, None, None)


def test_where_rows_of_a_slice_moved_the_entry_says_what_was_before(store: MemoryStore) -> None:
    Publisher("one", [A, B], finished_at="2026-11-21T00:00:00Z").carry(store)
    manifest = Publisher("two", [C, B]).carry(store)
    assert [(one.previous_rows, one.previous_counted_at) for one in manifest.slices] == [
        (4, "2026-11-21T00:00:00Z"),
        (None, None),
    ]


def test_a_late_window_copy_and_head_never_go_back(store: MemoryStore) -> None:
    slow = Publisher("slow", [A])
    interleaving = Interleaving(store, [slow, Publisher("quick", [B])])

    def quick_after_the_commit_of_slow(waiting: Sequence[str]) -> str:
        committed = journal_key(EXPORT, 2) in store.objects
        return "quick" if committed and "quick" in waiting else waiting[0]

    interleaving.run(quick_after_the_commit_of_slow)
    assert all(isinstance(one.outcome, Manifest) for one in interleaving.runners.values())
    assert store.content(manifest_key(EXPORT, hours(0))) == store.content(journal_key(EXPORT, 4))
    ledger = read_ledger(store, EXPORT)
    assert ledger.named == ledger.head


def test_a_publication_makes_up_for_one_that_died_after_its_commit(store: MemoryStore) -> None:
    dead = Interleaving(
        store, [Publisher("dead", [A])], kill={"dead": dying_step("put_bytes _manifests/web/2")}
    )
    dead.run(lambda waiting: waiting[0])
    assert manifest_key(EXPORT, hours(0)) not in store.objects
    Publisher("next", [B], first=1).carry(store)
    assert store.content(manifest_key(EXPORT, hours(0))) == store.content(journal_key(EXPORT, 2))


def dying_step(operation: str) -> int:
    """The number of the first such operation of a run that is alone."""
    interleaving = Interleaving(MemoryStore(), [Publisher("x", [A])])
    interleaving.run(lambda waiting: waiting[0])
    return 1 + next(
        index
        for index, line in enumerate(interleaving.trace)
        if line.removeprefix("x: ").startswith(operation)
    )


# -- what is uploaded


def test_an_unchanged_slice_is_neither_placed_nor_given_another_etag(store: MemoryStore) -> None:
    Publisher("one", [A, B]).carry(store)
    before = {key: store.objects[key].generation for key in store.keys(f"{EXPORT}/")}
    store.counted.clear()
    manifest = Publisher("two", [A, B]).carry(store)
    assert {key: store.objects[key].generation for key in store.keys(f"{EXPORT}/")} == before
    assert (store.counted["place"], store.counted["renew"]) == (0, 0)
    assert manifest.status == "proven"


def test_equal_rows_in_other_bytes_leave_the_object_and_its_facts(store: MemoryStore) -> None:
    Publisher("one", [A]).carry(store)
    manifest = Publisher("two", [Rows("a", 4, writer="newer pyarrow")]).carry(store)
    assert store.content(KEY) == A.data
    assert manifest.slices[0].file.sha256 == sha256(A.data)


@pytest.mark.parametrize("damage", ["flipped", "swapped", "deleted", "cut"])
def test_a_damaged_object_of_an_unchanged_slice_is_replaced(store: MemoryStore, damage: str) -> None:
    Publisher("one", [A, B]).carry(store)
    other = slice_key(EXPORT, hours(1))
    kept = dict(store.objects[KEY].metadata)
    match damage:
        case "flipped":
            store.seed(KEY, b"A" + A.data[1:], kept)
        case "cut":
            store.seed(KEY, A.data[:-1], kept)
        case "swapped":
            store.objects[KEY], store.objects[other] = store.objects[other], store.objects[KEY]
        case _:
            store.forget(KEY)
    Publisher("two", [A, B]).carry(store)
    assert (store.content(KEY), store.content(other)) == (A.data, B.data)
    assert differing(store) == []


def test_a_damaged_object_cannot_be_kept_without_a_part_and_the_remedy_is_said(store: MemoryStore) -> None:
    Publisher("one", [A]).carry(store)
    store.seed(KEY, b"A" + A.data[1:], dict(store.objects[KEY].metadata))
    with pytest.raises(StoreError, match="without --only-moved"):
        Publisher("two", [A], unstaged=frozenset([0])).carry(store)
    assert len(store.keys("_manifests/web/journal/")) == 2


def test_a_slice_without_a_part_stays_and_is_proven_anew(store: MemoryStore) -> None:
    Publisher("one", [A], finished_at="2026-11-21T00:00:00Z").carry(store)
    manifest = Publisher("two", [A], unstaged=frozenset([0])).carry(store)
    assert manifest.slices[0].counted_at == "2026-11-22T00:00:00Z"
    assert manifest.slices[0].file.sha256 == sha256(A.data)


def parquet(rows: int) -> tuple[bytes, str]:
    table = pa.table({"id": [str(row) for row in range(rows)]})
    digest = RowHash(table.schema)
    digest.update(table)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue(), digest.digest()


def test_an_object_no_record_vouches_for_is_taken_when_its_rows_are_read_and_are_those(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, row_hash = parquet(3)
    monkeypatch.setattr(Rows, "row_hash", row_hash)
    publisher = Publisher("one", [Rows("a", 3)], unstaged=frozenset([0]))
    store.seed(KEY, data[:-1], {ROW_HASH_METADATA: row_hash})
    with pytest.raises(StoreError, match="without --only-moved"):
        publisher.carry(store)
    store.seed(KEY, data, {ROW_HASH_METADATA: row_hash})
    manifest = publisher.carry(store)
    assert (manifest.slices[0].file.sha256, manifest.slices[0].file.bytes) == (sha256(data), len(data))


@pytest.mark.parametrize("how", ["gone", "replaced"])
def test_a_part_that_is_gone_or_another_is_not_published(store: MemoryStore, how: str) -> None:
    publisher = Publisher("one", [A])
    publisher.stage(store)
    if how == "gone":
        store.forget(staged_key(EXPORT, "one", hours(0), sha256(A.data)))
    else:
        store.seed(
            staged_key(EXPORT, "one", hours(0), sha256(A.data)), B.data, {ROW_HASH_METADATA: B.row_hash}
        )
    with pytest.raises(StoreError, match="gone or was replaced"):
        publisher.publish(store)
    assert store.keys("_manifests/") == []


# -- never shrink


@pytest.mark.parametrize("status", ["proven", "unproven", "short"])
def test_fewer_rows_do_not_replace_proven_ones_of_the_same_definition(
    store: MemoryStore, status: Status
) -> None:
    Publisher("one", [B]).carry(store)
    manifest = Publisher("two", [A], status=status).carry(store)
    assert store.content(KEY) == B.data
    found = manifest.slices[0]
    assert (found.rows, found.source_now, found.status, found.fingerprint) == (5, 4, "proven", None)
    assert store.keys("_staging/") == []
    assert differing(store) == []


@pytest.mark.parametrize(
    ("rows", "status", "kept"),
    [
        (0, "proven", True),
        (4, "unproven", True),
        (4, "short", True),
        (4, "proven", False),
        (6, "short", False),
    ],
)
def test_another_definition_may_give_fewer_proven_rows_but_not_none_nor_unproven_ones(
    store: MemoryStore, rows: int, status: Status, kept: bool
) -> None:
    Publisher("one", [B]).carry(store)
    for _ in range(2):  # a kept slice is kept again
        manifest = Publisher("two", [Rows("x", rows)], status=status, fingerprint="g").carry(store)
        found = manifest.slices[0]
        assert (found.rows, found.fingerprint) == ((5, "f") if kept else (rows, None))
        assert read_ledger(store, EXPORT).slices[hours(0)].fingerprint == ("f" if kept else "g")
    assert differing(store) == []
    Publisher("three", [Rows("x", 0)], fingerprint="g", allow_shrink=True).carry(store)
    assert read_ledger(store, EXPORT).slices[hours(0)].entry.rows == 0


@pytest.mark.parametrize("how", ["deleted", "damaged"])
def test_a_slice_whose_object_is_lost_is_not_called_empty_once_the_source_has_forgotten_it(
    store: MemoryStore, how: str
) -> None:
    Publisher("one", [B]).carry(store)
    if how == "deleted":
        store.forget(KEY)
    else:
        store.seed(KEY, b"?", dict(store.objects[KEY].metadata))
    with pytest.raises(DefinitionError, match="--allow-shrink"):
        Publisher("two", [Rows("x", 0)]).carry(store)
    Publisher("three", [Rows("x", 0)], allow_shrink=True).carry(store)
    assert differing(store) == []


@pytest.mark.parametrize("between", ["unproven", "short"])
@pytest.mark.parametrize("fingerprint", ["f", "g"])
def test_proven_rows_are_not_lost_in_two_steps(store: MemoryStore, between: Status, fingerprint: str) -> None:
    Publisher("one", [Rows("a", 100)]).carry(store)
    Publisher("two", [Rows("b", 110)], status=between, counted=120).carry(store)
    for rows in (0, 90):
        past_retention = Publisher("three", [Rows("c", rows)], status="unproven", fingerprint=fingerprint)
        assert past_retention.carry(store).slices[0].rows == 110
    assert store.content(KEY) == Rows("b", 110).data
    proven = Publisher("four", [Rows("d", 90)], fingerprint=fingerprint).carry(store)
    assert (proven.slices[0].rows, proven.slices[0].status) == (90, "proven")


@pytest.mark.parametrize("status", ["proven", "unproven", "short"])
@pytest.mark.parametrize("now", ["proven", "unproven", "short"])
def test_a_slice_with_rows_is_never_replaced_by_none(store: MemoryStore, status: Status, now: Status) -> None:
    Publisher("one", [A], status=status).carry(store)
    manifest = Publisher("two", [Rows("x", 0)], status=now).carry(store)
    assert (manifest.slices[0].rows, manifest.slices[0].source_now) == (4, 0)
    assert store.content(KEY) == A.data
    Publisher("three", [Rows("x", 0)], status=now, allow_shrink=True).carry(store)
    assert read_ledger(store, EXPORT).slices[hours(0)].entry.rows == 0


def unrecorded(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object of three rows, whose record and copy are lost."""
    data, row_hash = parquet(3)
    with monkeypatch.context() as patched:
        patched.setattr(Rows, "row_hash", row_hash)
        patched.setattr(Rows, "data", data)
        Publisher("one", [Rows("a", 3)]).carry(store)
    Publisher("other", [A], first=5).carry(store)
    store.forget(journal_key(EXPORT, 2))
    store.forget(manifest_key(EXPORT, hours(0)))


def test_an_object_with_rows_whose_record_is_lost_is_not_replaced_by_none(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    unrecorded(store, monkeypatch)
    empty = Publisher("two", [Rows("x", 0)], status="unproven")
    with pytest.raises(DefinitionError, match=r"holds 3 rows .* restore .* --allow-shrink"):
        empty.carry(store)
    empty.allow_shrink = True
    assert empty.carry(store).slices[0].rows == 0


# -- another grid


@pytest.mark.parametrize("before", ["unproven", "short"])
@pytest.mark.parametrize(
    ("rows", "status", "refused"),
    [
        (0, "unproven", True),
        (0, "proven", True),
        (7, "unproven", True),
        (7, "proven", False),
        (8, "short", False),
    ],
)
def test_unproven_slices_of_another_grid_do_not_give_way_to_none_nor_to_fewer_unproven_rows(
    store: MemoryStore, before: Status, rows: int, status: Status, refused: bool
) -> None:
    Publisher("one", [Rows("a", 4), Rows("b", 4)], grid=HALF, status=before, counted=9).carry(store)
    whole = Publisher("two", [Rows("x", rows)], status=status)
    if refused:
        with pytest.raises(DefinitionError, match=r"with 8 rows .*--allow-shrink"):
            whole.carry(store)
        assert len(store.keys(f"{EXPORT}/")) == 2
        whole.allow_shrink = True
    assert whole.carry(store).rows == rows
    assert store.keys(f"{EXPORT}/") == [KEY]


def test_a_coarser_slice_whose_object_is_gone_is_forgotten_once_others_cover_its_time(
    store: MemoryStore,
) -> None:
    Publisher("day", [Rows("d", 24)], grid=TICK_PER_DAY).carry(store)
    store.forget(slice_key(EXPORT, hours(0, 24)))
    for hour in range(24):
        assert hours(0, 24) in read_ledger(store, EXPORT).slices
        last = Publisher(f"h{hour}", [A], first=hour).carry(store)
    assert [span.window() for span in last.removed] == [hours(0, 24)]
    assert set(read_ledger(store, EXPORT).slices) == {hours(hour) for hour in range(24)}


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


def test_slices_of_a_finer_grid_are_removed_once_the_new_ones_are_there(store: MemoryStore) -> None:
    Publisher("one", [Rows("a", 1), Rows("b", 1)], grid=HALF).carry(store)
    old = store.keys(f"{EXPORT}/")
    manifest = Publisher("two", [A], fingerprint="g").carry(store)
    assert store.keys(f"{EXPORT}/") == [KEY]
    assert [span.window() for span in manifest.removed] == [
        Window(START, START + HALF),
        Window(START + HALF, START + 2 * HALF),
    ]
    assert [(one.old, one.new) for one in intent_of(store, manifest).slices] == [
        (None, A.row_hash),
        (Rows("a", 1).row_hash, None),
        (Rows("b", 1).row_hash, None),
    ]
    ledger = read_ledger(store, EXPORT)
    assert set(ledger.slices) == {hours(0)}
    assert len(old) == 2


def test_a_coarser_slice_that_reaches_beyond_the_window_is_refused_with_the_window_that_covers_it(
    store: MemoryStore,
) -> None:
    Publisher("one", [A], grid=2 * TICK_PER_HOUR).carry(store)
    with pytest.raises(DefinitionError, match="2026-11-20T00:00:00Z, 2026-11-20T02:00:00Z"):
        Publisher("two", [A], first=1).carry(store)
    Publisher("two", [A, B]).carry(store)
    assert len(store.keys(f"{EXPORT}/")) == 2


def test_removing_more_proven_rows_than_replace_them_is_refused(store: MemoryStore) -> None:
    Publisher("one", [Rows("a", 3), Rows("b", 2), Rows("c", 0), Rows("d", 0)], grid=HALF).carry(store)
    shrinking = Publisher("two", [A, Rows("more", 9)])
    with pytest.raises(DefinitionError, match=r"with 5 rows .* gives 4.*--allow-shrink"):
        shrinking.carry(store)
    assert len(store.keys(f"{EXPORT}/")) == 4
    shrinking.allow_shrink = True
    shrinking.carry(store)
    assert len(store.keys(f"{EXPORT}/")) == 2


def test_objects_of_another_grid_that_no_record_knows_are_removed_too(store: MemoryStore) -> None:
    stray = slice_key(EXPORT, Window(START, START + HALF))
    store.seed(stray, b"left by a run that died", {})
    manifest = Publisher("one", [A]).carry(store)
    assert stray not in store.objects
    assert len(manifest.removed) == 1


# -- after the commit


def test_parts_and_pieces_of_the_window_go_and_those_of_the_runs_other_windows_stay(
    store: MemoryStore,
) -> None:
    mine = piece_key(EXPORT, "one", START + 1, START + 7, sha256(A.data))
    others = [
        piece_key(EXPORT, "one", START + TICK_PER_HOUR, START + TICK_PER_HOUR + 7, sha256(A.data)),
        staged_key(EXPORT, "one", hours(1), sha256(A.data)),
        staged_key(EXPORT, "two", hours(0), sha256(A.data)),
    ]
    for key in [mine, *others]:
        store.seed(key, b"part")
    Publisher("one", [A]).carry(store)
    assert store.keys("_staging/") == sorted(others)


def test_parts_nobody_came_back_for_are_swept_after_a_week(store: MemoryStore) -> None:
    store.seed(staged_key(EXPORT, "dead", hours(5), sha256(A.data)), b"part")
    store.seed(staged_key("other", "dead", hours(5), sha256(A.data)), b"part")
    store.now += 8 * TICK_PER_DAY
    store.seed(staged_key(EXPORT, "alive", hours(5), sha256(A.data)), b"part")
    Publisher("one", [A]).carry(store)
    left = [
        staged_key("other", "dead", hours(5), sha256(A.data)),
        staged_key(EXPORT, "alive", hours(5), sha256(A.data)),
    ]
    assert store.keys("_staging/") == left


@pytest.mark.parametrize("failing", ["HEAD.json", "20261120", "checkpoints/", "_staging/"])
def test_what_fails_after_the_commit_is_made_up_for_by_the_next_publication(
    store: MemoryStore, failing: str
) -> None:
    for hour in range(7):
        Publisher("before", [A], first=hour).carry(store)

    def fail(operation: str, key: str) -> None:
        if failing in key and operation in ("put_bytes", "delete", "list"):
            raise StoreError("the network went away")

    store.before = fail
    publisher = Publisher("one", [A], first=7)
    assert publisher.carry(store).seq == 16
    store.before = lambda operation, key: None
    Publisher("next", [A], first=8).carry(store)
    ledger = read_ledger(store, EXPORT)
    assert ledger.named == ledger.head
    assert ledger.damage == []
    for window, one in ledger.windows.items():
        assert store.content(manifest_key(EXPORT, window)) == store.content(journal_key(EXPORT, one.seq))
    assert len(store.keys(checkpoint_prefix(EXPORT))) >= 1


# -- dying


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


def test_results_that_are_not_the_window_are_refused(store: MemoryStore) -> None:
    publisher = Publisher("one", [A, B])
    publisher.stage(store)
    short = msgspec.structs.replace(publisher.result(), slices=publisher.result().slices[1:])
    publisher.result = lambda: short  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="do not cover"):
        publisher.publish(store)
    assert head_key(EXPORT) not in store.objects
