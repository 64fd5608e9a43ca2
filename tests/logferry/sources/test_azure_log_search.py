"""The legacy search by hand: polling, truncation, and counts that are right whatever the bounds mean."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logferry.errors import (
    CountUnavailable,
    CredentialsError,
    FailedAnswer,
    QueryRejected,
    SourceError,
    TooMuch,
    Unavailable,
)
from logferry.sources.azure_adhoc import run_log_search
from logferry.sources.azure_log_search import AzureLogSearchSource
from logferry.sources.azure_search_job import LegacyWorkspace, instant_ms
from logferry.sources.base import Page, Request, Response, Share, SourceSchema
from logferry.spec import AzureLogSearchSourceSpec
from logferry.window import (
    FIRST_INSTANT,
    LAST_INSTANT,
    TICK_PER_MINUTE,
    TICK_PER_MS,
    TICK_PER_SECOND,
    Window,
    format_instant,
    parse_instant,
)

SUBSCRIPTION = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
WINDOW = Window(parse_instant("2016-02-11T00:00:00Z"), parse_instant("2016-02-11T00:02:00Z"))
BASE = (
    f"https://arm.example/subscriptions/{SUBSCRIPTION}/resourcegroups/my-rg/providers/"
    "Microsoft.OperationalInsights/workspaces/my-ws/search"
)
VERSION = "?api-version=2015-11-01-preview"


def source(**changes: Any) -> AzureLogSearchSource:
    spec = {
        "connection": "azure", "subscription": SUBSCRIPTION, "resource_group": "my-rg", "workspace": "my-ws",
        "query": "Type=Event", **changes,
    }  # fmt: skip
    return AzureLogSearchSource(AzureLogSearchSourceSpec(**spec), arm_endpoint="https://arm.example/")


def row(tick: int, number: int = 0) -> dict[str, Any]:
    return {"id": f"r|{number}", "Type": "Event", "TimeGenerated": format_instant(tick)}


def found(rows: Any, total: Any = None, *, status: str | None = "Successful", **members: Any) -> Response:
    metadata = {
        "resultType": "raw",
        "total": len(rows) if total is None else total,
        "top": 5000,
        "Status": status,
    }
    body = {"id": "subscriptions/x/search/ab|cd", "__metadata": metadata, "value": rows, **members}
    return Response(200, {}, json.dumps(body).encode())


PENDING = found([], 0, status="Pending")


def ask(exchange: Any, *responses: Response) -> tuple[Any, list[Request]]:
    """The result of an operation, and the requests it made."""
    asked = [next(exchange)]
    for response in responses:
        try:
            asked.append(exchange.send(response))
        except StopIteration as stop:
            return stop.value, asked
    raise AssertionError("the source wants more answers")


def page(*responses: Response, **changes: Any) -> tuple[Page, list[Request]]:
    legacy = source(**changes)
    schema = ask_nothing(legacy.schema(WINDOW))
    return ask(legacy.page(WINDOW, None, schema), *responses)


def sent(request: Request) -> dict[str, Any]:
    return dict(json.loads(request.body or b""))


def ask_nothing(exchange: Any) -> SourceSchema:
    with pytest.raises(StopIteration) as stop:
        next(exchange)
    schema: SourceSchema = stop.value.value
    return schema


class TestSearching:
    def test_a_search_asks_a_millisecond_wider_on_both_sides(self) -> None:
        got, (request,) = page(found([row(WINDOW.start)]))
        assert got.rows.column("__tick").to_pylist() == [WINDOW.start]
        assert (request.method, request.url) == ("POST", BASE + VERSION)
        assert sent(request) == {
            "top": 5000,
            "query": "Type=Event",
            "start": "2016-02-10T23:59:59.999Z",
            "end": "2016-02-11T00:02:00.001Z",
        }

    def test_names_are_quoted_in_the_address(self) -> None:
        _, (request,) = page(found([]), resource_group="my.rg(1)")
        assert "/resourcegroups/my.rg%281%29/" in request.url

    def test_a_pending_search_is_polled_at_one_fixed_address_ever_more_slowly(self) -> None:
        got, requests = page(*[PENDING] * 8, found([row(WINDOW.start)]))
        assert got.rows.num_rows == 1
        assert {(r.method, r.url) for r in requests[1:]} == {("GET", f"{BASE}/ab%7Ccd{VERSION}")}
        assert [r.after_s for r in requests] == [0, 0.25, 0.5, 1, 2, 4, 8, 15, 15]

    def test_a_search_that_stays_pending_is_given_up_after_ten_minutes_of_waiting(self) -> None:
        exchange = source().page(WINDOW, None, ask_nothing(source().schema(WINDOW)))
        pauses = [next(exchange).after_s]

        def poll_on() -> None:
            while True:
                pauses.append(exchange.send(PENDING).after_s)

        with pytest.raises(Unavailable, match="still Pending"):
            poll_on()
        assert 600 <= sum(pauses) < 616

    def test_a_result_dropped_before_it_was_fetched_is_searched_again(self) -> None:
        dropped = Response(410, {}, b"")
        got, requests = page(PENDING, dropped, PENDING, PENDING, found([row(WINDOW.start)]))
        assert got.rows.num_rows == 1
        assert [r.method for r in requests] == ["POST", "GET", "POST", "GET", "GET"]
        with pytest.raises(Unavailable, match="dropped 4 times"):
            page(*[PENDING, dropped] * 5)

    def test_a_retired_api_says_what_to_use(self) -> None:
        with pytest.raises(
            SourceError, match=r"retired.*`kind: azure_monitor`.*`Type=Event` becomes `table: Event`"
        ):
            page(Response(410, {}, b""))

    def test_more_rows_than_came_is_too_much(self) -> None:
        with pytest.raises(TooMuch, match="7 rows"):
            page(found([row(WINDOW.start)], 7))

    @pytest.mark.parametrize(
        "response",
        [
            Response(200, {}, b""),
            Response(204, {}, b""),
            Response(200, {}, b"<html></html>"),
            Response(200, {}, found([row(WINDOW.start)]).body[:-9]),
            Response(200, {}, b'{"id": "x", "value": []}'),
            found([], status="Failed"),
            found([], status=None),
            found([], "7"),
            found([], True),
            found([row(WINDOW.start)], 0),
            found([], error={"type": "InternalError", "message": "no"}),
            found([{"id": "x"}]),
            Response(200, {}, b'{"__metadata": {"Status": "Pending"}}'),
            Response(200, {}, b'{"__metadata": {"Status": "Successful", "total": 0}}'),
            Response(200, {}, b'{"__metadata": {"Status": "Successful"}, "value": []}'),
        ],
    )
    def test_an_answer_that_is_not_whole_is_never_a_smaller_result(self, response: Response) -> None:
        with pytest.raises(FailedAnswer):
            page(response)

    @pytest.mark.parametrize(
        "response",
        [
            found([row(WINDOW.start)], total="private"),
            found([row(WINDOW.start)], error=["private"]),
            Response(206, {}, b'["private'),
            Response(206, {}, b'{"message": "private"}'),
        ],
    )
    def test_an_answer_that_is_not_whole_is_not_quoted(self, response: Response) -> None:
        with pytest.raises(FailedAnswer) as caught:
            page(response)
        assert "private" not in str(caught.value)

    def test_half_a_surrogate_pair_does_not_change_the_row(self) -> None:
        raw = rb'{"id": "\ud800", "TimeGenerated": "2016-02-11T00:00:01Z", "m": "x"}'
        body = found([row(WINDOW.start), "PLACE"]).body.replace(b'"PLACE"', raw)
        got, _ = page(Response(200, {}, body))
        assert got.rows.column("row").to_pylist()[1] == raw.decode()
        assert got.notes == {"invalid_text": 1}

    @pytest.mark.parametrize(
        ("response", "error", "text"),
        [
            (
                Response(401, {}, b'{"error":{"code":"ExpiredAuthenticationToken"}}'),
                CredentialsError,
                "Reader",
            ),
            (Response(403, {}, b'{"error":{"code":"AuthorizationFailed"}}'), CredentialsError, "60 minutes"),
            (Response(404, {}, b'{"error":{"code":"ResourceNotFound"}}'), QueryRejected, "workspace's name"),
            (Response(400, {}, b'{"error":{"code":"BadRequest","message":"odd"}}'), QueryRejected, "odd"),
            (found([], error={"type": "SyntaxError", "message": "odd"}), QueryRejected, "odd"),
            (Response(429, {"retry-after": "9"}, b""), Unavailable, "429"),
            (Response(413, {}, b""), TooMuch, "too large"),
        ],
    )
    def test_a_refusal_says_what_to_do(self, response: Response, error: Any, text: str) -> None:
        with pytest.raises(error, match=text):
            page(response)

    def test_an_aggregating_query_is_refused(self) -> None:
        aggregated = found([]).body.replace(b'"raw"', b'"aggregated"')
        with pytest.raises(QueryRejected, match="measure"):
            page(Response(200, {}, aggregated))

    def test_an_ad_hoc_search_asks_its_bounds_as_they_are_and_tells_total_and_top(self) -> None:
        workspace = LegacyWorkspace("https://arm.example", SUBSCRIPTION, "my-rg", "my-ws")
        exchange = run_log_search(workspace, query="Type=Event", top=100, window=WINDOW)
        got, (request,) = ask(exchange, found([row(WINDOW.start)], 1455))
        assert (got.total, got.top, len(got.rows)) == (1455, 5000, 1)
        asked = sent(request)
        assert (asked["start"], asked["end"]) == ("2016-02-11T00:00:00.000Z", "2016-02-11T00:02:00.000Z")


class Server:
    """A search whose bounds are inclusive or not, and times are compared whole or cut to milliseconds.

    Of a range over a second it gives at most ``wide`` rows, of a shorter one ``most``.
    """

    def __init__(
        self,
        ticks: list[int],
        *,
        start_inclusive: bool = True,
        end_inclusive: bool = True,
        cut: int = 1,
        most: int = 5000,
        wide: int = 5000,
    ) -> None:
        self.ticks, self.cut, self.most, self.wide = sorted(ticks), cut, most, wide
        self.start_inclusive, self.end_inclusive = start_inclusive, end_inclusive
        self.requests = 0

    def answer(self, request: Request) -> Response:
        self.requests += 1
        asked = sent(request)
        start, end = parse_instant(asked["start"]), parse_instant(asked["end"])
        matching = [tick for tick in self.ticks if self._matches(tick // self.cut * self.cut, start, end)]
        most = self.wide if end - start > TICK_PER_SECOND else self.most
        rows = [row(tick, n) for n, tick in enumerate(matching[: min(asked["top"], most)])]
        return found(rows, len(matching))

    def _matches(self, tick: int, start: int, end: int) -> bool:
        return (
            (start < tick < end)
            or (self.start_inclusive and tick == start)
            or (self.end_inclusive and tick == end)
        )

    def run(self, exchange: Any) -> Any:
        try:
            request = next(exchange)
            while True:
                request = exchange.send(self.answer(request))
        except StopIteration as stop:
            return stop.value


def true_counts(ticks: list[int]) -> dict[int, int]:
    return {
        start: number
        for start in range(WINDOW.start, WINDOW.end, TICK_PER_MINUTE)
        if (number := sum(start <= tick < start + TICK_PER_MINUTE for tick in ticks))
    }


near_an_edge = st.builds(
    lambda edge, offset: WINDOW.start + edge * TICK_PER_MINUTE + offset,
    st.integers(0, 2),
    st.one_of(
        st.integers(-4, 4).map(lambda n: n * TICK_PER_MS), st.integers(-6 * TICK_PER_MS, 6 * TICK_PER_MS)
    ),
)
anywhere = st.integers(WINDOW.start - TICK_PER_MINUTE, WINDOW.end + TICK_PER_MINUTE)


class TestCounting:
    @settings(max_examples=100)
    @given(
        ticks=st.lists(st.one_of(near_an_edge, anywhere), max_size=40),
        start_inclusive=st.booleans(),
        end_inclusive=st.booleans(),
        cut=st.sampled_from([1, TICK_PER_MS]),
        wide=st.sampled_from([5000, 1]),
    )
    def test_a_count_is_right_whatever_the_bounds_mean(
        self, ticks: list[int], start_inclusive: bool, end_inclusive: bool, cut: int, wide: int
    ) -> None:
        server = Server(
            ticks, start_inclusive=start_inclusive, end_inclusive=end_inclusive, cut=cut, wide=wide
        )
        assert server.run(source().count(WINDOW, TICK_PER_MINUTE)) == true_counts(ticks)

    def test_a_window_that_one_answer_holds_is_counted_by_one_request(self) -> None:
        rows = [WINDOW.start + n * TICK_PER_SECOND for n in range(-5, 200)]
        server = Server(rows)
        assert server.run(source().count(WINDOW, TICK_PER_MINUTE)) == true_counts(rows)
        assert server.requests == 1

    def test_a_larger_window_costs_two_requests_per_bin_and_two_more(self) -> None:
        rows = [WINDOW.start + n * TICK_PER_SECOND for n in range(-5, 200)]
        server = Server(rows, wide=100)
        assert server.run(source().count(WINDOW, TICK_PER_MINUTE)) == true_counts(rows)
        assert server.requests == 1 + 3 + 2

    def test_an_edge_with_rows_in_every_millisecond_cannot_be_counted_by_totals(self) -> None:
        crowd = [WINDOW.start + n * TICK_PER_MS for n in range(-60, 61)]
        with pytest.raises(CountUnavailable, match="too many rows lie around 2016-02-11T00:00:00Z"):
            Server(crowd, wide=20).run(source().count(WINDOW, TICK_PER_MINUTE))

    def test_an_edge_with_more_rows_than_one_answer_cannot_be_counted(self) -> None:
        with pytest.raises(CountUnavailable, match="too many rows"):
            Server([WINDOW.start] * 30, wide=20, most=20).run(source().count(WINDOW, TICK_PER_MINUTE))

    def test_bins_whose_edges_share_a_quiet_instant_cannot_be_counted(self) -> None:
        second = Window(WINDOW.start, WINDOW.start + TICK_PER_SECOND)
        crowd = [WINDOW.start + n * TICK_PER_MS for n in range(40) if n != 20]
        with pytest.raises(CountUnavailable, match="too short"):
            Server(crowd, wide=20).run(source().count(second, TICK_PER_MS))

    @given(st.lists(anywhere, max_size=30), st.booleans(), st.booleans())
    def test_a_page_holds_every_row_of_its_span_whatever_the_bounds_mean(
        self, ticks: list[int], start_inclusive: bool, end_inclusive: bool
    ) -> None:
        server = Server(ticks, start_inclusive=start_inclusive, end_inclusive=end_inclusive)
        got = server.run(source().page(WINDOW, None, ask_nothing(source().schema(WINDOW))))
        inside = [tick for tick in got.rows.column("__tick").to_pylist() if tick in WINDOW]
        assert inside == sorted(tick for tick in ticks if tick in WINDOW)


def test_bounds_are_written_with_three_decimals() -> None:
    _, (request,) = page(found([]))
    moment = datetime.strptime(sent(request)["end"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert moment == datetime(2016, 2, 11, 0, 2, tzinfo=UTC) + timedelta(milliseconds=1)


def test_bounds_stay_within_the_years_there_are() -> None:
    assert instant_ms(FIRST_INSTANT - TICK_PER_MS) == "0001-01-01T00:00:00.000Z"
    assert instant_ms(LAST_INSTANT + TICK_PER_MS) == "9999-12-31T23:59:59.999Z"


def test_rows_of_the_legacy_search_cannot_be_divided_and_counts_are_dear() -> None:
    reader = source()
    assert (reader.most_shares, reader.most_bins) == (1, 0)
    with pytest.raises(ValueError, match="cannot be divided"):
        next(reader.page(WINDOW, None, SourceSchema((), has_id=True), share=Share(0, 2)))
