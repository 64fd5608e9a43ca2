"""The Datadog source by hand: what it asks, and how it reads whatever comes back."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.errors import (
    CountUnavailable,
    CredentialsError,
    CursorLost,
    FailedAnswer,
    LogferryError,
    QueryRejected,
    TooMuch,
    Unavailable,
)
from logferry.sources.base import BINS, Page, Request, Response, Share, SourceSchema
from logferry.sources.datadog import DatadogSource
from logferry.sources.datadog_answers import read_search
from logferry.spec import ColumnSpec, DatadogSourceSpec
from logferry.window import (
    TICK_PER_HOUR,
    TICK_PER_MINUTE,
    Window,
    format_instant,
    parse_duration,
    parse_instant,
)

T = TypeVar("T")

START = parse_instant("2026-11-20T00:00:00Z")
HOURS = Window(START, START + 3 * TICK_PER_HOUR)
SCHEMA = SourceSchema((), has_id=True)
EVENT = {"id": "a", "type": "log", "attributes": {"timestamp": "2026-11-20T00:00:01Z", "message": "m"}}


def source(**changes: Any) -> DatadogSource:
    spec = DatadogSourceSpec(kind="datadog", connection="dd", query="service:web", **changes)
    columns = {"code": ColumnSpec(path="http.code", type="int64")}
    return DatadogSource(spec, columns, base_url="https://api.example.test/")


def drive(
    exchange: Generator[Request, Response, T], answers: Sequence[tuple[int, Any]]
) -> tuple[T, list[Request]]:
    """Answer each request in turn with ``(status, body)``; bodies that are no bytes are sent as JSON."""
    asked: list[Request] = []
    left = iter(answers)
    try:
        request = next(exchange)
        while True:
            asked.append(request)
            status, body = next(left)
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            request = exchange.send(Response(status, {}, raw))
    except StopIteration as stop:
        assert next(left, None) is None, "an answer was not asked for"
        return stop.value, asked


def fetched(body: Any, *, status: int = 200, cursor: str | None = None) -> Page:
    return drive(source().page(HOURS, cursor, SCHEMA), [(status, body)])[0]


def counted(*bodies: Any, window: Window = HOURS, step: int = TICK_PER_HOUR) -> dict[int, int]:
    return drive(source().count(window, step), [(200, body) for body in bodies])[0]


def series(*points: tuple[int, Any], **meta: Any) -> dict[str, Any]:
    """An answer with buckets: ``(hour after the window's start, rows)``."""
    values = [{"time": format_instant(START + at * TICK_PER_HOUR), "value": rows} for at, rows in points]
    return {"meta": {"status": "done", **meta}, "data": {"buckets": [{"by": {}, "computes": {"c0": values}}]}}


def total(rows: Any) -> dict[str, Any]:
    return {"meta": {"status": "done"}, "data": {"buckets": [{"computes": {"c0": rows}}]}}


def test_a_search_asks_as_documented_one_millisecond_wider_on_both_sides() -> None:
    _, (first,) = drive(source(indexes=("main",)).page(HOURS, None, SCHEMA), [(200, {"data": []})])
    assert (first.method, first.url) == ("POST", "https://api.example.test/api/v2/logs/events/search")
    assert (first.purpose, first.bucket) == ("search", "datadog_search")
    assert first.headers["Content-Type"] == "application/json"
    start_ms = START // 10_000
    assert json.loads(first.body or b"") == {
        "filter": {
            "from": str(start_ms - 1),
            "to": str(start_ms + 3 * 3_600_000 + 1),
            "query": "service:web",
            "indexes": ["main"],
            "storage_tier": "indexes",
        },
        "sort": "timestamp",
        "page": {"limit": 1000},
    }


def test_a_span_that_ends_within_a_millisecond_asks_for_all_of_it() -> None:
    span = Window(START + 15_001, START + 25_001)
    _, (asked,) = drive(source().page(span, "c", SCHEMA), [(200, {"data": []})])
    body = json.loads(asked.body or b"")
    start_ms = START // 10_000
    assert (body["filter"]["from"], body["filter"]["to"]) == (str(start_ms), str(start_ms + 4))
    assert body["page"]["cursor"] == "c"


def test_a_count_asks_for_buckets_on_the_clock() -> None:
    both = series((0, 1), (1, 1), (2, 1))
    both["data"]["buckets"][0]["computes"]["c1"] = 3
    _, (asked,) = drive(source().count(HOURS, TICK_PER_HOUR), [(200, both)])
    assert asked.url.endswith("/api/v2/logs/analytics/aggregate")
    assert (asked.purpose, asked.bucket) == ("count", "datadog_aggregate")
    body = json.loads(asked.body or b"")
    assert body["compute"] == [
        {"aggregation": "count", "type": "timeseries", "interval": "1h"},
        {"aggregation": "count", "type": "total"},
    ]
    assert body["filter"]["from"] == str(START // 10_000 - 1)


@pytest.mark.parametrize(
    "end",
    [
        {"data": []},
        {"data": None, "meta": {"status": "done"}},
        {"data": [], "meta": {"status": "done"}},
        {"data": [], "meta": {"page": None}},
        {"data": [], "meta": {"page": {}}},
        {"data": [], "meta": {"page": {"after": None}}},
        {"data": [], "meta": {"page": {"after": ""}}},
        {"data": [], "meta": None},
        {"data": [], "errors": []},
        {"data": [], "links": {"next": "https://x"}, "unknown": 1},
    ],
)
def test_every_recorded_end_of_pagination_is_an_end(end: dict[str, Any]) -> None:
    page = fetched(end)
    assert (page.rows.num_rows, page.cursor) == (0, None)


def test_a_page_hands_on_its_rows_cursor_and_size() -> None:
    body = {"meta": {"page": {"after": "next"}, "status": "done"}, "data": [EVENT]}
    page = fetched(body)
    assert (page.rows.num_rows, page.cursor, page.body_bytes) == (1, "next", len(json.dumps(body)))


def test_an_empty_page_with_a_cursor_keeps_the_cursor() -> None:
    assert fetched({"data": [], "meta": {"page": {"after": "again"}}}).cursor == "again"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"{}",
        b"<html>",
        {"meta": {"status": "done"}},
        {"data": {}},
        {"data": "x"},
        {"data": [], "meta": {"status": "timeout"}},
        {"data": [], "meta": {"status": "partial"}},
        {"data": [], "meta": {"status": ""}},
        {"data": [EVENT], "meta": {"status": "done", "warnings": [{"code": "partial", "title": "t"}]}},
        {"data": [EVENT], "meta": {"warnings": [{}]}},
        {"data": [EVENT], "errors": ["a shard failed"]},
        {"data": [EVENT], "errors": {"title": "x"}},
        {"data": [EVENT], "meta": {"page": {"after": 5}}},
        b'{"data":[],"meta":{"status":"\xff"}}',
        b'{"data":[NaN]}',
        b'{"data":[]}{"data":[]}',
    ],
)
def test_an_answer_with_status_200_that_is_not_whole_is_no_page(body: Any) -> None:
    with pytest.raises(FailedAnswer):
        fetched(body)


