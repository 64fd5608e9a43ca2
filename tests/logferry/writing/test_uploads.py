"""Uploads: a few at once and few waiting, and nothing is left behind of one that is given up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from logferry.errors import StoreError
from logferry.window import Window
from logferry.writing.encoder import finished
from logferry.writing.parquet import FileFacts
from logferry.writing.parts import Part
from logferry.writing.staging import Staging
from logferry.writing.uploads import Uploads

PATIENCE_S = 30


class Pier:
    """Stages nothing before it is told to, and counts."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.staged: list[Window] = []
        self.discarded: list[str] = []
        self.now = self.most = 0
        self.fails: set[Window] = set()

    def stage(self, slice_: Window, part: Part) -> Part:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.begun.release()
        assert self.open.wait(PATIENCE_S)
        with self.lock:
            self.now -= 1
            if part.span in self.fails:
                raise StoreError("the bucket is gone")
            self.staged.append(part.span)
        return Part(part.span, part.written, {}, key=f"key-{part.span.start}")

    def discard(self, keys: list[str]) -> None:
        self.discarded += keys


@pytest.fixture
def pier() -> Pier:
    return Pier()


@pytest.fixture
def uploads(pier: Pier) -> Iterator[Uploads]:
    with Uploads(cast(Staging, pier)) as uploads:
        yield uploads
        pier.open.set()


def part(number: int, folder: Path) -> Part:
    path = folder / str(number)
    path.write_bytes(b"PAR1")
    facts = FileFacts(path, 1, 4, "sha256:0", "sha256:1", number, number)
    return Part(Window(number, number + 1), finished(facts), {number: 1})


SLICE = Window(0, 100)


def test_four_go_at_once_and_the_thirteenth_makes_the_caller_wait(
    pier: Pier, uploads: Uploads, tmp_path: Path
) -> None:
    all_begun = threading.Event()
    begun: list[Any] = []

    def go_on() -> None:
        begun.extend(uploads.start(SLICE, part(number, tmp_path)) for number in range(13))
        all_begun.set()

    caller = threading.Thread(target=go_on)
    caller.start()
    for _ in range(4):
        assert pier.begun.acquire(timeout=PATIENCE_S)
    assert not all_begun.is_set()
    pier.open.set()
    caller.join(PATIENCE_S)
    assert [upload.result().key for upload in begun] == [f"key-{number}" for number in range(13)]
    assert pier.most == 4


def test_an_error_is_the_uploads_own(pier: Pier, uploads: Uploads, tmp_path: Path) -> None:
    pier.open.set()
    pier.fails = {Window(1, 2)}
    good, bad = (uploads.start(SLICE, part(number, tmp_path)) for number in range(2))
    assert good.result().key == "key-0"
    with pytest.raises(StoreError, match="bucket is gone"):
        bad.result()


def test_an_upload_that_waits_is_given_up_and_one_under_way_is_removed_again(
    pier: Pier, uploads: Uploads, tmp_path: Path
) -> None:
    begun = [uploads.start(SLICE, part(number, tmp_path)) for number in range(6)]
    for _ in range(4):
        assert pier.begun.acquire(timeout=PATIENCE_S)
    uploads.withdraw(begun[5])
    pier.open.set()
    uploads.withdraw(begun[0])
    assert pier.discarded == ["key-0"]
    assert begun[4].result().key == "key-4"
    assert Window(5, 6) not in pier.staged


def test_what_went_wrong_with_an_upload_that_is_given_up_is_nobodys_business(
    pier: Pier, uploads: Uploads, tmp_path: Path
) -> None:
    pier.open.set()
    pier.fails = {Window(0, 1)}
    uploads.withdraw(uploads.start(SLICE, part(0, tmp_path)))
    assert pier.discarded == []


def test_the_file_of_a_whole_slice_is_gone_once_it_is_staged_and_that_of_a_part_stays(
    pier: Pier, uploads: Uploads, tmp_path: Path
) -> None:
    pier.open.set()
    uploads.start(Window(0, 1), part(0, tmp_path)).result()
    uploads.start(SLICE, part(1, tmp_path)).result()
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_leaving_gives_up_what_has_not_begun(pier: Pier, tmp_path: Path) -> None:
    with Uploads(cast(Staging, pier)) as uploads:
        begun = [uploads.start(SLICE, part(number, tmp_path)) for number in range(6)]
        for _ in range(4):
            assert pier.begun.acquire(timeout=PATIENCE_S)
        threading.Timer(0.0, pier.open.set).start()
        uploads.stop()
    assert all(upload.done() for upload in begun)
    assert len(pier.staged) == sum(not upload.cancelled() for upload in begun)
