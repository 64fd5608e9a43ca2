"""Blocks of rows as Arrow columns, by Arrow's own parser of CSV.

A JSON row of plain cells is nearly a line of CSV: ``["a",1,null]`` with its brackets made commas, ``,"a",1,null,``, is
one between two empty cells. What is left to see to is what the two read differently, and a block where any of that
may be is refused (``Unusual``):

- Cells that are lists or objects, and blanks between cells. Take the first cell of a row that either is or has one
  beside it. All before it was read as JSON reads it, so CSV begins a cell where it begins: in the row's text a comma
  with a bracket, brace or blank behind it (``_ODD``); or the blank is behind the cell, and CSV's value of the cell
  ends with it (a number or bool with a blank is the same, or an error, and the next cell begins where JSON's does).
  Texts can look like that, too: such a block is split by msgspec, which tells (``_see_flat``).
- Escapes. CSV knows ``\\"``, ``\\\\`` and ``\\/``, the others are put in plain (``_spelt_out``).
- Numbers in quotes that Arrow takes for others than ``kql_cells``: hexadecimal (escapes may hide that), and infinite.

Every other byte of a row that is valid JSON, which whoever gives the rows has seen to, means the same to both. A row
with another number of cells is an error of CSV's.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from types import GenericAlias
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from logferry.convert.kql_cells import read_cell
from logferry.convert.kql_types import ARROW_TYPES

_OPEN, _COMMA = b"[,"
_BORDER = b",\n,"
_ODD = (
    r',(?:[\[{]| +(?:["\[{]|(?:null|true|false|-?[0-9][-+.0-9eE]*) *,)|'
    r'"(?:[ \t]|\\t|\\u00(?:20|09))*(?:0|\\u0030)(?:[xX]|\\u00[57]8))'
)
"""What may be a list, an object, a blank before a cell, or a hexadecimal number in quotes."""
_WHOLE = ("long", "int")
_SPECIAL = r"\\[bfnrtu]"
_NEAR_BYTES = 4 * 1024
"""Between two rows with such escapes that are put in plain as one part, which costs as much as to begin another."""
_FEW_BYTES = 32 * 1024
_MOST_SPECIAL_BYTES = 128 * 1024
"""Of parts that have such escapes, where they are over a quarter of all: putting them in plain is dearer than to read
the rows by their types."""
_PLAIN = {rb"\n": b"\n", rb"\t": b"\t", rb"\r": b"\r", rb"\b": b"\b", rb"\f": b"\f"}
_UNICODE = re.compile(rb"\\u[0-9a-fA-F]{4}(?:\\u[0-9a-fA-F]{4})*")
"""Begun with what it always begins with: ``re`` looks for that alone, many times as fast."""
_BACKSLASH = rb"\\"
_STAND_IN = b"\x01"
"""For an escaped backslash: no valid JSON holds control characters outside of escapes."""
_split_row = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Unusual(ValueError):
    """The rows may hold what CSV reads otherwise than JSON."""


class CsvRows:
    """Reads the rows of one query; ``kinds`` are the KQL types of its columns, each of ARROW_TYPES."""

    def __init__(self, kinds: Sequence[str]) -> None:
        # Takes 2 ms, which a process that reads no such rows need not spend.
        from pyarrow import csv

        self._csv = csv
        self._kinds = list(kinds)
        names = [str(at) for at in range(len(kinds))]
        self._wholes = [at for at, kind in enumerate(kinds) if kind in _WHOLE]
        self._names = ["before", *names, "after"]
        self._parsing = csv.ParseOptions(newlines_in_values=True, escape_char="\\", double_quote=False)
        types = {name: _read_as(kind) for name, kind in zip(names, kinds, strict=True)}
        self._converting = [
            csv.ConvertOptions(
                include_columns=names,
                column_types=types,
                null_values=["null"],
                true_values=["true"],
                false_values=["false"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                check_utf8=check,
            )
            for check in (False, True)
        ]
        self._split = msgspec.json.Decoder(
            GenericAlias(list, (GenericAlias(tuple, (msgspec.Raw,) * len(kinds)),))
        ).decode

    def columns(self, rows: Sequence[msgspec.Raw]) -> list[pa.Array[Any]]:
        """The columns of at least one row, each valid JSON; datetimes as text.

        Raises ValueError, mostly Unusual or ArrowInvalid, for rows that are not read, right or wrong.
        """
        lines = _lines(rows)
        checked = _holds(lines, _ODD)
        if checked:
            self._see_flat(rows)
        arrays = self._parse(_spelt_out(lines, rows), len(rows))
        for column, (kind, values) in enumerate(zip(self._kinds, arrays, strict=True)):
            if kind == "real":
                odd = _odd_reals(values)
                if odd:
                    _see_reals([rows[at] for at in odd], column)
            elif (
                not checked
                and values.type == pa.string()
                and kind != "datetime"
                and pc.any(pc.ends_with(values, " ")).as_py()
            ):
                self._see_flat(rows)
                checked = True
        return arrays

    def _parse(self, text: bytes | bytearray, rows: int) -> list[pa.Array[Any]]:
        # One block: a line may be as long as all.
        reading = self._csv.ReadOptions(column_names=self._names, use_threads=False, block_size=len(text) + 1)
        table = self._csv.read_csv(
            pa.py_buffer(text),
            read_options=reading,
            parse_options=self._parsing,
            convert_options=self._converting[not text.isascii()],
        )
        if table.num_rows != rows:
            raise Unusual
        return [
            column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() for column in table.columns
        ]

    def _see_flat(self, rows: Sequence[msgspec.Raw]) -> None:
        """Raise unless the rows have as many cells as columns, no list or object among them, no blanks around, and no
        text for a whole number."""
        try:
            split = self._split(b"[" + b",".join(rows) + b"]")
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unusual from error
        cells = b"\n" + b"\n".join(chain.from_iterable(split))
        # Both count a mark before each cell; the rows their last bracket.
        if len(cells) + len(rows) != sum(map(len, rows)) or _holds(cells, r"\n[\[{]"):
            raise Unusual
        for at in self._wholes:
            if b'"' in b"".join([row[at] for row in split]):
                raise Unusual


def _see_reals(rows: Iterable[msgspec.Raw], column: int) -> None:
    """Raise unless the column's cells are infinite, or no numbers, in the words of ``kql_cells``."""
    for row in rows:
        read_cell(bytes(_split_row(row)[column]), "real")


