"""Thrift's compact protocol, as far as the footers of Parquet files need it: bytes to a tree and back.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md. A tree says nothing of what its
fields mean: those that nobody here knows survive as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_INTEGERS = (I16, I32, I64)
_LONG_LIST = 15
_MOST_FIELD_STEP = 15
_MOST_DEPTH = 32
_MOST_VARINT_BITS = 70


class NotThrift(ValueError):
    """The bytes are not a whole struct of the compact protocol."""


@dataclass(slots=True)
class Struct:
    """``fields`` by their ids: the type of each, and its value."""

    fields: dict[int, tuple[int, Any]] = field(default_factory=dict)

    def get(self, number: int) -> Any:
        """The field's value, None where there is none."""
        found = self.fields.get(number)
        return None if found is None else found[1]

    def put(self, number: int, value: Any) -> None:
        """Replaces the value of a field that is there."""
        self.fields[number] = (self.fields[number][0], value)


@dataclass(slots=True)
class Items:
    """A list or a set: the type of its members, and these."""

    kind: int
    values: list[Any]


@dataclass(slots=True)
class Pairs:
    """A map: the types of its keys and values, and both."""

    keys: int
    values: int
    pairs: list[tuple[Any, Any]]


def read_struct(data: bytes) -> tuple[Struct, int]:
    """The struct at the beginning of ``data``, and how many bytes it takes. Raises NotThrift."""
    reader = _Reader(data)
    try:
        return reader.struct(0), reader.at
    except IndexError:
        raise NotThrift("the struct is cut off") from None


def struct_bytes(struct: Struct) -> bytes:
    """The struct's bytes."""
    out = bytearray()
    _write_struct(out, struct)
    return bytes(out)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def struct(self, depth: int) -> Struct:
        struct, number = Struct(), 0
        while head := self._byte():
            kind, step = head & 15, head >> 4
            number = number + step if step else self._signed()
            struct.fields[number] = (
                kind,
                kind == TRUE if kind in (TRUE, FALSE) else self._value(kind, depth),
            )
        return struct

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _MOST_DEPTH:
            raise NotThrift(f"it is nested deeper than {_MOST_DEPTH} levels")
        if kind in _INTEGERS:
            return self._signed()
        if kind == BINARY:
            return self._take(self._varint())
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in (LIST, SET):
            head = self._byte()
            size = head >> 4 if head >> 4 < _LONG_LIST else self._varint()
            return Items(head & 15, [self._member(head & 15, depth + 1) for _ in range(size)])
        if kind == MAP:
            return self._map(depth)
        if kind == BYTE:
            return self._take(1)
        if kind == DOUBLE:
            return self._take(8)
        raise NotThrift(f"there is no type {kind}")

    def _map(self, depth: int) -> Pairs:
        size = self._varint()
        kinds = self._byte() if size else 0
        keys, values = kinds >> 4, kinds & 15
        members = [(self._member(keys, depth + 1), self._member(values, depth + 1)) for _ in range(size)]
        return Pairs(keys, values, members)

    def _member(self, kind: int, depth: int) -> Any:
        return self._byte() if kind in (TRUE, FALSE) else self._value(kind, depth)

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._data):
            raise IndexError
        taken = bytes(self._data[self.at : end])
        self.at = end
        return taken

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift >= _MOST_VARINT_BITS:
                raise NotThrift("a number has more than 64 bits")

    def _signed(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)


def _write_struct(out: bytearray, struct: Struct) -> None:
    before = 0
    for number, (kind, value) in sorted(struct.fields.items()):
        kind = (TRUE if value else FALSE) if kind in (TRUE, FALSE) else kind
        if 0 < number - before <= _MOST_FIELD_STEP:
            out.append((number - before) << 4 | kind)
        else:
            out.append(kind)
            _write_signed(out, number)
        before = number
        if kind not in (TRUE, FALSE):
            _write_value(out, kind, value)
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in _INTEGERS:
        _write_signed(out, value)
    elif kind == BINARY:
        _write_varint(out, len(value))
        out += value
    elif kind == STRUCT:
        _write_struct(out, value)
    elif kind in (LIST, SET):
        size = len(value.values)
        out.append(min(size, _LONG_LIST) << 4 | value.kind)
        if size >= _LONG_LIST:
            _write_varint(out, size)
        for member in value.values:
            _write_member(out, value.kind, member)
    elif kind == MAP:
        _write_varint(out, len(value.pairs))
        if value.pairs:
            out.append(value.keys << 4 | value.values)
        for key, member in value.pairs:
            _write_member(out, value.keys, key)
            _write_member(out, value.values, member)
    else:
        out += value


def _write_member(out: bytearray, kind: int, value: Any) -> None:
    if kind in (TRUE, FALSE):
        out.append(value)
    else:
        _write_value(out, kind, value)


def _write_signed(out: bytearray, number: int) -> None:
    _write_varint(out, number << 1 if number >= 0 else -number * 2 - 1)


def _write_varint(out: bytearray, number: int) -> None:
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