def test_an_unknown_index_is_the_definitions_fault() -> None:
    warning = {"code": "unknown_index", "detail": "index nope is unknown"}
    with pytest.raises(QueryRejected, match="index nope"):
        fetched({"data": [], "meta": {"status": "done", "warnings": [warning]}})


@pytest.mark.parametrize("half", ["", r"\ud83d"])
def test_a_page_cut_at_any_byte_is_no_page(half: str) -> None:
    text = json.dumps({"data": [EVENT, EVENT], "meta": {"page": {"after": "x"}, "status": "done"}})
    whole = text.replace('"m"', f'"m{half}"').encode()
    assert read_search(whole)[1] == "x"
    for length in range(len(whole)):
        with pytest.raises(FailedAnswer):
            read_search(whole[:length])


def test_a_count_cut_at_any_byte_is_no_count() -> None:
    whole = json.dumps(series((0, 1), (1, 2), (2, 3))).encode()
    for length in range(len(whole)):
        with pytest.raises(FailedAnswer):
            counted(whole[:length])


def test_half_a_surrogate_costs_no_page() -> None:
    body = (
        b'{"data":['
        + json.dumps(EVENT).encode().replace(b'"m"', rb'"m\ud83d"')
        + b'],"meta":{"page":{"after":"n"}}}'
    )
    page = fetched(body)
    assert page.rows["message"].to_pylist() == ["m\ufffd"]
    assert (page.cursor, page.notes) == ("n", {"invalid_text": 1})