def _read_as(kind: str) -> pa.DataType:
    return pa.string() if kind == "datetime" else ARROW_TYPES[kind]


def _lines(rows: Sequence[msgspec.Raw]) -> bytearray:
    text = bytearray(b",").join(rows)
    # Valid JSON has these between cells only.
    if b"\n" in text or b"\t" in text or b"\r" in text:
        raise Unusual
    lengths = list(map(len, rows))
    if text[0] != _OPEN or lengths[-1] == len("[]"):
        raise Unusual
    at = 0
    for length in lengths[:-1]:
        at += length + 1
        if text[at] != _OPEN or length == len("[]"):
            raise Unusual
        text[at - 2 : at + 1] = _BORDER
    text[0] = text[-1] = _COMMA
    return text


def _holds(text: bytes | bytearray | memoryview, pattern: str) -> bool:
    """Whether the pattern is in the text. Arrow's RE2 finds a pattern's first byte faster than ``re`` does."""
    offsets = pa.py_buffer(array("q", [0, len(text)]))
    whole = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(text)])
    return bool(pc.match_substring_regex(whole, pattern=pattern)[0].as_py())


def _spelt_out(text: bytearray, rows: Sequence[msgspec.Raw]) -> bytes | bytearray:
    r"""The lines of the rows without escapes but ``\"``, ``\\`` and ``\/``; only the parts that have others are gone
    through for them."""
    parts = _special_parts(text, rows)
    special = sum(end - start for start, end in parts)
    if special > _MOST_SPECIAL_BYTES and special > len(text) // 4:
        raise Unusual
    view = memoryview(text)
    plain: list[bytes | memoryview] = []
    done = 0
    for start, end in parts:
        plain += [view[done:start], _in_plain(bytes(view[start:end]))]
        done = end
    return b"".join([*plain, view[done:]]) if plain else text


def _special_parts(text: bytearray, rows: Sequence[msgspec.Raw]) -> list[tuple[int, int]]:
    """Where the parts of whole lines lie that have such escapes."""
    # Each row is followed by one byte, but the last.
    edges = array("q", accumulate([len(row) + 1 for row in rows], initial=0))
    edges[-1] = len(text)
    lines = pa.Array.from_buffers(
        pa.large_binary(), len(rows), [None, pa.py_buffer(edges), pa.py_buffer(text)]
    )
    parts: list[tuple[int, int]] = []
    for row in pc.indices_nonzero(pc.match_substring_regex(lines, pattern=_SPECIAL)).to_pylist():
        start, end = edges[row], edges[row + 1]
        if parts and start - parts[-1][1] <= _NEAR_BYTES:
            start = parts.pop()[0]
        parts.append((start, end))
    return parts


def _in_plain(text: bytes) -> bytes:
    # A run of backslashes begins outside of an escape and is replaced from there, two by two: what backslashes remain
    # begin an escape.
    doubled = _BACKSLASH in text
    if doubled:
        text = text.replace(_BACKSLASH, _STAND_IN)
    for escape, plain in _PLAIN.items():
        if _has_escape(text, escape):
            text = text.replace(escape, plain)
    if _has_escape(text, rb"\u"):
        text = _UNICODE.sub(_characters, text)
    return text.replace(_STAND_IN, _BACKSLASH) if doubled else text


def _has_escape(text: bytes, escape: bytes) -> bool:
    # To begin such a search takes longer than to look through a few rows.
    return escape in text if len(text) < _FEW_BYTES else _holds(text, "\\" + escape.decode())


def _characters(escapes: re.Match[bytes]) -> bytes:
    text = msgspec.json.decode(b'"' + escapes[0] + b'"', type=str).encode()
    if _STAND_IN in text:
        raise Unusual
    return text.replace(b"\\", _BACKSLASH).replace(b'"', rb"\"")


def _odd_reals(reals: pa.Array[Any]) -> list[int]:
    """Where the infinite ones, and those that are no numbers, are."""
    finite = pc.is_finite(reals)
    if pc.all(finite).as_py() is not False:
        return []
    odd: list[int] = pc.indices_nonzero(pc.invert(finite)).to_pylist()
    return odd
