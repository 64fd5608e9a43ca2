"""The process that reads answers for another one: ``python -m logferry.fetching.reader_process DESCRIPTOR MODULE…``.

It says that it is ready when it has loaded the modules, which are those that its questions will need: until then the
other process had better read for itself.
Started by ``logferry.fetching.readers``. It holds no credentials, opens no connection and writes nothing; it ends when
the other side of its socket is closed, however that came about.
"""

from __future__ import annotations

import pickle
import socket
import sys
import time
from collections.abc import Callable, Iterable
from importlib import import_module

from logferry.convert.without_pandas import keep_pandas_out
from logferry.errors import LogferryError
from logferry.fetching.memory_pool import keep_freed_pieces, use_thrifty_pool
from logferry.fetching.reader_messages import READY, Ended, answer, answer_error, receive_question
from logferry.sources.base import Page


def main(descriptor: int, modules: Iterable[str]) -> None:
    keep_pandas_out()
    use_thrifty_pool()
    keep_freed_pieces()
    for name in modules:
        import_module(name)
    with socket.socket(fileno=descriptor) as channel:
        try:
            channel.sendall(READY)
            _serve(channel)
        except (Ended, ConnectionError):
            return


def _serve(channel: socket.socket) -> None:
    known = b""
    reading: Callable[[bytes], Page]
    while True:
        asked, body = receive_question(channel)
        began = time.process_time()
        try:
            if asked != known:
                # One reading for many pages: what it learns of them is kept.
                reading, known = pickle.loads(asked), asked
            page = reading(body)
            del body
        except Exception as error:
            if not isinstance(error, LogferryError):
                import traceback

                error.add_note(f"in the process that reads answers:\n{traceback.format_exc()}")
            answer_error(channel, error, time.process_time() - began)
        else:
            answer(channel, page, time.process_time() - began)
            del page


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