@pytest.mark.parametrize(
    ("status", "body", "cursor", "error"),
    [
        (400, {"errors": ["bad query"]}, None, QueryRejected),
        (400, {"errors": ["cursor has expired"]}, "c", CursorLost),
        (400, {"errors": [{"detail": "resource_exhausted"}]}, "c", FailedAnswer),
        (422, {"errors": ["x"]}, None, QueryRejected),
        (404, {"errors": ["Not found"]}, None, QueryRejected),
        (401, {"errors": ["Unauthorized"]}, None, CredentialsError),
        (403, {"errors": ["Forbidden"]}, None, CredentialsError),
        (403, {"errors": ["Flex is not enabled"]}, None, CredentialsError),
        (413, {"errors": ["too large"]}, None, TooMuch),
        (418, b"teapot", None, Unavailable),
        (400, {"errors": ["Too many pending queries"]}, None, FailedAnswer),
        (403, b"deadline_exceeded", None, FailedAnswer),
        (201, {"data": []}, None, FailedAnswer),
        (204, b"", None, FailedAnswer),
    ],
)
def test_each_refusal_says_what_can_be_done(
    status: int, body: Any, cursor: str | None, error: type[LogferryError]
) -> None:
    with pytest.raises(LogferryError) as caught:
        fetched(body, status=status, cursor=cursor)
    assert type(caught.value) is error


def test_the_texts_of_a_refusal_are_told_shortly() -> None:
    with pytest.raises(QueryRejected, match="one; two") as caught:
        fetched({"errors": ["one", {"title": "two"}, "x" * 5_000]}, status=400)
    assert len(str(caught.value)) < 500


def test_a_refusal_that_is_too_deep_to_read_is_still_a_refusal() -> None:
    with pytest.raises(QueryRejected):
        fetched(b"[" * 100_000, status=400)


@pytest.mark.parametrize("value", [5, 5.0, "5", "5.0"])
def test_a_count_may_come_as_number_or_text(value: Any) -> None:
    assert counted(series((0, value), (1, 1), (2, 1)), total(7))[START] == 5


@pytest.mark.parametrize(
    "value", [5.5, -1, None, True, "x", "NaN", "Infinity", "1e999999", [], {}, "", float("1e300")]
)
def test_a_count_that_is_no_number_of_rows_is_no_count(value: Any) -> None:
    with pytest.raises(FailedAnswer, match=r"number of rows|not readable"):
        counted(series((0, value), (1, 1), (2, 1)))
    with pytest.raises(FailedAnswer, match=r"number of rows|not readable"):
        counted(series((0, 1)), total(value))


def test_buckets_outside_the_window_are_dropped() -> None:
    found = counted(series((-1, 7), (0, 1), (1, 2), (2, 3), (3, 9)), total(22))
    assert found == {START: 1, START + TICK_PER_HOUR: 2, START + 2 * TICK_PER_HOUR: 3}


def test_an_empty_bin_is_believed_when_the_total_agrees() -> None:
    assert counted(series((-1, 1), (0, 2)), total(3)) == {START: 2}
    assert counted({"data": {"buckets": []}}, {"data": {"buckets": []}}) == {}


@pytest.mark.parametrize("everything", [2, 4])
def test_numbers_that_still_contradict_each_other_in_one_bucket_are_no_count(everything: int) -> None:
    with pytest.raises(
        FailedAnswer, match=r"contradict.*T00:00:00Z, 2026-11-20T01:00:00Z.*0 rows.*total is 1"
    ):
        counted(series((0, 3)), total(everything), series((1, 1), (2, 1)), total(2), series(), total(1))


