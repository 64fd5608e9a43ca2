"""Processes that read answers: the same pages, the same errors, and nothing lost with a process."""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pyarrow as pa
import pytest

from logferry.clock import Stopped, stoppable
from logferry.errors import FailedAnswer, TooMuch, Unavailable
from logferry.fetching import readers as readers_module
from logferry.fetching.reader_messages import Ended, receive_question
from logferry.fetching.readers import Reader, Readers, spare_processors
from logferry.sources.base import Page
from logferry.sources.datadog_reading import DatadogReading

pytestmark = pytest.mark.integration

BODY = b"""{"data":[{"id":"a","attributes":{"timestamp":"2026-11-20T09:00:00.000Z","message":"na\xc3\xafve",
"tags":["x:1"],"attributes":{"n": 9007199254740993}}},{"id":"b","odd":[1],"attributes":{"timestamp":
"2026-11-20T09:00:01.000Z"}}],"meta":{"status":"done","page":{"after":"next"}}}"""


def too_much(body: bytes) -> Page:
    raise TooMuch("more than that", most_rows=int(body))


def wait_for(body: bytes) -> Page:
    raise Unavailable("later", wait_s=2.5)


def broken(body: bytes) -> Page:
    raise KeyError("nobody thought of this")


def dies(body: bytes) -> Page:
    """Ends the process that reads, but not the one that the test runs in."""
    if os.getpid() != int(body):
        os.kill(os.getpid(), signal.SIGKILL)
    return DatadogReading({})(BODY)


def in_batches(body: bytes) -> Page:
    """The numbers to that of the body, in three batches of which one is empty."""
    numbers = pa.record_batch({"number": pa.array(range(int(body)))})
    rows = pa.Table.from_batches([numbers.slice(0, 2), numbers.slice(2, 0), numbers.slice(2)])
    return Page(rows, None, len(body), {})


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


def test_a_page_comes_back_as_it_is_read_here(reader: Reader) -> None:
    reading = DatadogReading({})
    here = reading(BODY)
    wait_until_ready(reader)
    for _ in range(2):
        page = reader.read(reading, BODY)
        assert page.rows.equals(here.rows, check_metadata=True)
        assert (page.cursor, page.body_bytes, page.notes) == (here.cursor, here.body_bytes, here.notes)
        assert page.cursor == "next"
    assert reader.cpu_s > 0


def test_every_batch_of_a_page_comes_back(reader: Reader) -> None:
    wait_until_ready(reader)
    assert reader.read(in_batches, b"5").rows["number"].to_pylist() == [0, 1, 2, 3, 4]
    assert reader.cpu_s > 0


def test_an_error_comes_back_with_all_that_it_says(reader: Reader) -> None:
    wait_until_ready(reader)
    with pytest.raises(TooMuch, match="more than that") as much:
        reader.read(too_much, b"5000")
    assert much.value.most_rows == 5000
    with pytest.raises(Unavailable) as later:
        reader.read(wait_for, b"")
    assert later.value.wait_s == 2.5
    with pytest.raises(FailedAnswer, match="not whole JSON"):
        reader.read(DatadogReading({}), BODY[:-5])
    with pytest.raises(KeyError) as unknown:
        reader.read(broken, b"")
    assert "in broken" in unknown.value.__notes__[0]
    assert reader.read(DatadogReading({}), BODY).rows.num_rows == 2, "it goes on after an error"


def test_large_answers_come_whole(reader: Reader) -> None:
    message = "x" * 1_000_000
    events = b",".join(
        b'{"id":"%d","attributes":{"timestamp":"2026-11-20T09:00:00.000Z","message":"%s"}}'
        % (at, message.encode())
        for at in range(40)
    )
    wait_until_ready(reader)
    page = reader.read(DatadogReading({}), b'{"data":[' + events + b"]}")
    assert pa.compute.all(pa.compute.equal(page.rows["message"], message)).as_py()
    assert page.rows.num_rows == 40


