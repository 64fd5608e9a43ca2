"""The manifest: what one publication wrote, and what proves that it is all there was."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from logferry.window import Window, format_instant, parse_instant

Status = Literal["proven", "unproven", "short"]

_WORST_FIRST: tuple[Status, ...] = ("short", "unproven", "proven")


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A half-open interval as text, UTC."""

    start: str = msgspec.field(name="from")
    end: str = msgspec.field(name="to")

    @classmethod
    def of(cls, window: Window) -> Span:
        return cls(start=format_instant(window.start), end=format_instant(window.end))

    def window(self) -> Window:
        return Window(parse_instant(self.start), parse_instant(self.end))


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet object; ``key`` is relative to the destination's URL."""

    key: str
    rows: int
    bytes: int
    sha256: str
    row_hash: str
    min_time: str | None
    max_time: str | None


class SliceEntry(Span, frozen=True, kw_only=True, omit_defaults=True):
    """One slice: ``rows`` in the file, ``source_rows`` by the count taken after the fetch.

    ``source_now`` is what the source held at a later run that was not allowed to replace a proven slice.
    ``notes`` counts what conversion recorded (values that did not fit a column, invalid text), pages that were
    read again included: an upper bound.
    """

    status: Status
    rows: int
    source_rows: int | None
    counted_at: str | None
    file: FileEntry
    source_now: int | None = None
    notes: dict[str, int] = {}


class RunEntry(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    attempt: int
    started_at: str
    finished_at: str
    engine: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the journal (format 1). ``previous`` is the hash of the record before, None for the first."""

    format: int = 1
    record: Literal["publication"] = "publication"
    export: str
    seq: int
    previous: str | None
    fingerprint: str
    source: dict[str, Any]
    window: Span
    status: Status
    rows: int
    source_rows: int | None
    columns: list[dict[str, str]]
    slices: list[SliceEntry]
    requests: dict[str, int]
    run: RunEntry

    def encode(self) -> bytes:
        """The exact bytes that are stored and hashed."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = msgspec.to_builtins(self)
        return result

    @property
    def files(self) -> list[FileEntry]:
        return [entry.file for entry in self.slices]


_decode = msgspec.json.Decoder(Manifest).decode


def decode_manifest(data: bytes) -> Manifest:
    """Raises ``msgspec.ValidationError`` or ``msgspec.DecodeError`` for anything but a manifest."""
    return _decode(data)


def content_hash(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def worst(statuses: list[Status]) -> Status:
    """A window is as good as its worst slice."""
    return next(status for status in _WORST_FIRST if status in statuses)