def test_a_total_beside_the_series_confirms_empty_bins_in_the_same_request() -> None:
    both = series((0, 2))
    both["data"]["buckets"][0]["computes"]["c1"] = 2
    assert counted(both) == {START: 2}


def test_a_total_beside_the_series_that_contradicts_it_is_counted_in_halves() -> None:
    both = series((0, 2))
    both["data"]["buckets"][0]["computes"]["c1"] = 5
    assert counted(both, series((1, 2), (2, 1)), total(3), series((0, 2)), total(2)) == {
        START: 2,
        START + TICK_PER_HOUR: 2,
        START + 2 * TICK_PER_HOUR: 1,
    }


def test_an_api_that_takes_no_series_and_total_together_is_asked_for_them_apart_from_then_on() -> None:
    reader = source()
    refused = (400, {"errors": ["input_validation_error(Field 'compute' is invalid)"]})
    exchange = reader.count(HOURS, TICK_PER_HOUR)
    found, asked = drive(exchange, [refused, (200, series((0, 2))), (200, total(2))])
    assert found == {START: 2}
    kinds = [[one["type"] for one in json.loads(request.body or b"")["compute"]] for request in asked]
    assert kinds == [["timeseries", "total"], ["timeseries"], ["total"]]
    _, again = drive(
        reader.count(HOURS, TICK_PER_HOUR), [(200, series((0, 1), (1, 1), (2, 1))), (200, total(3))]
    )
    assert len(again) == 2


def test_a_series_filled_with_zeros_is_not_believed_without_its_total() -> None:
    zeros = series((0, 0), (1, 0), (2, 0))
    halves = [series((1, 1), (2, 0)), total(1), series((0, 0)), total(0)]
    assert counted(zeros, total(1), *halves)[START + TICK_PER_HOUR] == 1
    with pytest.raises(FailedAnswer, match="contradict"):
        counted(zeros, total(1), zeros, total(1), series((2, 0)), total(1))


def test_a_query_that_is_refused_by_itself_is_refused() -> None:
    refused = (400, {"errors": ["input_validation_error(Field 'query' is invalid)"]})
    with pytest.raises(QueryRejected, match="query"):
        drive(source().count(HOURS, TICK_PER_HOUR), [refused, refused, refused])


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_query_that_can_be_searched_but_not_counted_leaves_windows_unproven(status: int) -> None:
    refused = (status, {"errors": ["storage_tier online-archives is not supported for aggregation"]})
    with pytest.raises(CountUnavailable, match="online-archives"):
        drive(source().count(HOURS, TICK_PER_HOUR), [refused, refused, (200, {"data": [EVENT]})])
    with pytest.raises(CountUnavailable, match="online-archives"):
        drive(
            source().count(HOURS, TICK_PER_HOUR),
            [(200, series((0, 1))), refused, (200, {"data": [EVENT]})],
        )


def test_an_index_that_is_unknown_to_the_search_too_is_the_definitions_fault() -> None:
    refused = (400, {"errors": ["invalid index"]})
    unknown = {"data": [], "meta": {"warnings": [{"code": "unknown_index", "detail": "indexes: nope"}]}}
    with pytest.raises(QueryRejected, match="nope"):
        drive(source().count(HOURS, TICK_PER_HOUR), [refused, refused, (200, unknown)])


def test_a_series_cut_short_is_counted_again_in_halves() -> None:
    window = Window(START, START + 4 * TICK_PER_HOUR)
    answers = [
        series((0, 5)),  # breaks off: hours 1 to 3 are missing
        total(9),
        series((2, 1), (3, 1)),
        total(2),
        series((0, 5), (1, 2)),
        total(7),
    ]
    bodies = [(200, answer) for answer in answers]
    found, asked = drive(source().count(window, TICK_PER_HOUR), bodies)
    assert found == {START + hour * TICK_PER_HOUR: rows for hour, rows in enumerate([5, 2, 1, 1])}
    assert len(asked) == 6


