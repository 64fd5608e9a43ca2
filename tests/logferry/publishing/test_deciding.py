"""What is done with each slice: the object that is there stays, or the finished part takes its place."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.logferry.harbour import WINDOW, Harbour, dies_before_its_record, results_of
from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import EXPORT, KEY, A, B, Publisher, Rows, differing, hours, sha256

from logferry.errors import DefinitionError, StoreError
from logferry.layout import journal_key, manifest_key, slice_key, staged_key
from logferry.publishing.published_object import ROW_HASH_METADATA, published_row_hash
from logferry.writing.row_hash import RowHash


def test_a_proven_slice_whose_object_is_gone_is_written_again(harbour: Harbour) -> None:
    first = harbour.carry()
    harbour.store.delete([first.slices[3].file.key])
    del harbour.source.rows[3][2:]
    manifest = harbour.carry()
    assert manifest.slices[3].rows == 2
    assert harbour.ids(3) == ["3-0", "3-1"]


def test_a_proven_slice_whose_object_is_another_one_is_not_kept_on_its_word(harbour: Harbour) -> None:
    first = harbour.carry()
    harbour.store.put_bytes(first.slices[3].file.key, b"not parquet")
    del harbour.source.rows[3][2:]
    harbour.carry()
    assert harbour.ids(3) == ["3-0", "3-1"]


def test_a_run_killed_before_its_record_is_healed_with_the_objects_own_facts(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        dies_before_its_record(patched)
        with pytest.raises(KeyboardInterrupt):
            harbour.carry()
    key = harbour.keys("web/")[0]
    # What lies there holds the same rows in other bytes, as another version of the writer would leave it.
    table = pq.read_table(harbour.lake / key)
    row_hash = published_row_hash(harbour.store, key) or ""
    pq.write_table(
        table.replace_schema_metadata({"logferry.row_hash": row_hash}), harbour.lake / key, compression="none"
    )
    assert published_row_hash(harbour.store, key) == row_hash
    manifest = harbour.carry()
    info = harbour.store.head(key)
    assert info is not None
    assert (manifest.status, manifest.slices[0].file.bytes) == ("proven", info.size)
    assert harbour.keys("_staging/") == []


def test_a_part_that_another_run_replaced_is_not_published(harbour: Harbour) -> None:
    results = results_of(harbour)
    staged = next(entry.staged for result in results for entry in result.slices if entry.staged)
    harbour.store.put_bytes(staged, b"other content")
    with pytest.raises(StoreError, match="replaced by another run"):
        harbour.ferry().publish(WINDOW, results)
    assert harbour.keys("_manifests/") == []


def test_an_object_that_changed_after_it_was_compared_is_not_called_unchanged(harbour: Harbour) -> None:
    harbour.carry()
    results = results_of(harbour)
    harbour.store.put_bytes(harbour.keys("web/")[0], b"other content")
    with pytest.raises(StoreError, match="changed while this run compared it"):
        harbour.ferry().publish(WINDOW, results)


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
