"""Bodies as they come from a socket."""

from __future__ import annotations

import io
import socket
import threading
from typing import cast

import pytest

from logferry import wire
from logferry.clock import Stopped, stoppable


class Drops:
    """A socket of which every read brings the next of these, or is the time-out (None) that it is here."""

    def __init__(self, *drops: bytes | None) -> None:
        self.drops = list(drops)

    def settimeout(self, seconds: float) -> None:
        pass

    def recv_into(self, room: memoryview) -> int:
        drop = self.drops.pop(0)
        if drop is None:
            raise TimeoutError
        room[: len(drop)] = drop
        return len(drop)


def reader_of(drops: Drops, *, most_bytes: int = 1 << 30) -> wire._Reader:
    guard = wire.Guard(idle_s=60, answer_s=60, most_bytes=most_bytes)
    guard.in_head = False
    return wire._Reader(cast(socket.socket, drops), io.RawIOBase(), guard)


RECORD = b"r" * 16_384


def test_the_records_of_a_body_whose_length_is_known_are_read_at_one_go() -> None:
    drops = Drops(*[RECORD] * 9, b"end", b"next answer")
    room = bytearray(9 * len(RECORD) + 3)
    assert reader_of(drops).readinto(room) == len(room)
    assert bytes(room) == RECORD * 9 + b"end"
    assert drops.drops == [b"next answer"]


def test_nothing_is_waited_for_that_may_never_come() -> None:
    drops = Drops(RECORD, b"of another answer")
    assert reader_of(drops).readinto(bytearray(64 * 1024)) == len(RECORD)
    assert drops.drops == [b"of another answer"]


@pytest.mark.parametrize("end", [None, b""])
def test_a_body_that_falters_is_handed_on_as_far_as_it_came(end: bytes | None) -> None:
    drops = Drops(RECORD, RECORD, end)
    assert reader_of(drops).readinto(bytearray(1 << 20)) == 2 * len(RECORD)
    assert drops.drops == []


def test_every_byte_of_a_body_counts_towards_its_limit() -> None:
    with pytest.raises(wire.BodyTooLong):
        reader_of(Drops(*[RECORD] * 9), most_bytes=8 * len(RECORD)).readinto(bytearray(1 << 20))


def test_a_thread_that_is_told_to_stop_leaves_a_body_that_keeps_coming() -> None:
    stop = threading.Event()

    class Telling(Drops):
        def recv_into(self, room: memoryview) -> int:
            if len(self.drops) == 5:
                stop.set()
            return super().recv_into(room)

    drops = Telling(*[RECORD] * 9)
    with stoppable(stop), pytest.raises(Stopped):
        reader_of(drops).readinto(bytearray(1 << 20))
    assert len(drops.drops) == 4