@pytest.mark.parametrize(
    ("length", "interval"),
    [("7s", "1s"), ("90s", "30s"), ("36m", "12m"), ("20m", "20m"), ("3h", "1h"), ("1d", "1h")],
)
def test_bins_of_any_length_are_counted_by_buckets_that_lie_on_the_clock(length: str, interval: str) -> None:
    ticks = parse_duration(length)
    window = Window(START, START + ticks)
    points = ticks // parse_duration(interval)
    values = [
        {"time": format_instant(START + at * parse_duration(interval)), "value": 2} for at in range(points)
    ]
    whole = {"data": {"buckets": [{"computes": {"c0": values, "c1": 2 * points}}]}}
    found, (asked,) = drive(source().count(window, ticks), [(200, whole)])
    assert found == {START: 2 * points}
    assert json.loads(asked.body or b"")["compute"][0]["interval"] == interval


@pytest.mark.parametrize("bin_ticks", BINS)
def test_every_offered_bin_is_counted_in_one_request_up_to_the_most(bin_ticks: int) -> None:
    assert TICK_PER_HOUR % bin_ticks == 0
    window = Window(START, START + bin_ticks * DatadogSource.most_bins)
    values = [{"time": format_instant(at), "value": 1} for at in range(window.start, window.end, bin_ticks)]
    whole = {"data": {"buckets": [{"computes": {"c0": values, "c1": len(values)}}]}}
    found, asked = drive(source().count(window, bin_ticks), [(200, whole)])
    assert (len(found), len(asked)) == (150, 1)


def test_a_page_may_be_asked_smaller_and_goes_on_at_its_cursor() -> None:
    exchange = source().page(HOURS, "c", SCHEMA, limit=62)
    _, (asked,) = drive(exchange, [(200, {"data": [EVENT]})])
    assert json.loads(asked.body or b"")["page"] == {"limit": 62, "cursor": "c"}


def test_rows_are_never_divided_into_shares() -> None:
    assert DatadogSource.most_shares == 1
    with pytest.raises(ValueError, match="cannot be divided"):
        next(source().page(HOURS, None, SCHEMA, share=Share(0, 2)))


def test_a_bucket_counted_twice_is_no_count() -> None:
    with pytest.raises(FailedAnswer, match="twice"):
        counted(series((0, 1), (0, 1), (1, 1), (2, 1)))


def test_buckets_off_the_clock_cannot_prove_anything() -> None:
    off = series((0, 1))
    off["data"]["buckets"][0]["computes"]["c0"][0]["time"] = "2026-11-20T00:30:00Z"
    with pytest.raises(CountUnavailable, match="not aligned"):
        counted(off)


@pytest.mark.parametrize(
    "body",
    [
        {"data": None},
        {},
        {"data": {"buckets": None}},
        {"data": {"buckets": [{"computes": {"c0": 5}}]}},
        {"data": {"buckets": [{"computes": {}}]}},
        {"data": {"buckets": [{"computes": {"c0": [{"value": 1}]}}]}},
        {"data": {"buckets": [{"computes": {"c0": [{"time": "soon", "value": 1}]}}]}},
        {"data": {"buckets": [{"computes": {"c0": ["x"]}}]}},
        series((0, 1), (1, 1), (2, 1), status="timeout"),
        series((0, 1), (1, 1), (2, 1), warnings=[{"code": "x"}]),
        b"",
        b'{"data":{"buckets":[{"computes":{"c0":[{"time":"\xff"}]}}]}}',
    ],
)
def test_a_count_that_is_not_whole_is_no_count(body: Any) -> None:
    with pytest.raises(FailedAnswer):
        counted(body)


def test_a_key_that_may_search_but_not_count_leaves_windows_unproven() -> None:
    with pytest.raises(CountUnavailable):
        drive(source().count(HOURS, TICK_PER_HOUR), [(403, {"errors": ["Forbidden"]}), (200, {"data": []})])


