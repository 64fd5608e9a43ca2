"""The manifest: what one publication wrote, and what proves that it is all there was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
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

    ``source_now`` is what the source held at a later run that was not allowed to replace a proven slice, and
    ``source_now_at`` when it was counted then (None: it could not be).
    ``notes`` counts what conversion recorded (values that did not fit a column, invalid text), pages that were
    read again included: an upper bound. ``fingerprint``: of the definition the rows were written under, where it is
    not the manifest's (a kept slice). ``previous_rows`` and ``previous_counted_at``: what the publication before
    said, where the number of rows moved (late rows).
    """

    status: Status
    rows: int
    source_rows: int | None
    counted_at: str | None
    file: FileEntry
    source_now: int | None = None
    source_now_at: str | None = None
    notes: dict[str, int] = {}
    fingerprint: str | None = None
    previous_rows: int | None = None
    previous_counted_at: str | None = None


class RunEntry(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    attempt: int
    started_at: str
    finished_at: str
    engine: str


class IntendedSlice(Span, frozen=True, kw_only=True, omit_defaults=True):
    """A slice about to change: the row hash of the object under its key before and after; None: no object.

    ``etag``: of the object that will be replaced or deleted; None where there is none, or where it stays. Whoever wrote
    the intent replaces no object of another ETag, however late.
    """

    old: str | None
    new: str | None
    etag: str | None = None


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the journal that comes before files change. It is open, per slice, until a publication follows.

    ``slices``: all slices of the window, unchanged ones with ``old == new``, and the leftovers of another grid with
    ``new`` None.
    """

    format: int = 1
    record: Literal["intent"] = "intent"
    export: str
    seq: int
    previous: str | None
    fingerprint: str
    window: Span
    slices: list[IntendedSlice]
    run: RunEntry

    def encode(self) -> bytes:
        """The exact bytes that are stored and hashed."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


class Mend(msgspec.Struct, frozen=True, kw_only=True):
    """A damaged record that a later publication found and went on from. ``found``: the hash of what lies there,
    None when nothing does; ``expected``: the hash it should have had, where a neighbour tells."""

    seq: int
    found: str | None
    expected: str | None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the journal (format 1). ``previous`` is the hash of the record before, None for the first.

    ``intent``: sequence number of the intent it fulfils. ``removed``: slices of another grid whose objects it
    deleted. ``mends``: damaged records it found.
    """

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
    intent: int | None = None
    removed: list[Span] = []
    mends: list[Mend] = []

    def encode(self) -> bytes:
        """The exact bytes that are stored and hashed."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = msgspec.to_builtins(self)
        return result

    @property
    def files(self) -> list[FileEntry]:
        return [entry.file for entry in self.slices]


class _Kind(msgspec.Struct):
    record: str = "publication"


_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode_manifest = msgspec.json.Decoder(Manifest).decode
_decode_intent = msgspec.json.Decoder(Intent).decode


def decode_manifest(data: bytes) -> Manifest:
    """Raises ValueError (``msgspec.DecodeError`` is one) for anything but a manifest."""
    with refusing_depth():
        return _decode_manifest(data)


def decode_record(data: bytes) -> Manifest | Intent:
    """A record of the journal. Raises like ``decode_manifest``."""
    with refusing_depth():
        if _decode_kind(data).record == "intent":
            return _decode_intent(data)
        return _decode_manifest(data)


@contextmanager
def refusing_depth() -> Iterator[None]:
    """Turns the RecursionError of JSON that is nested too deeply into a ValueError."""
    try:
        yield
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def content_hash(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def worst(statuses: list[Status]) -> Status:
    """A window is as good as its worst slice."""
    return next(status for status in _WORST_FIRST if status in statuses)
