"""Ad-hoc searches: some rows now, on a screen, instead of all rows in a lake.

Sans-IO like the sources: generators that build requests and read answers, driven by ``http.Client``; ``rows``
of each search turns them into plain values. A partial answer is an error here as it is in an export, and the
range is half-open: asked one millisecond wider on both sides, rows outside are dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from logferry.convert.repair import MarkedDocument
from logferry.errors import CursorLost, DefinitionError, FailedAnswer
from logferry.http import Client
from logferry.kql_tokens import tokenise
from logferry.sources import kql_text
from logferry.sources.azure_adhoc import KqlAnswer, run_kql
from logferry.sources.azure_query import timespan_hint
from logferry.sources.base import Request, Response
from logferry.sources.datadog import PAGE_ROWS, SEARCH_PATH, DatadogSource
from logferry.sources.datadog_answers import read_search, refusal
from logferry.window import TICK_PER_MS, Window, parse_instant

_SORT = re.compile(r"-?(?:timestamp|@\S+)")
_decode_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode


def check_sort(sort: str) -> str:
    """``timestamp``, ``-timestamp``, ``@facet`` or ``-@facet``, else DefinitionError."""
    if _SORT.fullmatch(sort) is None:
        raise DefinitionError(
            f"{sort!r} is no order; write timestamp, -timestamp, or a facet such as @duration or -@duration"
        )
    return sort


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """One Datadog event: its JSON exactly as received, on one line, and the same as values."""

    raw: bytes
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DatadogSearch:
    """A search of Datadog logs in ``window``, in the order of ``sort``, ``page_rows`` (at most 1000) at a time.

    ``margin_ms``: how much wider than the window is asked on both sides.
    """

    base_url: str
    query: str
    window: Window
    sort: str = "-timestamp"
    indexes: tuple[str, ...] = ("*",)
    storage_tier: str = "indexes"
    page_rows: int = PAGE_ROWS
    margin_ms: int = 1

    def page(self, cursor: str | None) -> Generator[Request, Response, tuple[list[FoundEvent], str | None]]:
        """One page as it came, and the cursor of the next (None: the end)."""
        page: dict[str, Any] = {"limit": self.page_rows}
        if cursor is not None:
            page["cursor"] = cursor
        body = {
            "filter": {
                "from": str(self.window.start // TICK_PER_MS - self.margin_ms),
                "to": str(-(-self.window.end // TICK_PER_MS) + self.margin_ms),
                "query": self.query,
                "indexes": list(self.indexes),
                "storage_tier": self.storage_tier,
            },
            "sort": self.sort,
            "page": page,
        }
        response = yield Request(
            method="POST",
            url=self.base_url.rstrip("/") + SEARCH_PATH,
            purpose="search",
            bucket=DatadogSource.search_bucket,
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            body=msgspec.json.encode(body),
        )
        if response.status != 200:
            raise refusal(response, resumed=cursor is not None)
        data, after = read_search(response.body)
        return [_event(raw) for raw in _split(data)], after

    def events(self, client: Client, limit: int) -> Iterator[FoundEvent]:
        """At most ``limit`` events inside the window, through as many pages as that takes.

        A short page is not the end: the end is no cursor, or a second empty page. Raises CursorLost when a
        cursor comes again, and the errors of ``logferry.errors`` for answers that are not whole.
        """
        cursor: str | None = None
        seen: set[str] = set()
        found = empty = 0
        while True:
            events, after = client.run(partial(self.page, cursor))
            for event in events:
                if self._inside(event):
                    yield event
                    found += 1
                    if found == limit:
                        return
            empty = 0 if events else empty + 1
            if after is None or empty == 2:
                return
            if after in seen:
                raise CursorLost("Datadog gave the same cursor twice; search again, or for a shorter range")
            seen.add(after)
            cursor = after

    def _inside(self, event: FoundEvent) -> bool:
        tick = event_tick(event)
        return tick is None or tick in self.window


def event_tick(event: FoundEvent) -> int | None:
    """The event's time; None when it carries none that can be read."""
    attributes = event.value.get("attributes")
    try:
        return parse_instant(attributes["timestamp"])  # type: ignore[index]
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


