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
from logferry.stores import AlreadyExists, NotFound, Store

ODD_KEYS = ["a=b/c", "a:b", "a+b", "a b", "caf\u00e9/\u65e5\u672c", "100%25", "a&b?c#d", "a~b,(c)'!*"]


Fill = Callable[[Iterable[str]], None]


def keys_of(store: Store, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


def file_of(folder: Path, content: bytes) -> Path:
    path = folder / hashlib.sha256(content).hexdigest()[:12]
    path.write_bytes(content)
    return path


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
            store.move("no/such", "other")

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
        store.move(key, f"moved/{key}")
        assert keys_of(store) == [f"moved/{key}"]
        store.delete([f"moved/{key}"])
        assert keys_of(store) == []

    @pytest.mark.parametrize("key", ["", "/a", "a//b", "a/", "./a", "a/../b", "..", ".", "a\\b", "a\0b"])
    def test_a_key_that_is_no_plain_path_is_refused(self, store: Store, key: str) -> None:
        with pytest.raises(StoreError, match="key"):
            store.put_bytes(key, b"")

    def test_a_move_replaces_what_is_there_and_leaves_nothing_behind(
        self, store: Store, tmp_path: Path
    ) -> None:
        store.put_file("staged/x", file_of(tmp_path, b"rows"), metadata={"row-hash": "1"})
        store.put_bytes("final/y.parquet", b"old")
        store.move("staged/x", "final/y.parquet", metadata={"row-hash": "1"})
        assert keys_of(store) == ["final/y.parquet"]
        assert store.read("final/y.parquet") == b"rows"

    def test_metadata_that_could_not_be_a_header_is_a_mistake_of_the_program(
        self, store: Store, tmp_path: Path
    ) -> None:
        store.put_bytes("k", b"")
        for metadata in ({"Upper": "x"}, {"x": "\u00e9"}, {"x": "a\nb"}):
            with pytest.raises(ValueError, match="metadata"):
                store.put_file("k", file_of(tmp_path, b""), metadata=metadata)
            with pytest.raises(ValueError, match="metadata"):
                store.move("k", "l", metadata=metadata)

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

    def test_a_file_of_20_mb_arrives_whole(self, store: Store, tmp_path: Path) -> None:
        content = os.urandom(1 << 20) * 20 + b"the end"
        store.put_file("big.parquet", file_of(tmp_path, content))
        info = store.head("big.parquet")
        assert info is not None
        assert info.size == len(content)
        assert hashlib.sha256(store.read("big.parquet")).digest() == hashlib.sha256(content).digest()
        assert store.read_range("big.parquet", -7, 7) == b"the end"
        store.move("big.parquet", "moved.parquet")
        assert store.read_range("moved.parquet", -7, 7) == b"the end"

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
