"""The row hash: the same rows have one hash however they come, other rows have another."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.writing.row_hash import RowHash

TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("flag", pa.bool_()),
        ("whole", pa.int64()),
        ("small", pa.int32()),
        ("real", pa.float64()),
        ("at", TIME),
    ]
)
texts = st.one_of(st.none(), st.text(alphabet="aé\0 ", max_size=3))
rows = st.lists(
    st.fixed_dictionaries(
        {
            "text": texts,
            "tags": st.none() | st.lists(texts, max_size=3),
            "flag": st.none() | st.booleans(),
            "whole": st.none() | st.sampled_from([0, 1, -(2**63), 2**63 - 1]),
            "small": st.none() | st.sampled_from([0, -1, 2**31 - 1]),
            "real": st.none() | st.sampled_from([0.0, math.inf, 1.5]),
            "at": st.none()
            | st.sampled_from([datetime(1969, 12, 31, 23, 59, 59, 1, UTC), datetime(2026, 1, 1, tzinfo=UTC)]),
        }
    ),
    max_size=20,
)


def table(records: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(records, SCHEMA)


def digest(*tables: pa.Table, schema: pa.Schema = SCHEMA) -> str:
    hashed = RowHash(schema)
    for one in tables:
        hashed.update(one)
    return hashed.digest()


@given(rows, st.lists(st.integers(0, 20), max_size=4), st.integers(0, 9))
def test_batches_slices_and_offsets_leave_no_trace(
    records: list[dict[str, Any]], cuts: list[int], padding: int
) -> None:
    plain = table(records)
    # The padded table's slices start inside shared buffers, at bit offsets for booleans and validity.
    pad = table([dict.fromkeys(SCHEMA.names)] * padding)
    padded = pa.concat_tables([pad, plain]).combine_chunks().slice(padding)
    edges = sorted({0, *(min(cut, len(records)) for cut in cuts), len(records)})
    parts = [padded.slice(one, two - one) for one, two in pairwise(edges)]
    assert digest(*parts) == digest(plain)


@given(rows, rows)
def test_different_rows_have_different_hashes(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert (digest(table(one)) == digest(table(other))) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([{"text": "ab"}, {"text": "c"}], [{"text": "a"}, {"text": "bc"}]),
        ([{"text": None}], [{"text": ""}]),
        ([{"text": "a"}, {"text": None}], [{"text": None}, {"text": "a"}]),
        ([{"tags": None}], [{"tags": []}]),
        ([{"tags": [None]}], [{"tags": [""]}]),
        ([{"tags": ["a"]}, {"tags": ["b"]}], [{"tags": ["a", "b"]}, {"tags": []}]),
        ([{"tags": ["ab"]}], [{"tags": ["a", "b"]}]),
        ([{"flag": None}], [{"flag": False}]),
        ([{"real": None}], [{"real": 0.0}]),
        ([{"real": math.nan}], [{"real": None}]),
        ([{"whole": 0}], [{"small": 0}]),
        ([{}], [{}, {}]),
        ([{"text": "a"}, {"text": "b"}], [{"text": "b"}, {"text": "a"}]),
    ],
)
def test_near_misses_are_told_apart(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    assert digest(table(one)) != digest(table(other))


def test_what_lies_under_a_null_does_not_count() -> None:
    hidden = pa.StringArray.from_buffers(
        2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\7\0\0\0"), pa.py_buffer(b"asecret"), pa.py_buffer(b"\1")
    )
    assert hidden.to_pylist() == ["a", None]
    schema = pa.schema([("text", pa.string())])
    clean = pa.table({"text": pa.array(["a", None], pa.string())})
    assert digest(pa.table({"text": hidden}), schema=schema) == digest(clean, schema=schema)


def test_nan_equals_itself_here() -> None:
    assert digest(table([{"real": math.nan}])) == digest(table([{"real": float("nan")}]))


def test_a_renamed_column_is_another_hash() -> None:
    one, other = pa.table({"a": ["x"]}), pa.table({"b": ["x"]})
    assert digest(one, schema=one.schema) != digest(other, schema=other.schema)


def test_no_rows_have_a_hash_too() -> None:
    assert digest() == digest(table([]))
    assert digest() != digest(table([{}]))


def test_the_hash_of_these_rows_has_not_changed_since_the_first_release() -> None:
    """Row hashes lie in manifests and in objects' metadata: another definition would upload every slice again."""
    full = {
        "text": "é",
        "tags": ["a", None, "bc"],
        "flag": True,
        "whole": -7,
        "small": 3,
        "real": 1.5,
        "at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    mixed = [full, {}, {"tags": [], "text": ""}, full]
    assert digest(table(mixed)) == "sha256:8e3ec577180b4bf80e167874518b05296c60603de6d45145c67bc0e3ba5d7452"
    assert (
        digest(table([full] * 70_000))
        == "sha256:a77a19520824c000b362489e459dababe0d7980e197aa948a6abaec2322e563d"
    )
    assert (
        digest(table([{}] * 70_000))
        == "sha256:8af7f72791a8917083e639883b7d8b613b35f43e48259c8ff8b157c2c636957c"
    )
