"""The Log Analytics query API: one query out, one table in, whole or refused.

Request and answer: https://learn.microsoft.com/azure/azure-monitor/logs/api/request-format and
response-format. ``wait=600`` is the longest the service works on a query (api/timeouts); ``no-cache``
because it otherwise repeats an answer for two minutes (api/cache), which would prove a late row away.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from logferry.convert.kql_types import canonical
from logferry.convert.repair import repair_surrogates
from logferry.errors import FailedAnswer
from logferry.http import excerpt
from logferry.sources.azure_errors import describe_error, partial_answer, query_refusal
from logferry.sources.base import Purpose, Request, Response
from logferry.window import TICK_PER_SECOND, Window, format_instant

BUCKET = "azure_query"
_WAIT_S = 600
_TIMEOUT_S = _WAIT_S + 30.0
_NARROW_ON = frozenset({502, 504})
"""Not retried blindly: 504 mostly, 502 sometimes, means that the query is too much for one answer."""


class _Column(msgspec.Struct):
    name: str
    type: str


class _Table(msgspec.Struct):
    name: str
    columns: list[_Column]
    rows: list[msgspec.Raw]


class _Answer(msgspec.Struct):
    tables: list[_Table] | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Answer).decode


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """The primary result: ``(name, KQL type)`` columns and each row's JSON array as received.

    ``repaired`` counts escaped halves of surrogate pairs that became U+FFFD.
    """

    columns: tuple[tuple[str, str], ...]
    rows: list[msgspec.Raw]
    body_bytes: int
    repaired: int


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where queries go: an endpoint such as ``https://api.loganalytics.azure.com``, a workspace's GUID."""

    endpoint: str
    guid: str

    @property
    def url(self) -> str:
        return f"{self.endpoint.rstrip('/')}/v1/workspaces/{self.guid}/query"

    def ask(
        self,
        query: str,
        span: Window | None,
        *,
        purpose: Purpose,
        table: str | None = None,
    ) -> Generator[Request, Response, QueryAnswer]:
        """The whole answer to ``query``; ``table`` names its table for a clearer refusal.

        ``span`` becomes the request's ``timespan``, widened by a second on both sides: the service
        intersects it with the query's own filter, and whether its ends are inclusive is not documented.
        None: no hint. Raises TooMuch, FailedAnswer, QueryRejected, CredentialsError, Unavailable.
        """
        body = {"query": query}
        if span is not None:
            start = format_instant(span.start - TICK_PER_SECOND)
            body["timespan"] = f"{start}/{format_instant(span.end + TICK_PER_SECOND)}"
        response = yield Request(
            method="POST",
            url=self.url,
            purpose=purpose,
            bucket=BUCKET,
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Prefer": f"wait={_WAIT_S}",
                "Cache-Control": "no-cache",
                "x-ms-client-request-id": str(uuid.uuid4()),
                "x-ms-app": "logferry",
            },
            body=msgspec.json.encode(body),
            timeout_s=_TIMEOUT_S,
            narrow_on=_NARROW_ON,
        )
        if response.status != 200:
            raise query_refusal(response, table=table)
        return read_answer(response.body)


def read_answer(body: bytes) -> QueryAnswer:
    """The primary result of a 200. Raises FailedAnswer or TooMuch for everything that is not whole."""
    if not body.strip():
        # https://learn.microsoft.com/azure/azure-monitor/logs/api/errors: a 200 without a body is no answer.
        raise FailedAnswer("Log Analytics answered 200 with an empty body, which is not an empty result")
    answer, repaired = _read(body)
    if answer.error is not None:
        raise partial_answer(describe_error(answer.error))
    primary = [table for table in answer.tables or () if table.name == "PrimaryResult"]
    if len(primary) != 1:
        count = "no" if not primary else str(len(primary))
        raise FailedAnswer(f"Log Analytics' answer holds {count} table named PrimaryResult: {excerpt(body)}")
    columns = tuple((column.name, canonical(column.type)) for column in primary[0].columns)
    return QueryAnswer(columns, primary[0].rows, len(body), repaired)


def check_columns(answer: QueryAnswer, expected: list[tuple[str, str]]) -> None:
    """Raise FailedAnswer unless the answer has exactly these columns in this order."""
    if list(answer.columns) == expected:
        return
    for position, (wanted, given) in enumerate(zip(expected, answer.columns, strict=False), start=1):
        if wanted != given:
            detail = f"column {position} is {given[0]!r} ({given[1]}), not {wanted[0]!r} ({wanted[1]})"
            break
    else:
        detail = f"it has {len(answer.columns)} columns, not {len(expected)}"
    raise FailedAnswer(
        f"Log Analytics' answer differs from the columns asked for: {detail}; if the table has changed, "
        "run the window again"
    )


def _read(body: bytes) -> tuple[_Answer, int]:
    try:
        return _decode(body), 0
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        first = error
    repaired, halves = repair_surrogates(body)
    if not halves:
        raise _unreadable(body, first)
    try:
        return _decode(repaired), halves
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(body, error) from error


def _unreadable(body: bytes, error: Exception) -> FailedAnswer:
    kind: Literal["is cut or no JSON", "is not an answer"] = (
        "is not an answer" if isinstance(error, msgspec.ValidationError) else "is cut or no JSON"
    )
    return FailedAnswer(
        f"Log Analytics' answer of {len(body):,} bytes {kind} ({error}); it begins: {_outline(body)}"
    )


def _outline(body: bytes) -> str:
    """The start of a body that is a gateway's page; nothing of one that may hold rows."""
    return "its tables" if body.lstrip().startswith(b"{") else excerpt(body)
