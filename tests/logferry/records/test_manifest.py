"""The manifest: its JSON is the contract, its bytes are what is hashed."""

from __future__ import annotations

import json
from itertools import product

import msgspec
import pytest

from logferry.records.manifest import (
    FileEntry,
    IntendedSlice,
    Intent,
    Manifest,
    RunEntry,
    SliceEntry,
    Span,
    Status,
    content_hash,
    decode_manifest,
    decode_record,
    worst,
)
from logferry.window import Window, parse_instant

FILE = FileEntry(
    key="k",
    rows=1,
    bytes=2,
    sha256="sha256:a",
    row_hash="sha256:b",
    min_time="2026-11-20T00:00:00Z",
    max_time=None,
)
SLICE = SliceEntry(
    start="2026-11-20T00:00:00Z", end="2026-11-20T01:00:00Z", status="unproven", rows=1, source_rows=None,
    counted_at=None, file=FILE,
)  # fmt: skip
MANIFEST = Manifest(
    export="web",
    seq=42,
    previous="sha256:p",
    fingerprint="sha256:f",
    source={"kind": "datadog", "query": "é"},
    window=Span(start="2026-11-20T00:00:00Z", end="2026-11-20T01:00:00Z"),
    status="unproven",
    rows=1,
    source_rows=None,
    columns=[{"name": "id", "type": "string"}],
    slices=[SLICE],
    requests={"search": 1, "count": 2, "retried": 0, "throttled": 0},
    run=RunEntry(id="r", attempt=1, started_at="a", finished_at="b", engine="logferry 0"),
)


def test_the_json_has_the_names_others_rely_on() -> None:
    found = json.loads(MANIFEST.encode())
    assert set(found) >= {
        "format", "export", "seq", "previous", "fingerprint", "source", "window", "status", "rows", "source_rows",
        "slices", "requests", "run",
    }  # fmt: skip
    assert found["window"] == {"from": "2026-11-20T00:00:00Z", "to": "2026-11-20T01:00:00Z"}
    assert found["slices"] == [
        {
            "from": "2026-11-20T00:00:00Z",
            "to": "2026-11-20T01:00:00Z",
            "status": "unproven",
            "rows": 1,
            "source_rows": None,
            "counted_at": None,
            "file": json.loads(msgspec.json.encode(FILE)),
        }
    ]
    assert found == MANIFEST.to_json()


def test_a_manifest_survives_its_bytes() -> None:
    assert decode_manifest(MANIFEST.encode()) == MANIFEST
    assert decode_manifest(MANIFEST.encode()).encode() == MANIFEST.encode()
    assert content_hash(MANIFEST.encode()).startswith("sha256:")


def test_fields_added_later_do_not_hide_a_manifest() -> None:
    grown = {**MANIFEST.to_json(), "new": 1}
    assert decode_manifest(json.dumps(grown).encode()) == MANIFEST


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format":1}', b"\xff"])
def test_anything_else_is_no_manifest(data: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        decode_manifest(data)


def test_a_window_is_as_good_as_its_worst_slice() -> None:
    order: list[Status] = ["short", "unproven", "proven"]
    for one, other in product(order, order):
        assert worst([one, other]) == order[min(order.index(one), order.index(other))]


def test_a_span_is_a_window_as_text() -> None:
    window = Window(parse_instant("2026-11-20T00:00:00Z"), parse_instant("2026-11-20T00:00:00.0000001Z"))
    assert Span.of(window).window() == window


INTENT = Intent(
    export="web",
    seq=41,
    previous=None,
    fingerprint="sha256:f",
    window=MANIFEST.window,
    slices=[
        IntendedSlice(start=SLICE.start, end=SLICE.end, old="sha256:a", new="sha256:b", etag='"e"'),
        IntendedSlice(start=SLICE.start, end=SLICE.end, old="sha256:a", new=None),
    ],
    run=MANIFEST.run,
)


def test_an_intent_is_told_from_a_publication_by_its_record() -> None:
    assert decode_record(INTENT.encode()) == INTENT
    assert decode_record(MANIFEST.encode()) == MANIFEST
    found = json.loads(INTENT.encode())
    assert (found["record"], found["format"]) == ("intent", 1)
    assert found["slices"][1] == {
        "from": "2026-11-20T00:00:00Z",
        "to": "2026-11-20T01:00:00Z",
        "old": "sha256:a",
        "new": None,
    }


def test_a_record_of_an_older_engine_has_no_newer_fields() -> None:
    old = MANIFEST.to_json()
    for name in ("record", "intent", "removed", "mends"):
        del old[name]
    assert decode_record(json.dumps(old).encode()) == MANIFEST


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"record":"intent"}', b'{"record":7}', b"\xff"])
def test_anything_else_is_no_record(data: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        decode_record(data)
