"""What every store does. Metadata is not part of it: a store may keep it or leave it empty.

A test module subclasses ``StoreBehaviour`` and provides the fixtures ``store`` and ``fill``, which puts small
objects under many keys by a shorter way than the store's own.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from logferry.errors import StoreError
from logferry.stores import AlreadyExists, Changed, NotFound, Store
from logferry.stores.conditions import REMEMBERED_KEY
from logferry.window import TICK_PER_SECOND

ODD_KEYS = ["a=b/c", "a:b", "a+b", "a b", "caf\u00e9/\u65e5\u672c", "100%25", "a&b?c#d", "a~b,(c)'!*"]


Fill = Callable[[Iterable[str]], None]


def keys_of(store: Store, prefix: str = "") -> list[str]:
    """Without the note that a store keeps about itself."""
    return [info.key for info in store.list(prefix) if info.key != REMEMBERED_KEY]


def etag_of(store: Store, key: str) -> str:
    info = store.head(key)
    assert info is not None
    return info.etag


def file_of(folder: Path, content: bytes) -> Path:
    path = folder / hashlib.sha256(content).hexdigest()[:12]
    path.write_bytes(content)
    return path


def raise_counter(store: Store) -> bool:
    """False when another writer was faster. All values have one length."""
    seen = etag_of(store, "counter")
    value = int(store.read("counter")) + 1
    try:
        store.put_bytes("counter", f"{value:03}".encode(), if_match=seen)
    except Changed:
        return False
    return True


class StoreBehaviour:
    def test_what_is_put_is_read_and_described(self, store: Store, tmp_path: Path) -> None:
        store.put_file("d/f.parquet", file_of(tmp_path, b"content"), metadata={"row-hash": "sha256:1 2"})
        assert store.read("d/f.parquet") == b"content"
        info = store.head("d/f.parquet")
        assert info is not None
        assert (info.key, info.size) == ("d/f.parquet", 7)

    def test_an_empty_object_is_an_object(self, store: Store, tmp_path: Path) -> None:
        store.put_file("empty.parquet", file_of(tmp_path, b""))
        assert store.read("empty.parquet") == b""
        assert store.read_range("empty.parquet", -8, 8) == b""
        assert keys_of(store) == ["empty.parquet"]

    def test_putting_again_replaces_the_content(self, store: Store, tmp_path: Path) -> None:
        store.put_file("k", file_of(tmp_path, b"old!"))
        before = store.head("k")
        store.put_file("k", file_of(tmp_path, b"new!"))
        after = store.head("k")
        assert store.read("k") == b"new!"
        assert before is not None
        assert after is not None
        assert after.etag != before.etag

    def test_a_put_never_touches_the_file_it_was_given(self, store: Store, tmp_path: Path) -> None:
        path = file_of(tmp_path, b"mine")
        store.put_file("k", path)
        store.delete(["k"])
        assert path.read_bytes() == b"mine"

    def test_a_missing_object_is_said_to_be_missing(self, store: Store) -> None:
        assert store.head("no/such") is None
        with pytest.raises(NotFound, match="no/such"):
            store.read("no/such")
        with pytest.raises(NotFound, match="no/such"):
            store.read_range("no/such", 0, 1)
        with pytest.raises(NotFound, match="no/such"):
            store.place("no/such", "other", expected=None)

    def test_a_missing_file_to_upload_is_not_a_missing_object(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="gone") as raised:
            store.put_file("k", tmp_path / "gone")
        assert not isinstance(raised.value, NotFound)
        assert keys_of(store) == []

    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [
            (0, 4, b"0123"),
            (3, 4, b"3456"),
            (7, 100, b"789"),
            (10, 5, b""),
            (99, 5, b""),
            (-4, 4, b"6789"),
            (-4, 2, b"67"),
            (-100, 100, b"0123456789"),
            (2, 0, b""),
        ],
    )
    def test_a_range_is_cut_at_the_end_of_the_object(
        self, store: Store, start: int, length: int, expected: bytes
    ) -> None:
        store.put_bytes("digits", b"0123456789")
        assert store.read_range("digits", start, length) == expected

    def test_a_listing_of_1200_keys_is_complete_and_in_order(self, store: Store, fill: Fill) -> None:
        written = [f"many/{number % 7}/{number:05d}" for number in range(1200)]
        fill(written)
        assert keys_of(store, "many/") == sorted(written)
        assert keys_of(store, "many/3/0") == sorted(key for key in written if key.startswith("many/3/0"))
        store.delete(written)
        assert keys_of(store) == []

    def test_a_prefix_is_text_and_not_a_folder(self, store: Store) -> None:
        for key in ("a-b/x", "a/x", "a/y/z", "ab", "b"):
            store.put_bytes(key, b"")
        assert keys_of(store) == ["a-b/x", "a/x", "a/y/z", "ab", "b"]
        assert keys_of(store, "a") == ["a-b/x", "a/x", "a/y/z", "ab"]
        assert keys_of(store, "a/") == ["a/x", "a/y/z"]
        assert keys_of(store, "a/y") == ["a/y/z"]
        assert keys_of(store, "nothing/here") == []

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_an_odd_key_stays_itself(self, store: Store, tmp_path: Path, key: str) -> None:
        store.put_file(key, file_of(tmp_path, key.encode()))
        assert keys_of(store) == [key]
        assert store.read(key) == key.encode()
        store.place(key, f"placed/{key}", expected=None)
        store.delete([key])
        assert keys_of(store) == [f"placed/{key}"]
        assert store.read(f"placed/{key}") == key.encode()
        store.delete([f"placed/{key}"])
        assert keys_of(store) == []

    @pytest.mark.parametrize("key", ["", "/a", "a//b", "a/", "./a", "a/../b", "..", ".", "a\\b", "a\0b"])
    def test_a_key_that_is_no_plain_path_is_refused(self, store: Store, key: str) -> None:
        with pytest.raises(StoreError, match="key"):
            store.put_bytes(key, b"")

    def test_a_place_copies_and_leaves_its_source(self, store: Store, tmp_path: Path) -> None:
        store.put_file("staged/x", file_of(tmp_path, b"rows"), metadata={"row-hash": "1"})
        etag = store.place("staged/x", "final/y.parquet", expected=None, metadata={"row-hash": "1"})
        assert keys_of(store) == ["final/y.parquet", "staged/x"]
        assert store.read("final/y.parquet") == b"rows"
        assert etag_of(store, "final/y.parquet") == etag
        store.delete(["staged/x"])
        assert store.read("final/y.parquet") == b"rows"

    def test_a_place_replaces_only_the_object_it_was_told_of(self, store: Store) -> None:
        store.put_bytes("final", b"first")
        seen = etag_of(store, "final")
        store.put_bytes("staged/a", b"second")
        store.put_bytes("staged/b", b"another")
        with pytest.raises(Changed, match="final is not the object that was seen: another writer created it"):
            store.place("staged/a", "final", expected=None)
        etag = store.place("staged/a", "final", expected=seen)
        assert etag == etag_of(store, "final") != seen
        with pytest.raises(Changed, match="another writer replaced it"):
            store.place("staged/b", "final", expected=seen)
        assert store.read("final") == b"second"
        store.delete(["final"])
        with pytest.raises(Changed, match="another writer removed it"):
            store.place("staged/b", "final", expected=etag)
        assert keys_of(store) == ["staged/a", "staged/b"]

    def test_a_place_can_be_repeated_by_who_sees_its_result(self, store: Store) -> None:
        store.put_bytes("staged", b"rows")
        store.place("staged", "final", expected=None)
        store.place("staged", "final", expected=etag_of(store, "final"))
        assert store.read("final") == store.read("staged") == b"rows"
        assert keys_of(store) == ["final", "staged"]

    def test_bytes_replace_only_the_object_they_were_told_of(self, store: Store) -> None:
        store.put_bytes("HEAD.json", b"1")
        seen = etag_of(store, "HEAD.json")
        store.put_bytes("HEAD.json", b"2", if_match=seen)
        with pytest.raises(Changed, match=r"HEAD\.json is not the object that was seen"):
            store.put_bytes("HEAD.json", b"3", if_match=seen)
        assert store.read("HEAD.json") == b"2"
        with pytest.raises(Changed, match="removed it"):
            store.put_bytes("none.json", b"3", if_match=seen)
        assert keys_of(store) == ["HEAD.json"]

    def test_a_renewed_object_has_another_etag_and_the_same_bytes(self, store: Store, tmp_path: Path) -> None:
        store.put_file("final", file_of(tmp_path, b"rows"), metadata={"row-hash": "1"})
        store.put_bytes("staged", b"late")
        seen, before = etag_of(store, "final"), store.head("final")
        assert before is not None
        for _ in range(3):
            etag = store.renew("final", expected=seen)
            assert etag == etag_of(store, "final") != seen
            with pytest.raises(Changed, match="replaced it"):
                store.renew("final", expected=seen)
            with pytest.raises(Changed, match="replaced it"):
                store.place("staged", "final", expected=seen)
            seen = etag
        after = store.head("final")
        assert after is not None
        assert store.read("final") == b"rows"
        assert dict(after.metadata) == dict(before.metadata)
        with pytest.raises(Changed, match="removed it"):
            store.renew("gone", expected=seen)

    def test_a_large_and_an_empty_object_can_be_placed_and_renewed(
        self, store: Store, tmp_path: Path
    ) -> None:
        for key, content in (("large", os.urandom(1 << 20) * 20 + b"the end"), ("empty", b"")):
            store.put_file(f"staged/{key}", file_of(tmp_path, content))
            etag = store.place(f"staged/{key}", key, expected=None)
            for _ in range(2):
                etag = store.renew(key, expected=etag)
            assert hashlib.sha256(store.read(key)).digest() == hashlib.sha256(content).digest()

    def test_an_object_is_removed_only_while_it_is_the_one_that_was_seen(self, store: Store) -> None:
        store.put_bytes("d/a", b"old")
        seen = etag_of(store, "d/a")
        store.put_bytes("d/a", b"new")
        with pytest.raises(Changed, match="replaced it"):
            store.remove("d/a", expected=seen)
        assert store.read("d/a") == b"new"
        store.remove("d/a", expected=etag_of(store, "d/a"))
        assert store.head("d/a") is None
        with pytest.raises(Changed, match="removed it"):
            store.remove("d/a", expected=seen)

    def test_a_sweep_leaves_the_young_and_what_lies_elsewhere(self, store: Store) -> None:
        for key in ("_staging/a/1", "_staging/a/2", "_staging/b/1", "kept"):
            store.put_bytes(key, b"")
        assert store.sweep("_staging/", older_than_s=3600) == 0
        assert len(keys_of(store)) == 4
        in_an_hour = -3600
        assert store.sweep("_staging/a/", older_than_s=in_an_hour) == 2
        assert store.sweep("nothing/here/", older_than_s=in_an_hour) == 0
        assert keys_of(store) == ["_staging/b/1", "kept"]

    def test_listing_and_head_agree_on_an_object(self, store: Store) -> None:
        store.put_bytes("k", b"content")
        [listed], found = list(store.list("k")), store.head("k")
        assert found is not None
        assert (found.etag, found.size) == (listed.etag, listed.size)
        # A header of HTTP has whole seconds only.
        assert abs(found.modified_at - listed.modified_at) < TICK_PER_SECOND

    def test_metadata_that_could_not_be_a_header_is_a_mistake_of_the_program(
        self, store: Store, tmp_path: Path
    ) -> None:
        store.put_bytes("k", b"")
        for metadata in ({"Upper": "x"}, {"x": "\u00e9"}, {"x": "a\nb"}):
            with pytest.raises(ValueError, match="metadata"):
                store.put_file("k", file_of(tmp_path, b""), metadata=metadata)
            with pytest.raises(ValueError, match="metadata"):
                store.place("k", "l", expected=None, metadata=metadata)

    def test_deleting_what_is_not_there_is_fine(self, store: Store) -> None:
        store.put_bytes("a/b", b"")
        store.delete(["a/b", "a/c", "a/b/c"])
        store.delete(["a/b"])
        store.delete([])
        assert keys_of(store) == []

    def test_create_if_absent_refuses_a_second_object(self, store: Store) -> None:
        store.put_bytes("journal/1.json", b"first", if_absent=True)
        with pytest.raises(AlreadyExists, match=r"journal/1\.json"):
            store.put_bytes("journal/1.json", b"second", if_absent=True)
        assert store.read("journal/1.json") == b"first"

    def test_a_file_of_20_mb_arrives_whole(self, store: Store, tmp_path: Path) -> None:
        content = os.urandom(1 << 20) * 20 + b"the end"
        store.put_file("big.parquet", file_of(tmp_path, content))
        info = store.head("big.parquet")
        assert info is not None
        assert info.size == len(content)
        assert hashlib.sha256(store.read("big.parquet")).digest() == hashlib.sha256(content).digest()
        assert store.read_range("big.parquet", -7, 7) == b"the end"

    def test_a_reader_meets_the_old_or_the_new_object_and_no_mixture(
        self, store: Store, tmp_path: Path
    ) -> None:
        files = [file_of(tmp_path, bytes([65 + version]) * 200_000) for version in range(2)]
        store.put_file("k", files[0])
        stop = threading.Event()

        def replace() -> None:
            for version in range(30):
                store.put_file("k", files[version % 2])
            stop.set()

        writer = threading.Thread(target=replace)
        writer.start()
        seen = []
        while not stop.is_set():
            seen.append(store.read("k"))
        writer.join()
        assert {(len(body), len(set(body))) for body in seen} <= {(200_000, 1)}


class RaceBehaviour:
    """What a store does that enforces conditions between writers at the same instant: more than moto does."""

    def test_of_eight_creators_exactly_one_wins_every_time(self, store: Store) -> None:
        def create(key: str, start: threading.Barrier, content: bytes) -> bytes | None:
            start.wait()
            try:
                store.put_bytes(key, content, if_absent=True)
            except AlreadyExists:
                return None
            return content

        for race in range(5):
            key, start = f"journal/{race}.json", threading.Barrier(8)
            with ThreadPoolExecutor(8) as pool:
                runs = [pool.submit(create, key, start, f"writer {writer}".encode()) for writer in range(8)]
            assert [won for run in runs if (won := run.result())] == [store.read(key)]

    def test_of_eight_placers_exactly_one_wins_every_time(self, store: Store) -> None:
        def place(content: bytes, start: threading.Barrier, expected: str | None) -> bytes | None:
            store.put_bytes(f"staged/{content.decode()}", content)
            start.wait()
            try:
                store.place(f"staged/{content.decode()}", "final", expected=expected)
            except Changed:
                return None
            return content

        for race in range(6):
            # By turns onto nothing and onto the object of the race before.
            expected = None if race % 2 == 0 else etag_of(store, "final")
            start = threading.Barrier(8)
            contents = [f"race {race} writer {writer}".encode() for writer in range(8)]
            with ThreadPoolExecutor(8) as pool:
                runs = [pool.submit(place, content, start, expected) for content in contents]
            assert [won for run in runs if (won := run.result())] == [store.read("final")]
            if race % 2:
                store.delete(["final"])

    def test_a_counter_that_many_raise_at_once_misses_nobody(self, store: Store) -> None:
        store.put_bytes("counter", b"000")

        def raise_by(times: int) -> None:
            for _ in range(times):
                raised = False
                while not raised:
                    raised = raise_counter(store)

        with ThreadPoolExecutor(4) as pool:
            for run in [pool.submit(raise_by, 8) for _ in range(4)]:
                run.result()
        assert store.read("counter") == b"032"
