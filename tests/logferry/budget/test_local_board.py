"""The board of one machine: one at a time, whoever changes a record, and no file opened twice for it."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from logferry.budget.local_board import LocalBoard
from logferry.clock import SystemClock
from logferry.errors import StoreError


@pytest.fixture
def board(tmp_path: Path) -> LocalBoard:
    return LocalBoard(SystemClock(), tmp_path)


def one_more(record: bytes, now_ms: int, divided_by: int) -> tuple[bytes, int]:
    number = int(record or b"0") + 1
    return b"%d" % number, number


def is_free(board: LocalBoard, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether somebody may change the record now; never waits."""
    flock = fcntl.flock
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", lambda descriptor, how: flock(descriptor, how | fcntl.LOCK_NB))
        try:
            board.change("record", one_more)
        except StoreError:
            return False
    return True


def test_a_record_that_is_changed_often_is_opened_once(
    board: LocalBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    open_file = os.open

    def watched(path: str, *rest: int) -> int:
        opened.append(path)
        return open_file(path, *rest)

    monkeypatch.setattr(os, "open", watched)
    assert [board.change("record", one_more) for _ in range(5)] == [1, 2, 3, 4, 5]
    assert len(opened) == 1


def test_threads_that_share_an_open_file_change_it_one_after_the_other(board: LocalBoard) -> None:
    def often() -> None:
        for _ in range(100):
            board.change("record", one_more)

    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert board.change("record", one_more) == 401


def test_another_board_of_this_machine_waits_while_a_record_is_changed(
    board: LocalBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = LocalBoard(SystemClock(), board.folder)

    def work(record: bytes, now_ms: int, divided_by: int) -> tuple[None, bool]:
        return None, is_free(other, monkeypatch)

    assert board.change("record", work) is False
    assert is_free(other, monkeypatch)


def test_a_forked_process_waits_for_the_one_it_comes_from(
    board: LocalBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    board.change("record", one_more)

    def work(record: bytes, now_ms: int, divided_by: int) -> tuple[None, int]:
        child = os.fork()
        if child == 0:
            # Should it wait for this process, which waits for it, it ends all the same.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            try:
                os._exit(10 + is_free(board, monkeypatch))
            finally:
                os._exit(1)
        return None, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert board.change("record", work) == 10


def failing(record: bytes, now_ms: int, divided_by: int) -> tuple[bytes, None]:
    raise KeyboardInterrupt


def too_long(record: bytes, now_ms: int, divided_by: int) -> tuple[bytes, None]:
    return b"x" * 10, None


@pytest.mark.parametrize(("work", "error"), [(failing, KeyboardInterrupt), (too_long, StoreError)])
def test_a_change_that_fails_leaves_no_lock_behind(
    board: LocalBoard, monkeypatch: pytest.MonkeyPatch, work: Callable[..., tuple[bytes, None]], error: type
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", lambda descriptor, data, at: 1)
        with pytest.raises(error):
            board.change("record", work)
    assert is_free(LocalBoard(SystemClock(), board.folder), monkeypatch)
    assert is_free(board, monkeypatch)


def test_a_change_that_fails_leaves_no_lock_with_a_process_that_was_forked_before(
    board: LocalBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    open_file = os.open
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", lambda *how: opened.append(open_file(*how)) or opened[-1])
        board.change("record", one_more)
    # What a fork has: another descriptor of the same opening, and so of its lock.
    forked = os.dup(opened[0])
    try:
        with pytest.raises(KeyboardInterrupt):
            board.change("record", failing)
        assert is_free(board, monkeypatch)
    finally:
        os.close(forked)


@pytest.mark.parametrize("again", [False, True])
def test_a_file_that_was_tidied_away_is_not_written_on(board: LocalBoard, *, again: bool) -> None:
    board.change("record", one_more)
    (board.folder / "record.budget").unlink()
    other = LocalBoard(SystemClock(), board.folder)
    assert not again or other.change("record", one_more) == 1
    assert board.change("record", one_more) == 1 + again
    assert other.change("record", one_more) == 2 + again


def test_a_board_that_is_gone_keeps_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    closed: list[int] = []
    open_file, close_file = os.open, os.close
    monkeypatch.setattr(os, "open", lambda *how: opened.append(open_file(*how)) or opened[-1])
    monkeypatch.setattr(os, "close", lambda descriptor: closed.append(descriptor) or close_file(descriptor))
    board = LocalBoard(SystemClock(), tmp_path)
    board.change("record", one_more)
    assert (len(opened), closed) == (1, [])
    del board
    assert closed == opened