def test_a_key_that_may_not_even_search_is_told_so_while_counting() -> None:
    forbidden = (403, {"errors": ["Forbidden"]})
    with pytest.raises(CredentialsError, match="logs_read_data"):
        drive(source().count(HOURS, TICK_PER_HOUR), [forbidden, forbidden])


def test_a_key_that_is_refused_while_counting_is_no_unproven_window() -> None:
    with pytest.raises(CredentialsError):
        drive(source().count(HOURS, TICK_PER_HOUR), [(401, {"errors": ["Unauthorized"]})])


def test_a_refused_query_that_names_a_passing_fault_is_still_refused() -> None:
    text = "input_validation_error(Field 'query' is invalid: @error.kind:deadline_exceeded)"
    with pytest.raises(QueryRejected):
        drive(source().page(HOURS, None, SCHEMA), [(400, {"errors": [text]})])


@given(st.integers(1, 350), st.data())
def test_long_windows_are_counted_in_parts_that_add_up(bins: int, data: st.DataObject) -> None:
    window = Window(START, START + bins * TICK_PER_MINUTE)
    truth = {START + at * TICK_PER_MINUTE: data.draw(st.integers(0, 3)) for at in range(-2, bins + 2)}
    requests = 0

    def answer(request: Request) -> dict[str, Any]:
        nonlocal requests
        requests += 1
        body = json.loads(request.body or b"")
        assert body["compute"][0].get("interval", "1m") == "1m"
        low, high = (int(body["filter"][name]) * 10_000 for name in ("from", "to"))
        # The outer buckets hold only what lies in their one millisecond: all or nothing here.
        found = {at: rows for at, rows in truth.items() if low <= at <= high and rows}
        if body["compute"][0]["type"] == "total":
            return total(sum(found.values()))
        points = [{"time": format_instant(at), "value": rows} for at, rows in found.items()]
        return {"data": {"buckets": [{"computes": {"c0": points}}]}}

    def whole() -> Generator[Request, None, dict[int, int]]:
        exchange = source().count(window, TICK_PER_MINUTE)
        request = next(exchange)
        while True:
            yield request
            try:
                request = exchange.send(Response(200, {}, json.dumps(answer(request)).encode()))
            except StopIteration as stop:
                return dict(stop.value)

    def counts() -> Generator[Request, None, None]:
        found = yield from whole()
        assert found == {at: rows for at, rows in truth.items() if at in window and rows}

    assert len(list(counts())) == requests <= 2 * -(-bins // 100)


def test_the_identity_names_what_decides_the_rows_and_no_secret() -> None:
    assert source().identity() == {
        "kind": "datadog",
        "endpoint": "https://api.example.test",
        "org": None,
        "query": "service:web",
        "indexes": ["*"],
        "storage_tier": "indexes",
    }


def test_the_schema_names_the_fixed_columns_then_the_promoted_ones() -> None:
    schema, asked = drive(source().schema(HOURS), [])
    assert asked == []
    assert [column.name for column in schema.columns] == [
        "id", "timestamp", "status", "service", "host", "message", "tags", "attributes", "extra", "code",
    ]  # fmt: skip
    last = schema.columns[-1]
    assert (last.arrow, last.source_name, last.source_type) == ("int64", "http.code", "int64")


def test_two_organisations_of_one_site_are_two_archives() -> None:
    spec = DatadogSourceSpec(kind="datadog", connection="dd", query="*")
    one, other = (DatadogSource(spec, {}, base_url="https://api.datadoghq.eu", org=org) for org in ("a", "b"))
    assert one.identity() != other.identity()


@pytest.mark.parametrize("time", [None, 5, [], {}])
def test_a_bucket_whose_time_is_no_text_is_a_failed_answer(time: Any) -> None:
    body = {"data": {"buckets": [{"by": {}, "computes": {"c0": [{"time": time, "value": 1}]}}]}}
    with pytest.raises(FailedAnswer, match="not readable"):
        drive(source().count(HOURS, TICK_PER_HOUR), [(200, body)])
