"""Ad-hoc searches, driven by hand: the requests they build and every way an answer can end."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any, cast

import pytest

from logferry.adhoc import DatadogSearch, KqlSearch, check_sort, event_tick, split_kql
from logferry.errors import CursorLost, DefinitionError, FailedAnswer, QueryRejected
from logferry.http import Client
from logferry.sources.base import Request, Response
from logferry.window import Window, parse_instant

WINDOW = Window(parse_instant("2020-10-07T00:00:00Z"), parse_instant("2020-10-07T00:15:00Z"))
SEARCH = DatadogSearch(base_url="https://api.datadoghq.com/", query="*", window=WINDOW, sort="@pageViews")


class Scripted:
    """Stands where the client stands: answers each request with the next body of a script."""

    def __init__(self, *bodies: Any) -> None:
        self._bodies = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
        self.asked: list[dict[str, Any]] = []

    def run(self, make: Callable[[], Generator[Request, Response, Any]]) -> Any:
        exchange = make()
        request = next(exchange)
        try:
            while True:
                self.asked.append(json.loads(request.body or b""))
                request = exchange.send(Response(200, {}, self._bodies.pop(0)))
        except StopIteration as stop:
            return stop.value


def event(second: int, **attributes: Any) -> dict[str, Any]:
    timestamp = f"2020-10-07T00:{second // 60:02d}:{second % 60:02d}.000Z"
    return {"id": f"e{second}", "type": "log", "attributes": {"timestamp": timestamp, **attributes}}


def page(*events: dict[str, Any], after: str | None = None, **meta: Any) -> dict[str, Any]:
    return {"data": list(events), "meta": {**meta, **({"page": {"after": after}} if after else {})}}


def found(script: Scripted, limit: int = 1000, search: DatadogSearch = SEARCH) -> list[str]:
    return [one.value["id"] for one in search.events(cast(Client, script), limit)]


def test_the_body_is_that_of_the_guide_with_absolute_times_one_millisecond_wider() -> None:
    script = Scripted(page())
    found(script)
    assert script.asked == [
        {
            "filter": {
                "from": "1602028799999",
                "to": "1602029700001",
                "query": "*",
                "indexes": ["*"],
                "storage_tier": "indexes",
            },
            "sort": "@pageViews",
            "page": {"limit": 1000},
        }
    ]


def test_a_cursor_is_followed_with_everything_else_unchanged() -> None:
    script = Scripted(page(event(1), after="c1"), page(event(2), after="c2"), page())
    assert found(script) == ["e1", "e2"]
    first, second, third = script.asked
    assert second == {**first, "page": {"limit": 1000, "cursor": "c1"}}
    assert third["page"]["cursor"] == "c2"


@pytest.mark.parametrize(
    "end",
    [{"data": []}, {"data": None}, {"data": [], "meta": {"status": "done"}}, {"data": [], "meta": {"page": None}},
     {"data": [], "meta": {"elapsed": 0, "request_id": "x", "status": "done"}}],
)  # fmt: skip
def test_every_recorded_end_of_the_pages_is_understood(end: dict[str, Any]) -> None:
    assert found(Scripted(page(event(1), after="c1"), end)) == ["e1"]


def test_a_short_page_is_not_the_end_and_an_empty_one_is_followed_once_more() -> None:
    script = Scripted(page(after="c1"), page(event(1), after="c2"), page(after="c3"), page(after="c4"))
    assert found(script) == ["e1"]
    assert len(script.asked) == 4


def test_a_repeated_cursor_stops_the_search() -> None:
    with pytest.raises(CursorLost, match="same cursor twice"):
        found(Scripted(page(event(1), after="c"), page(event(2), after="c")))


def test_the_limit_holds_across_pages_and_asks_no_page_too_many() -> None:
    search = DatadogSearch(base_url="https://x", query="*", window=WINDOW, page_rows=2)
    script = Scripted(page(event(1), event(2), after="a"), page(event(3), event(4), after="b"))
    assert found(script, limit=3, search=search) == ["e1", "e2", "e3"]
    assert len(script.asked) == 2


def test_rows_on_the_far_side_of_a_bound_are_dropped() -> None:
    before = {"id": "before", "attributes": {"timestamp": "2020-10-06T23:59:59.999Z"}}
    first = {"id": "first", "attributes": {"timestamp": "2020-10-07T00:00:00.000Z"}}
    at_end = {"id": "end", "attributes": {"timestamp": "2020-10-07T00:15:00.000Z"}}
    odd = {"id": "odd", "attributes": {}}
    assert found(Scripted(page(before, first, at_end, odd))) == ["first", "odd"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (page(event(1), status="timeout"), FailedAnswer),
        ({"data": [], "meta": {"warnings": [{"code": "x", "detail": "partial"}]}}, FailedAnswer),
        ({"data": [], "meta": {"warnings": [{"code": "unknown_index", "detail": "foo"}]}}, QueryRejected),
        ({"meta": {}}, FailedAnswer),
        (b"", FailedAnswer),
        (b'{"data": [{"id": "a"', FailedAnswer),
        (b'{"data": [5]}', FailedAnswer),
    ],
)
def test_an_answer_that_is_not_whole_is_an_error(body: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        found(Scripted(body))


def test_an_event_keeps_every_digit_and_odd_text_it_was_received_with() -> None:
    raw = b'{"id":"a","n":12345678901234567890.10,"e":1e400,\n"text":"\\ud83d caf\xc3\xa9"}'
    script = Scripted(b'{"data": [' + raw + b"]}")
    (one,) = SEARCH.events(cast(Client, script), 5)
    assert one.raw == raw.replace(b"\n", b" ")
    assert event_tick(one) is None


@pytest.mark.parametrize("sort", ["timestamp", "-timestamp", "@pageViews", "-@http.status_code"])
def test_an_order_by_time_or_facet_is_taken(sort: str) -> None:
    assert check_sort(sort) == sort


@pytest.mark.parametrize("sort", ["", "time", "pageViews", "--timestamp", "@", "@a b", "timestamp desc"])
def test_any_other_order_is_refused(sort: str) -> None:
    with pytest.raises(DefinitionError, match="is no order"):
        check_sort(sort)


KQL = KqlSearch(
    query_endpoint="https://api.loganalytics.azure.com",
    workspace="11111111-2222-3333-4444-555555555555",
    table="Event",
    operators="| project Computer",
    window=WINDOW,
)


def kql(
    exchange: Generator[Request, Response, Any], rows: list[Any], column: str = "Count"
) -> tuple[str, Any]:
    request = next(exchange)
    table = {"name": "PrimaryResult", "columns": [{"name": column, "type": "long"}], "rows": rows}
    with pytest.raises(StopIteration) as stop:
        exchange.send(Response(200, {}, json.dumps({"tables": [table]}).encode()))
    return json.loads(request.body or b"")["query"], stop.value.value


def test_a_kql_search_cuts_the_time_right_after_the_table_and_sorts_before_columns_are_dropped() -> None:
    query, answer = kql(KQL.rows(5), [[1], [2]])
    start, end = "datetime(2020-10-07T00:00:00.0000000Z)", "datetime(2020-10-07T00:15:00.0000000Z)"
    assert query.split("\n") == [
        "Event",
        f"| where TimeGenerated >= {start} and TimeGenerated < {end}",
        "| sort by TimeGenerated desc",
        "| project Computer",
        "| take 5",
    ]
    assert answer.rows == [[1], [2]]


def test_a_kql_search_may_be_sorted_by_a_column_of_its_result() -> None:
    search = KqlSearch("https://x", KQL.workspace, "Event", "| project Computer", WINDOW, sort="@Computer")
    query, _ = kql(search.rows(5), [])
    assert query.split("\n")[2:] == ["| project Computer", "| sort by Computer asc", "| take 5"]


def test_the_total_is_that_of_the_whole_query() -> None:
    query, total = kql(KQL.count(), [[42]])
    assert query.split("\n")[2:] == ["| project Computer", "| count"]
    assert total == 42


def test_a_count_without_a_number_is_an_error() -> None:
    exchange = KQL.count()
    next(exchange)
    table = {"name": "PrimaryResult", "columns": [{"name": "Count", "type": "long"}], "rows": []}
    with pytest.raises(FailedAnswer, match="no number"):
        exchange.send(Response(200, {}, json.dumps({"tables": [table]}).encode()))


@pytest.mark.parametrize(
    ("query", "parts"),
    [("Event", ("Event", "")), (" Event | take 5 ", ("Event", "| take 5")),
     ("Event // all\n| where a == 'x|y'", ("Event", "| where a == 'x|y'"))],
)  # fmt: skip
def test_a_kql_query_is_split_after_its_table(query: str, parts: tuple[str, str]) -> None:
    assert split_kql(query) == parts


@pytest.mark.parametrize(
    "query", ["", "let x = 1; Event", "union A, B", "print(1)", "'x'", "Event; Other", "search 'x'"]
)
def test_a_kql_query_that_does_not_begin_with_its_table_is_refused(query: str) -> None:
    with pytest.raises(DefinitionError):
        split_kql(query)
