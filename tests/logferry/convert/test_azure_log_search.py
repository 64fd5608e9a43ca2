"""Rows of the legacy search to record batches."""

import json
from typing import Any

import pytest

from logferry.convert.azure_log_search import read_rows
from logferry.errors import FailedAnswer
from logferry.window import parse_instant

T = "2015-02-11T00:27:59.587Z"


def test_a_row_is_its_id_type_time_and_its_json_as_received() -> None:
    raw = (
        b'{"Computer": "x",  "n": 1.10, "TimeGenerated":"%s", "id": "abc|1", "Type": "Event",'
        b'"__metadata":{"Type":"Other","TimeGenerated":"2001-01-01T00:00:00Z"}}' % T.encode()
    )
    batch, notes = read_rows([raw])
    assert batch.schema.names == ["id", "type", "time", "row", "__tick", "__id"]
    row = batch.to_pylist()[0]
    assert row["row"] == raw.decode()
    assert (row["id"], row["type"], row["__id"]) == ("abc|1", "Event", "abc|1")
    assert row["__tick"] == parse_instant(T)
    assert notes == {}


def test_type_and_time_may_stand_in_the_metadata_only() -> None:
    raw = b'{"id": 7, "__metadata":{"Type":"Event","TimeGenerated":"%s"}}' % T.encode()
    row = read_rows([raw])[0].to_pylist()[0]
    assert (row["id"], row["type"], row["__tick"]) == ("7", "Event", parse_instant(T))


def test_missing_members_are_null_and_no_rows_are_no_rows() -> None:
    row = read_rows([b'{"TimeGenerated": "%s"}' % T.encode()])[0].to_pylist()[0]
    assert (row["id"], row["type"]) == (None, None)
    assert read_rows([])[0].num_rows == 0


def test_half_a_surrogate_pair_stays_in_the_row_as_received() -> None:
    raw = rb'{"TimeGenerated": "%s", "id": "a\ud800", "m": "\udc00"}' % T.encode()
    batch, notes = read_rows([raw])
    row = batch.to_pylist()[0]
    assert row["id"] == "a\ufffd"
    assert row["row"] == raw.decode()
    assert notes == {"invalid_text": 2}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"id": "x"}, "without TimeGenerated"),
        ({"TimeGenerated": "soon"}, "is no time"),
        ({"TimeGenerated": 5}, "is no time"),
        ([1], "no object"),
    ],
)
def test_a_row_that_belongs_to_no_slice_is_refused(row: Any, reason: str) -> None:
    with pytest.raises(FailedAnswer, match=reason):
        read_rows([json.dumps(row).encode()])
