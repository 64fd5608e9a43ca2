"""Who reads an answer."""

from __future__ import annotations

import pickle
import threading

import pyarrow as pa
import pytest

from logferry.errors import FailedAnswer
from logferry.sources.azure_reading import AzureReading
from logferry.sources.base import Page, SourceColumn, SourceSchema
from logferry.sources.datadog_reading import DatadogReading
from logferry.sources.reading import Reading, read_by, read_page
from logferry.spec import ColumnSpec
from logferry.window import TICK_PER_HOUR, Window

PAGE = Page(pa.table({"id": ["a"]}), None, 1)
ODD = b'{"data":[{"id":"a","new":1,"attributes":{"timestamp":"2026-11-20T09:00:00.000Z"}}]}'


class Elsewhere:
    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def read(self, reading: Reading, body: bytes) -> Page:
        self.bodies.append(body)
        return PAGE


def fail(body: bytes) -> Page:
    raise FailedAnswer("cut")


def test_a_thread_reads_for_itself_unless_it_was_told_who_does() -> None:
    elsewhere = Elsewhere()
    with read_by(elsewhere):
        assert read_page(fail, b"one") is PAGE
        with pytest.raises(FailedAnswer), read_by(None):
            read_page(fail, b"two")
    with pytest.raises(FailedAnswer):
        read_page(fail, b"three")
    assert elsewhere.bodies == [b"one"]


def test_other_threads_are_not_concerned() -> None:
    failed: list[str] = []

    def read() -> None:
        try:
            read_page(fail, b"")
        except FailedAnswer as error:
            failed.append(str(error))

    with read_by(Elsewhere()):
        thread = threading.Thread(target=read)
        thread.start()
        thread.join(30)
    assert failed == ["cut"]


def test_a_datadog_reading_is_the_same_for_every_page_of_an_export_and_can_be_sent() -> None:
    columns = {"http_status": ColumnSpec(path="http.status_code", type="int64")}
    reading = DatadogReading(columns)
    before = pickle.dumps(reading)
    page = reading(ODD)
    assert page.rows["extra"].to_pylist() == ['{"new":1}']
    assert pickle.dumps(reading) == before, "what it learned is nobody else's"
    assert pickle.loads(before)(ODD).rows == page.rows
    assert "http_status" in page.rows.schema.names


def test_an_azure_reading_can_be_sent() -> None:
    schema = SourceSchema((SourceColumn("Message", "string", "Message", "string"),), has_id=False)
    reading = AzureReading(schema, Window(0, TICK_PER_HOUR))
    assert pickle.loads(pickle.dumps(reading)) == reading
    with pytest.raises(FailedAnswer, match="empty body"):
        reading(b"")
