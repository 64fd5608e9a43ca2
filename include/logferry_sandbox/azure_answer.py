"""The body of a query's answer, and the one of rows known by number: made while it is sent, never held whole."""

from __future__ import annotations

import json
import random
from bisect import bisect_right
from collections.abc import Iterator

from logferry_sandbox.azure_errors import Limits, partial_error
from logferry_sandbox.azure_extras import extra_members
from logferry_sandbox.azure_workspace import AzureKnobs
from logferry_sandbox.http_server import Buffer, HttpRequest, HttpResponse
from logferry_sandbox.kql import Answer
from logferry_sandbox.kql_shortcuts import NumberedRows, Written

_PIECE_ROWS = 2_000


def purpose_of(query: str) -> str:
    """What a query is for: ``schema``, ``count`` or ``search``."""
    if "getschema" in query:
        return "schema"
    return "count" if "summarize" in query or query.rstrip().endswith("| count") else "search"


def answer_head(answer: Answer) -> bytes:
    """All that precedes the first row."""
    columns = [{"name": column.name, "type": column.kind} for column in answer.columns]
    text = json.dumps(columns, ensure_ascii=False).encode()
    return b'{"tables":[{"name":"PrimaryResult","columns":%s,"rows":[' % text


def numbered_answer(
    request: HttpRequest, query: str, answer: Answer, found: NumberedRows, knobs: AzureKnobs
) -> tuple[HttpResponse, int]:
    """The answer and its number of rows; cut and marked as partial where they exceed the limits."""
    written, start = found.written(), found.start
    stop, error = found.stop, None
    variant = 0
    if stop - start > knobs.max_rows:
        stop, variant = start + knobs.max_rows, knobs.partial_rows

    def size(row: int) -> int:
        return written.bytes_before(row) - written.bytes_before(start) - (row - start)

    if size(stop) > knobs.max_bytes:
        stop = start + bisect_right(range(start + 1, stop + 1), knobs.max_bytes, key=size)
        variant = knobs.partial_bytes
    if variant:
        error = partial_error(variant, Limits(knobs.max_rows, knobs.max_bytes))
    tail = b"]}]%s}" % extra_members(request, stop - start, error)
    rows = stop - start
    response = HttpResponse(
        body=answer_head(answer),
        pieces=_pieces(written, start, stop, None if answer.ordered or not knobs.shuffle else query, tail),
        pieces_bytes=size(stop) + max(0, rows - 1) + len(tail),
        compress=knobs.compress,
    )
    return response, rows


def _pieces(written: Written, start: int, stop: int, seed: str | None, tail: bytes) -> Iterator[Buffer]:
    """Runs of rows, in an order of their own where a ``seed`` is given: without `sort` the service promises none."""
    starts = list(range(start, stop, _PIECE_ROWS))
    if seed is not None:
        random.Random(seed).shuffle(starts)
    for left, first in enumerate(starts, 1 - len(starts)):
        text = written.text(first, min(first + _PIECE_ROWS, stop))
        yield text if left else memoryview(text)[:-1]
    yield tail
