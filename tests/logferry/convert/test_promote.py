"""Promoted columns: the value when it fits, null and a count when it does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.convert import promote as promoting
from logferry.convert.promote import promote
from logferry.spec import ColumnSpec

KINDS = ("string", "int64", "float64", "bool", "timestamp")


def promoted(document: bytes | None, kind: str, path: str = "a") -> tuple[Any, int]:
    """The value in the column (timestamps in microseconds) and how many misfits were noted."""
    arrays, notes = promote([document], {"c": ColumnSpec(path=path, type=kind)})  # type: ignore[arg-type]
    value = arrays[0].cast("int64")[0].as_py() if kind == "timestamp" else arrays[0][0].as_py()
    return value, notes.get("misfit:c", 0)


@pytest.mark.parametrize(
    ("kind", "token", "value"),
    [
        ("string", '"x"', "x"),
        ("string", '""', ""),
        ("string", r'"\ud83d"', "\ufffd"),
        ("int64", "0", 0),
        ("int64", "-9223372036854775808", -(2**63)),
        ("int64", "9223372036854775807", 2**63 - 1),
        ("int64", "9007199254740993", 9007199254740993),
        ("int64", "200.0", 200),
        ("int64", "1e3", 1000),
        ("float64", "0.1", 0.1),
        ("float64", "3", 3.0),
        ("float64", "1e-400", 0.0),
        ("bool", "true", True),
        ("bool", "false", False),
        ("timestamp", '"1970-01-01T00:00:01.5Z"', 1_500_000),
        ("timestamp", '"1970-01-01T01:00:00+01:00"', 0),
        ("timestamp", "1500", 1_500_000),
        ("timestamp", "-1", -1_000),
    ],
)
def test_a_value_of_the_columns_type_is_lifted(kind: str, token: str, value: Any) -> None:
    assert promoted(b'{"a":' + token.encode() + b"}", kind) == (value, 0)


@pytest.mark.parametrize(
    ("kind", "token"),
    [
        ("string", "5"),
        ("string", "[]"),
        ("string", "true"),
        ("int64", '"5"'),
        ("int64", "1.5"),
        ("int64", "9223372036854775808"),
        ("int64", "9007199254740993.0"),
        ("int64", "1e300"),
        ("int64", "1e400"),
        ("int64", "true"),
        ("int64", "9" * 5_000),
        ("float64", "1e400"),
        ("float64", "-1e400"),
        ("float64", "9" * 400),
        ("float64", "9" * 5_000),
        ("float64", "true"),
        ("float64", '"1"'),
        ("bool", "1"),
        ("bool", '"true"'),
        ("timestamp", '"yesterday"'),
        ("timestamp", '"2026-11-20T00:00:00"'),
        ("timestamp", '"9999-12-31T23:59:59-23:59"'),
        ("timestamp", "1.5"),
        ("timestamp", "true"),
        ("timestamp", "99999999999999999999"),
        ("timestamp", "{}"),
    ],
)
def test_a_value_that_does_not_fit_is_null_and_counted(kind: str, token: str) -> None:
    assert promoted(b'{"a":' + token.encode() + b"}", kind) == (None, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("document", [None, b"{}", b'{"a":null}', b"[]", b'"text"', b"5"])
def test_a_missing_value_is_null_and_no_misfit(kind: str, document: bytes | None) -> None:
    assert promoted(document, kind) == (None, 0)


def test_the_nested_key_comes_before_the_literal_dotted_one() -> None:
    both = b'{"http":{"code":1},"http.code":2}'
    assert promoted(both, "int64", "http.code") == (1, 0)
    assert promoted(b'{"http":{},"http.code":2}', "int64", "http.code") == (2, 0)
    assert promoted(b'{"http":5,"http.code":2}', "int64", "http.code") == (2, 0)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(json_values, max_size=6))
def test_any_json_gives_a_row_in_every_column(values: list[Any]) -> None:
    documents = [json.dumps({"a": value}).encode().replace(b"Infinity", b"1e999") for value in values]
    arrays, notes = promote(documents, {kind: ColumnSpec(path="a", type=kind) for kind in KINDS})  # type: ignore[arg-type]
    assert all(len(array) == len(values) for array in arrays)
    for kind, array in zip(KINDS, arrays, strict=True):
        absent = sum(value is None for value in values)
        assert array.null_count == absent + notes.get(f"misfit:{kind}", 0)


REFUSED_BY_ARROW = {"string": rb'"\ud83d"', "int64": b"9223372036854775808", "float64": b"1e400"}
"""A value of a type that usually goes in as it is, and for which all others of its column are looked at too."""
numbers = st.integers() | st.sampled_from([2**53 + 1, -(2**53) - 1, 2**63 - 1, 3.0, -0.0, 1e300, 10**400])


@pytest.mark.parametrize("kind", list(REFUSED_BY_ARROW))
@given(st.lists(json_values | numbers | st.floats(allow_nan=False), max_size=8))
def test_values_put_in_at_once_are_those_that_looking_at_each_gives(kind: str, values: list[Any]) -> None:
    columns = {"c": ColumnSpec(path="a", type=kind)}  # type: ignore[arg-type]
    documents = [b'{"a":%b}' % json.dumps(value).encode().replace(b"Infinity", b"1e999") for value in values]
    refused = b'{"a":%b}' % REFUSED_BY_ARROW[kind]
    (at_once,), notes = promote(documents, columns)
    (each,), each_notes = promote([*documents, refused], columns)
    assert repr(at_once.to_pylist()) == repr(each.to_pylist()[:-1]), "-0.0 and 0.0 differ"
    assert notes.get("misfit:c", 0) == each_notes.get("misfit:c", 0) - (kind != "string")


@pytest.mark.parametrize(
    ("kind", "values", "odd"),
    [
        ("string", ["a", None, "b", 5], [5]),
        ("int64", [200, 404, None, "204", 500, 3.0], ["204", 3.0]),
        ("float64", [0.5, 3, None, "7", 2.25], ["7"]),
        ("bool", [True, None, False, 1], [1]),
    ],
)
def test_only_values_of_another_type_are_looked_at_by_themselves(
    monkeypatch: pytest.MonkeyPatch, kind: str, values: list[Any], odd: list[Any]
) -> None:
    seen: list[Any] = []
    fit = promoting._fit
    monkeypatch.setattr(promoting, "_fit", lambda value, kind: seen.append(value) or fit(value, kind))
    documents = [json.dumps({"a": value}).encode() for value in values]
    promote(documents, {"c": ColumnSpec(path="a", type=kind)})  # type: ignore[arg-type]
    assert seen == odd