def _split(data: bytes) -> list[bytes]:
    """The elements of a JSON array, each as received."""
    try:
        return [bytes(raw) for raw in _decode_rows(data)]
    except msgspec.DecodeError:
        marked = MarkedDocument(data)
    try:
        return [marked.restore(bytes(raw)) for raw in _decode_rows(marked.document)]
    except (msgspec.DecodeError, RecursionError) as error:
        raise FailedAnswer(f"Datadog's page is not readable: {error}") from error


def _event(raw: bytes) -> FoundEvent:
    # Line ends stand only between the tokens of JSON, never inside its strings.
    line = raw.replace(b"\r", b" ").replace(b"\n", b" ")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FailedAnswer(f"Datadog's page holds an event that is not readable: {error}") from error
    if not isinstance(value, dict):
        raise FailedAnswer("Datadog's page holds an event that is no object")
    return FoundEvent(line, value)


@dataclass(frozen=True, slots=True)
class KqlSearch:
    """A KQL query that begins with its table, cut exactly to ``window`` right after the table's name.

    What follows the table may be any KQL: an ad-hoc search is one query and is never split by time.
    ``sort``: ``timestamp`` means the time column, ``@name`` a column of the result.
    """

    query_endpoint: str
    workspace: str
    table: str
    operators: str
    window: Window
    time_column: str = "TimeGenerated"
    sort: str = "-timestamp"

    def count(self) -> Generator[Request, Response, int]:
        """Rows the whole query gives."""
        answer = yield from self._ask([self._where(), self.operators, "| count"])
        try:
            total = int(answer.rows[0][0])
        except (IndexError, TypeError, ValueError):
            raise FailedAnswer("Log Analytics' count holds no number") from None
        return total

    def rows(self, limit: int) -> Generator[Request, Response, KqlAnswer]:
        """The first ``limit`` rows in the order of ``sort``."""
        descending, key = self.sort.startswith("-"), self.sort.lstrip("-")
        direction = "desc" if descending else "asc"
        if key == "timestamp":
            # Before the operators, because they may drop the column; they keep the order.
            steps = [
                self._where(),
                f"| sort by {kql_text.name(self.time_column)} {direction}",
                self.operators,
            ]
        else:
            steps = [self._where(), self.operators, f"| sort by {kql_text.name(key.lstrip('@'))} {direction}"]
        answer = yield from self._ask([*steps, f"| take {limit}"])
        return answer

    def _where(self) -> str:
        time = kql_text.name(self.time_column)
        start, end = kql_text.instant(self.window.start), kql_text.instant(self.window.end)
        return f"| where {time} >= {start} and {time} < {end}"

    def _ask(self, steps: list[str]) -> Generator[Request, Response, KqlAnswer]:
        query = "\n".join([kql_text.name(self.table), *(step for step in steps if step)])
        hint = timespan_hint(self.window, self.time_column)
        answer = yield from run_kql(self.query_endpoint, self.workspace, query, hint)
        return answer


def split_kql(query: str) -> tuple[str, str]:
    """``(table, operators)`` of a query such as ``Event | where A == 1``; DefinitionError otherwise."""
    tokens = tokenise(query)
    if any(token.text == ";" and token.kind == "sign" for token in tokens):
        raise DefinitionError("the query holds ';'; write one query that begins with its table's name")
    follows = tokens[1].text if len(tokens) > 1 else "|"
    if not tokens or tokens[0].kind != "name" or follows != "|":
        raise DefinitionError(
            "the query does not begin with a table's name, so its time cannot be cut; write it like "
            "'Event | where EventLevelName == \"Error\"'"
        )
    return tokens[0].text, query[tokens[1].at :].strip() if len(tokens) > 1 else ""
