"""What an exporting process and a process that reads for it say to each other, over a pair of sockets.

Both are the same code on the same machine. Rows travel as an Arrow IPC stream, an answer's body as it is, the rest
pickled.
"""

from __future__ import annotations

import pickle
import socket
import struct

import pyarrow as pa

from logferry.sources.base import Page

READY = b"r"
"""Sent once, when a reading process has imported what it needs."""

_ASKED = struct.Struct("<QQ")
_ANSWERED = struct.Struct("<?dQQ")
_LARGEST_READ = 1 << 30
"""The kernel moves a little less than 2 GiB at once."""


class Ended(Exception):
    """The other side is gone."""


def ask(channel: socket.socket, reading: bytes, body: bytes) -> None:
    """``reading``: pickled."""
    channel.sendall(_ASKED.pack(len(reading), len(body)) + reading)
    channel.sendall(body)


def receive_question(channel: socket.socket) -> tuple[bytes, bytes]:
    """The pickled reading and the body. Raises Ended."""
    reading_bytes, body_bytes = _ASKED.unpack(_receive(channel, _ASKED.size))
    return _receive(channel, reading_bytes), _receive(channel, body_bytes)


def answer(channel: socket.socket, page: Page, cpu_s: float) -> None:
    """``cpu_s``: processor seconds that the page took."""
    measured = pa.MockOutputStream()
    _write(measured, page.rows)
    rest = pickle.dumps((page.cursor, page.body_bytes, dict(page.notes)))
    channel.sendall(_ANSWERED.pack(True, cpu_s, len(rest), measured.size()) + rest)
    # Without a copy of it all.
    _write(pa.PythonFile(_Sent(channel), mode="w"), page.rows)


class _Sent:
    """A file whose bytes go to a socket."""

    closed = False

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def write(self, data: bytes) -> int:
        self._channel.sendall(data)
        return len(data)


def _write(sink: pa.NativeFile, rows: pa.Table) -> None:
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)


def answer_error(channel: socket.socket, error: Exception, cpu_s: float) -> None:
    rest = pickle.dumps(error)
    channel.sendall(_ANSWERED.pack(False, cpu_s, len(rest), 0) + rest)


def receive_answer(channel: socket.socket) -> tuple[Page | Exception, float]:
    """What the reading gave or raised, and the processor seconds that it took. Raises Ended."""
    whole, cpu_s, rest_bytes, row_bytes = _ANSWERED.unpack(_receive(channel, _ANSWERED.size))
    rest = pickle.loads(_receive(channel, rest_bytes))
    if not whole:
        return rest, cpu_s
    rows = pa.allocate_buffer(row_bytes)
    _receive_into(channel, memoryview(rows))
    cursor, body_bytes, notes = rest
    with pa.ipc.open_stream(rows) as stream:
        return Page(stream.read_all(), cursor, body_bytes, notes), cpu_s


def _receive(channel: socket.socket, size: int) -> bytes:
    first = channel.recv(min(size, _LARGEST_READ), socket.MSG_WAITALL) if size else b""
    if len(first) == size:
        return first
    # Less than was asked for comes also to a process that was stopped and goes on.
    whole = bytearray(size)
    whole[: len(first)] = first
    if not first:
        raise Ended
    _receive_into(channel, memoryview(whole)[len(first) :])
    return bytes(whole)


def _receive_into(channel: socket.socket, room: memoryview) -> None:
    while room:
        received = channel.recv_into(room[:_LARGEST_READ], 0, socket.MSG_WAITALL)
        if received == 0:
            raise Ended
        room = room[received:]
