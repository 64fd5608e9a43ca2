"""The Log Analytics query API: one query out, one table in, whole or refused.

Request and answer: https://learn.microsoft.com/azure/azure-monitor/logs/api/request-format and
response-format. ``wait=600`` is the longest the service works on a query (api/timeouts); ``no-cache``
because it otherwise repeats an answer for two minutes (api/cache), which would prove a late row away.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator
from dataclasses import dataclass, replace

import msgspec

from logferry.convert.kql_types import canonical
from logferry.convert.repair import repair_surrogates
from logferry.errors import FailedAnswer
from logferry.sources.base import MIB, Purpose, Request, Response
from logferry.sources.bounds import COUNT_BYTES, check_values, reason
from logferry.window import FIRST_INSTANT, LAST_INSTANT, TICK_PER_SECOND, Window, format_instant

BUCKET = "azure_query"
_WAIT_S = 600
_TIMEOUT_S = _WAIT_S + 30.0
_TIMESPAN_COLUMN = "TimeGenerated"
_NARROW_ON: dict[Purpose, frozenset[int]] = {
    "search": frozenset({502, 504}),
    "count": frozenset({504}),
    "schema": frozenset(),
}
"""What is judged here and not just sent again: 504 mostly, 502 for rows sometimes, means that the query is
too much for one answer."""
_MOST_BYTES: dict[Purpose, int] = {"search": 256 * MIB, "count": COUNT_BYTES, "schema": COUNT_BYTES}
"""The service cuts a result at 64,000,000 bytes of data, which JSON writes with more."""
_COUNT_PAUSES_S = (5.0, 20.0)
"""Before a count that ran out of time is asked again; a 504 after the last of these is believed."""


def timespan_hint(window: Window, time_column: str) -> Window | None:
    """The window where it may be sent as ``timespan``, else None.

    The service applies a timespan to TimeGenerated alone
    (https://learn.microsoft.com/azure/azure-monitor/logs/api/timespan): beside a filter on another column it
    would take rows away, from searches and counts alike.
    """
    return window if time_column == _TIMESPAN_COLUMN else None


class _Column(msgspec.Struct):
    name: str
    type: str


class _Table(msgspec.Struct):
    name: str
    columns: list[_Column]
    rows: list[msgspec.Raw]


class _Answer(msgspec.Struct):
    tables: list[_Table] | None = None
    error: msgspec.Raw = msgspec.Raw(b"")


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
        patient: bool = True,
    ) -> Generator[Request, Response, QueryAnswer]:
        """The whole answer to ``query``, read; as ``send``, and TooMuch where it is cut."""
        body = yield from self.send(query, span, purpose=purpose, table=table, patient=patient)
        return read_answer(body)

    def send(
        self,
        query: str,
        span: Window | None,
        *,
        purpose: Purpose,
        table: str | None = None,
        patient: bool = True,
    ) -> Generator[Request, Response, bytes]:
        """The body that answers ``query`` with 200; ``table`` names its table for a clearer refusal.

        ``span`` becomes the request's ``timespan``, widened by a second on both sides: the service
        intersects it with the query's own filter, and whether its ends are inclusive is not documented.
        None: no hint, as for any time but TimeGenerated (``timespan_hint``). A ``patient`` count answered 504 is
        asked twice more. Raises TooMuch, FailedAnswer, QueryRejected, CredentialsError, Unavailable.
        """
        body = {"query": query}
        if span is not None:
            start = max(span.start - TICK_PER_SECOND, FIRST_INSTANT)
            end = min(span.end + TICK_PER_SECOND, LAST_INSTANT)
            body["timespan"] = f"{format_instant(start)}/{format_instant(end)}"
        request = Request(
            method="POST",
            url=self.url,
            purpose=purpose,
            bucket=BUCKET,
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Prefer": f"wait={_WAIT_S}",
                "Cache-Control": "no-cache",
                "x-ms-app": "logferry",
            },
            body=msgspec.json.encode(body),
            timeout_s=_TIMEOUT_S,
            most_bytes=_MOST_BYTES[purpose],
            narrow_on=_NARROW_ON[purpose],
            recycled=purpose == "search",
        )
        response = yield _numbered(request)
        for pause in _COUNT_PAUSES_S if purpose == "count" and patient else ():
            if response.status != 504:
                break
            response = yield _numbered(replace(request, after_s=pause))
        if response.status != 200:
            from logferry.sources.azure_errors import query_refusal

            raise query_refusal(response, table=table)
        return response.body


def read_answer(body: bytes) -> QueryAnswer:
    """The primary result of a 200. Raises FailedAnswer or TooMuch for everything that is not whole."""
    if not body or body.isspace():
        # https://learn.microsoft.com/azure/azure-monitor/logs/api/errors: a 200 without a body is no answer.
        raise FailedAnswer("Log Analytics answered 200 with an empty body, which is not an empty result")
    check_values(body, "Log Analytics' answer")
    answer, repaired = _read(body)
    if bytes(answer.error) not in (b"", b"null"):
        # Only here: a process that reads answers, and learns of no other errors, need not load all that it takes.
        from logferry.sources.azure_errors import error_beside, partial_answer

        raise partial_answer(error_beside(bytes(answer.error)))
    primary = [table for table in answer.tables or () if table.name == "PrimaryResult"]
    if len(primary) != 1:
        count = "no" if not primary else str(len(primary))
        tables = "no list of tables" if answer.tables is None else f"{len(answer.tables)} tables in all"
        raise FailedAnswer(
            f"Log Analytics' answer of {len(body):,} bytes holds {count} table named PrimaryResult ({tables})"
        )
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
    """Without a word of the body, which may hold rows; msgspec's errors name places and types only."""
    if isinstance(error, msgspec.ValidationError):
        kind = "is not an answer"
    elif body.lstrip().startswith(b"<"):
        kind = "is a page, not JSON"
    else:
        kind = "is cut or no JSON"
    return FailedAnswer(f"Log Analytics' answer of {len(body):,} bytes {kind} ({reason(error)})")


def _numbered(request: Request) -> Request:
    """The request with an id of its own, by which the service's support finds it."""
    return replace(request, headers={**request.headers, "x-ms-client-request-id": str(uuid.uuid4())})