def test_an_answer_whose_reader_dies_is_read_here_and_told_of_once(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    wait_until_ready(reader)
    for _ in range(2):
        assert reader.read(dies, str(os.getpid()).encode()).rows.num_rows == 2
    assert reader.lost
    assert [record.getMessage() for record in caplog.records] == [
        "a process that reads answers has ended (exit status -9); going on without it"
    ]


def test_a_thread_that_was_told_to_stop_does_not_begin_to_read_here(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until_ready(reader)
    stop = threading.Event()
    stop.set()
    with stoppable(stop), pytest.raises(Stopped):
        reader.read(dies, str(os.getpid()).encode())


def test_a_process_that_cannot_start_is_lost_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logferry.py").write_text("raise SystemExit(1)")
    monkeypatch.syspath_prepend(tmp_path)
    reader = Reader()
    wait_until_ready(reader)
    assert reader.lost
    assert "exit status 1" in caplog.text
    assert reader.read(DatadogReading({}), BODY).rows.num_rows == 2
    reader.close()


@pytest.mark.parametrize(
    ("reading", "needless"),
    [
        ("logferry.sources.azure_reading", {"logferry.budget", "logferry.sources.azure_errors", "json"}),
        ("logferry.sources.datadog_reading", {"logferry.budget", "logferry.convert.kql_csv"}),
    ],
)
def test_it_is_ready_when_all_is_loaded_that_its_answers_need_and_nothing_else(
    reading: str, needless: set[str]
) -> None:
    code = (
        "import socket, sys\n"
        "before = set(sys.modules)\n"
        "from logferry.fetching.reader_process import main\n"
        "here, there = socket.socketpair()\n"
        "here.shutdown(socket.SHUT_WR)\n"
        "main(there.detach(), sys.argv[1:])\n"
        "print(here.recv(9), *set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, reading], capture_output=True, text=True, check=True)
    ready, *loaded = done.stdout.split()
    assert ready == "b'r'"
    assert {reading, "pyarrow.compute", "msgspec"} <= set(loaded)
    assert not {"requests", "urllib3", "pandas", "pyarrow.parquet", *needless} & set(loaded)


def test_it_loads_what_makes_pages_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def popen(command: list[str], **_: object) -> None:
        asked.extend(command)
        raise OSError("seen")

    monkeypatch.setattr(readers_module.subprocess, "Popen", popen)
    monkeypatch.delitem(sys.modules, "logferry.sources.azure_reading", raising=False)
    with pytest.raises(OSError, match="seen"):
        Reader()
    assert [name for name in asked if name.startswith("logferry.sources")] == [
        "logferry.sources.datadog_reading"
    ]


def test_it_gets_nothing_of_the_environment_but_what_it_needs_to_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DD", "secret")
    reader = Reader()
    wait_until_ready(reader)
    there = Path(f"/proc/{reader._process.pid}/environ").read_bytes().split(b"\0")
    assert {pair.partition(b"=")[0].decode() for pair in there if pair} <= {
        *readers_module._KEPT,
        "PYTHONPATH",
    }
    reader.close()


def test_an_interrupt_at_the_terminal_does_not_reach_it(reader: Reader) -> None:
    assert os.getpgid(reader._process.pid) != os.getpgid(0)


def test_a_time_limit_that_somebody_set_for_all_sockets_is_not_its() -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.01)
    try:
        reader = Reader()
    finally:
        socket.setdefaulttimeout(before)
    wait_until_ready(reader)
    assert reader.read(DatadogReading({}), BODY).rows.num_rows == 2
    assert not reader.lost
    reader.close()


def test_a_message_that_comes_in_pieces_is_taken_whole() -> None:
    class InPieces:
        """A socket of a process that was stopped and goes on: a read gives less than it was to wait for."""

        def __init__(self, data: bytes) -> None:
            self.data = data

        def recv(self, size: int, flags: int) -> bytes:
            taken, self.data = self.data[: min(size, 3)], self.data[min(size, 3) :]
            return taken

        def recv_into(self, room: memoryview, size: int, flags: int) -> int:
            taken = self.recv(len(room), flags)
            room[: len(taken)] = taken
            return len(taken)

    question = struct.pack("<QQ", 10, 5) + b"0123456789abcde"
    assert receive_question(cast(socket.socket, InPieces(question))) == (b"0123456789", b"abcde")
    for length in range(len(question)):
        with pytest.raises(Ended):
            receive_question(cast(socket.socket, InPieces(question[:length])))


def test_one_closed_by_this_process_is_nothing_to_tell_of(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    wait_until_ready(reader)
    reader.close()
    assert reader.read(DatadogReading({}), BODY).rows.num_rows == 2
    assert not caplog.records


def test_two_threads_that_ask_at_once_do_not_start_more_than_there_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began, go_on = threading.Semaphore(0), threading.Event()

    class Slow:
        def __init__(self) -> None:
            began.release()
            go_on.wait(30)

        def close(self) -> None: ...

    monkeypatch.setattr(readers_module, "Reader", Slow)
    crew = Readers(1)
    got: list[object] = []
    threads = [threading.Thread(target=lambda: got.append(crew.another())) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert began.acquire(timeout=30)
    assert not began.acquire(timeout=0.2)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert sorted(one is None for one in got) == [False, True, True]
    crew.close()


def test_closing_ends_it_and_no_process_stays() -> None:
    crew = Readers(2)
    one, two = crew.another(), crew.another()
    assert one is not None
    assert two is not None
    assert crew.another() is None
    crew.close()
    for reader in (one, two):
        assert reader._process.poll() is not None
    assert crew.another() is None


def test_it_ends_with_the_process_that_it_works_for(reader: Reader) -> None:
    wait_until_ready(reader)
    reader._channel.close()  # as the kernel does for one that was killed
    assert reader._process.wait(30) == 0


def test_one_that_cannot_be_started_is_gone_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(readers_module.subprocess, "Popen", refuse)
    crew = Readers(2)
    assert (crew.another(), crew.another()) == (None, None)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize(
    ("limits", "spare"),
    [
        ({}, 7),
        ({"_CPU_MAX": "max 100000\n"}, 7),
        ({"_CPU_MAX": "150000 100000\n"}, 1),
        ({"_CPU_MAX": "50000 100000\n"}, 0),
        ({"_CPU_MAX": "nonsense"}, 7),
        ({"_CPU_QUOTA": "-1\n", "_CPU_PERIOD": "100000\n"}, 7),
        ({"_CPU_QUOTA": "150000\n", "_CPU_PERIOD": "100000\n"}, 1),
        ({"_CPU_QUOTA": "50000\n", "_CPU_PERIOD": "100000\n"}, 0),
        ({"_CPU_QUOTA": "20000\n", "_CPU_PERIOD": "5000\n"}, 3),
        ({"_CPU_QUOTA": "1600000\n", "_CPU_PERIOD": "100000\n"}, 7),
        ({"_CPU_QUOTA": "50000\n"}, 7),
        ({"_CPU_QUOTA": "", "_CPU_PERIOD": "100000\n"}, 7),
    ],
)
def test_a_container_has_the_processors_that_it_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, str], spare: int
) -> None:
    for name in ("_CPU_MAX", "_CPU_QUOTA", "_CPU_PERIOD"):
        monkeypatch.setattr(readers_module, name, tmp_path / name)
        if name in limits:
            (tmp_path / name).write_text(limits[name])
    monkeypatch.setattr(readers_module.os, "sched_getaffinity", lambda _: set(range(8)))
    assert spare_processors() == spare
    monkeypatch.setattr(readers_module.os, "sched_getaffinity", lambda _: {3})
    assert spare_processors() == 0


@pytest.mark.parametrize(
    ("processors", "among", "most"),
    [(1, 1, 0), (2, 1, 1), (8, 1, 2), (1, 2, 0), (2, 2, 0), (3, 2, 0), (4, 2, 1), (8, 2, 2)],
)
def test_processes_of_one_machine_share_what_it_has_for_readers(
    monkeypatch: pytest.MonkeyPatch, processors: int, among: int, most: int
) -> None:
    class Idle:
        def close(self) -> None: ...

    monkeypatch.setattr(readers_module, "Reader", Idle)
    monkeypatch.setattr(readers_module, "spare_processors", lambda: processors - 1)
    crew = Readers(among=among)
    assert [crew.another() is not None for _ in range(4)] == [True] * most + [False] * (4 - most)
    crew.close()


def wait_until_ready(reader: Reader) -> None:
    select.select([reader._channel], [], [], 60)
    assert reader.is_ready()
