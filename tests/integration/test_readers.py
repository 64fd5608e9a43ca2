"""Whole exports whose answers are read by another process: the same files, also when that process dies."""

from __future__ import annotations

import logging
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.azure_port import AzurePort
from tests.integration.datadog_port import DAY, DatadogPort, assert_is_the_truth

from logferry.fetching.gate import Gate
from logferry.fetching.readers import Reader, Readers
from logferry.sources.base import Page
from logferry.sources.reading import Reading

pytestmark = pytest.mark.integration

MakePort = Callable[..., DatadogPort]


class Watched:
    """Every ferry has a reader from its beginning; ``fates`` are called before the reader reads, one each."""

    def __init__(self) -> None:
        self.read = 0
        self.readers: set[Reader] = set()
        self.started: list[Reader] = []
        self.fates: list[Callable[[Reader], None]] = []
        self.patches = pytest.MonkeyPatch()

    def read_here_from_now_on(self) -> None:
        self.patches.undo()


@pytest.fixture
def watched() -> Iterator[Watched]:
    seen = Watched()
    read_there = Reader.read

    def read(reader: Reader, reading: Reading, body: bytes) -> Page:
        seen.read += 1
        seen.readers.add(reader)
        if seen.fates:
            seen.fates.pop(0)(reader)
        return read_there(reader, reading, body)

    class ReadElsewhere(Gate):
        def __init__(self, readers: Readers) -> None:
            readers = Readers(1)
            super().__init__(readers)
            reader = readers.another()
            assert reader is not None
            select.select([reader._channel], [], [], 60)
            self._starting.append(reader)
            seen.started.append(reader)

    seen.patches.setattr(Reader, "read", read)
    seen.patches.setattr("logferry.ferry.Gate", ReadElsewhere)
    yield seen
    seen.patches.undo()
    for reader in seen.started:
        assert reader._process.poll() is not None or reader not in seen.readers, "a process stayed"
        reader.close()


def kill(reader: Reader) -> None:
    reader._process.kill()


@pytest.mark.parametrize("in_flight", [1, 4])
def test_datadog_rows_are_those_that_are_read_here(
    make_port: MakePort, tmp_path: Path, watched: Watched, in_flight: int
) -> None:
    port = make_port(url=(tmp_path / "elsewhere").as_uri())
    port.in_flight = in_flight
    elsewhere = port.carry(DAY)
    assert watched.read > 3
    assert_is_the_truth(port, elsewhere, DAY)
    watched.read_here_from_now_on()
    port.url = (tmp_path / "here").as_uri()
    assert port.hashes(port.carry(DAY)) == port.hashes(elsewhere)


def test_no_row_is_lost_with_the_process_that_was_to_read_it(
    make_port: MakePort, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    port = make_port()
    port.in_flight = 4
    watched.fates = [lambda _: None, lambda _: None, kill]
    manifest = port.carry(DAY)
    assert_is_the_truth(port, manifest, DAY)
    assert watched.read == 3
    told = [one for one in caplog.records if one.name == "logferry.fetching.readers"]
    assert [one.levelno for one in told] == [logging.WARNING]
    read_before = manifest.requests["search"]
    watched.read_here_from_now_on()
    assert make_port().carry(DAY).requests["search"] == read_before, "no page was asked for again"


def test_a_page_that_is_not_whole_is_refused_there_and_asked_for_again(
    make_port: MakePort, watched: Watched
) -> None:
    port = make_port()
    port.faults({"fault": "non_json", "match": {"path_contains": "/search"}, "times": 1})
    assert_is_the_truth(port, port.carry())
    assert sum(port.fired().values()) == 1
    assert watched.read > 1


def test_azure_rows_are_those_that_are_read_here(
    azure_port: AzurePort, tmp_path: Path, watched: Watched
) -> None:
    elsewhere = azure_port.carry()
    assert watched.read > 0
    assert elsewhere.status == "proven"
    watched.read_here_from_now_on()
    azure_port.lake = tmp_path / "here"
    here = azure_port.carry()
    assert here.rows == elsewhere.rows > 0
    assert [file.row_hash for file in here.files] == [file.row_hash for file in elsewhere.files]
