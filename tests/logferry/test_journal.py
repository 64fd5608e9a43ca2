"""The journal: one chain, whoever writes and whatever was left half done."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import msgspec
import pytest

from logferry.errors import StoreError
from logferry.journal import Head, Journal
from logferry.layout import head_key, journal_key, manifest_key
from logferry.ledger import fold
from logferry.manifest import FileEntry, Manifest, RunEntry, SliceEntry, Span, Status, content_hash
from logferry.stores.base import AlreadyExists
from logferry.stores.local import LocalStore
from logferry.window import TICK_PER_HOUR, Window, parse_instant

START = parse_instant("2026-11-20T00:00:00Z")


def hours(first: int, count: int = 1) -> Window:
    return Window(START + first * TICK_PER_HOUR, START + (first + count) * TICK_PER_HOUR)


def manifest(window: Window, *, rows: int = 1, run: str = "r", status: Status = "proven") -> Manifest:
    slices = []
    for slice_ in window.slices(TICK_PER_HOUR):
        file = FileEntry(
            key="k", rows=rows, bytes=1, sha256="s", row_hash=str(rows), min_time=None, max_time=None
        )
        span = Span.of(slice_)
        slices.append(
            SliceEntry(
                start=span.start,
                end=span.end,
                status=status,
                rows=rows,
                source_rows=rows,
                counted_at="c",
                file=file,
            )
        )
    return Manifest(
        export="web", seq=0, previous=None, fingerprint="f", source={}, window=Span.of(window), status=status,
        rows=rows, source_rows=rows, columns=[], slices=slices, requests={},
        run=RunEntry(id=run, attempt=1, started_at="", finished_at="", engine=""),
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "lake")


@pytest.fixture
def journal(store: LocalStore) -> Journal:
    return Journal(store, "web")


def test_records_are_chained_by_the_hash_of_their_bytes(store: LocalStore, journal: Journal) -> None:
    for number in range(3):
        journal.append(manifest(hours(number)))
    previous = None
    for seq in (1, 2, 3):
        data = store.read(journal_key("web", seq))
        assert (json.loads(data)["seq"], json.loads(data)["previous"]) == (seq, previous)
        previous = content_hash(data)
    assert json.loads(store.read(head_key("web"))) == {"seq": 3, "hash": previous}
    assert [record.manifest.seq for record in journal.records()] == [1, 2, 3]


def test_the_windows_own_copy_is_the_record(store: LocalStore, journal: Journal) -> None:
    journal.append(manifest(hours(0)))
    journal.append(manifest(hours(0), rows=2))
    assert store.read(manifest_key("web", hours(0))) == store.read(journal_key("web", 2))


def test_an_empty_journal_has_no_head(journal: Journal) -> None:
    assert journal.head() == Head(0, None)
    assert list(journal.records()) == []


@pytest.mark.parametrize("lag", ["behind", "missing"])
def test_a_head_that_lags_or_is_gone_is_walked_past(store: LocalStore, journal: Journal, lag: str) -> None:
    first = journal.append(manifest(hours(0)))
    journal.append(manifest(hours(1)))
    if lag == "behind":
        store.put_bytes(head_key("web"), msgspec.json.encode(Head(1, first.hash)))
    else:
        store.delete([head_key("web")])
    journal.append(manifest(hours(2)))
    assert [record.manifest.seq for record in journal.records()] == [1, 2, 3]
    assert journal.head().seq == 3


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_a_record_that_was_changed_is_found_wherever_it_is(
    store: LocalStore, journal: Journal, seq: int
) -> None:
    for number in range(3):
        journal.append(manifest(hours(number)))
    data = store.read(journal_key("web", seq))
    store.put_bytes(journal_key("web", seq), data.replace(b'"rows": 1', b'"rows": 9'))
    with pytest.raises(StoreError, match="broken"):
        list(journal.records())


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_a_record_that_is_gone_is_found_and_never_forgotten(
    store: LocalStore, journal: Journal, seq: int
) -> None:
    for number in range(3):
        journal.append(manifest(hours(number)))
    store.delete([journal_key("web", seq)])
    with pytest.raises(StoreError, match="missing"):
        list(journal.records())


def test_nothing_is_appended_after_a_last_record_that_is_gone_or_changed(
    store: LocalStore, journal: Journal
) -> None:
    journal.append(manifest(hours(0)))
    journal.append(manifest(hours(1)))
    store.put_bytes(journal_key("web", 2), b"{}")
    with pytest.raises(StoreError, match="broken"):
        journal.append(manifest(hours(2)))
    store.delete([journal_key("web", 2)])
    with pytest.raises(StoreError, match="broken"):
        journal.append(manifest(hours(2)))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"seq":"x"}', b"\xff"])
def test_a_head_that_is_not_readable_is_an_error(store: LocalStore, journal: Journal, data: bytes) -> None:
    journal.append(manifest(hours(0)))
    store.put_bytes(head_key("web"), data)
    with pytest.raises(StoreError, match="not readable"):
        journal.append(manifest(hours(1)))


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff"])
def test_a_record_that_is_no_manifest_is_an_error(store: LocalStore, journal: Journal, data: bytes) -> None:
    store.put_bytes(journal_key("web", 1), data)
    with pytest.raises(StoreError, match="not a manifest"):
        list(journal.records())


def test_writers_that_race_end_in_one_chain_and_lose_nothing(store: LocalStore) -> None:
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def write(name: str) -> None:
        barrier.wait()
        try:
            for number in range(4):
                Journal(store, "web").append(manifest(hours(number), run=f"{name}{number}"))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    records = list(Journal(store, "web").records())
    assert [record.manifest.seq for record in records] == list(range(1, 17))
    assert sorted(record.manifest.run.id for record in records) == sorted(
        f"{n}{i}" for n in "abcd" for i in range(4)
    )


def test_a_journal_that_is_always_taken_gives_up_with_a_remedy(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(*_: object, **__: object) -> None:
        raise AlreadyExists("taken")

    monkeypatch.setattr(LocalStore, "put_bytes", taken)
    with pytest.raises(StoreError, match="try again"):
        journal.append(manifest(hours(0)))


def test_the_last_publication_of_a_slice_wins(journal: Journal) -> None:
    journal.append(manifest(hours(0, 3), rows=1))
    journal.append(manifest(hours(1), rows=2))
    ledger = fold(journal.records())
    assert [ledger[hours(at)].entry.rows for at in range(3)] == [1, 2, 1]
    assert [ledger[hours(at)].seq for at in range(3)] == [1, 2, 1]
