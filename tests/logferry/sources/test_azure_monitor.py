"""The query API by hand: what is asked, and what each answer means."""

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from logferry.adhoc import KqlSearch
from logferry.errors import CredentialsError, FailedAnswer, QueryRejected, SourceError, TooMuch, Unavailable
from logferry.sources.azure_adhoc import run_kql
from logferry.sources.azure_monitor import AzureMonitorSource
from logferry.sources.base import Page, Request, Response, Share, SourceColumn, SourceSchema
from logferry.spec import AzureMonitorSourceSpec
from logferry.window import (
    FIRST_INSTANT,
    LAST_INSTANT,
    TICK_PER_HOUR,
    TICK_PER_MINUTE,
    Window,
    format_instant,
    parse_instant,
)

Columns = Sequence[tuple[str, str]]

GUID = "6a1f0a4e-1d1f-4a51-9f9e-6d2f8a7f5c11"
WINDOW = Window(parse_instant("2026-11-20T00:00:00Z"), parse_instant("2026-11-20T03:00:00Z"))
T = "2026-11-20T01:39:09.5776558Z"
COLUMNS = [("TimeGenerated", "datetime"), ("Message", "string")]
PAGE_COLUMNS = [*COLUMNS, ("_lf_time", "datetime"), ("_lf_item", "string")]


def source(**changes: Any) -> AzureMonitorSource:
    given = {"connection": "azure", "workspace": GUID, "table": "AppRequests", **changes}
    return AzureMonitorSource(AzureMonitorSourceSpec(**given), query_endpoint="https://logs.example/")


def answer(
    columns: Columns, rows: Any, *, status: int = 200, error: Any = None, name: str = "PrimaryResult"
) -> Response:
    named = [{"name": column, "type": kind} for column, kind in columns]
    body = {"tables": [{"name": name, "columns": named, "rows": rows}]}
    if error is not None:
        body["error"] = error
    return Response(status, {}, json.dumps(body).encode())


def bins(*rows: Any, total: int | None = None, error: Any = None) -> Response:
    """A count's answer: ``[start, rows]`` each, with the total of all that each bin's row carries."""
    if total is None:
        total = sum(row[1] for row in rows if isinstance(row, list) and len(row) > 1 and type(row[1]) is int)
    columns = [("_lf_bin", "datetime"), ("_lf_rows", "long"), ("_lf_total", "long")]
    whole = [[*row, total] if isinstance(row, list) else row for row in rows]
    return answer(columns, whole, error=error)


SIZED = [("_lf_bin", "datetime"), ("_lf_rows", "long"), ("_lf_bytes", "long"), ("_lf_total", "long")]


def sum_of(rows: int) -> Response:
    return answer([("_lf_rows", "long")], [[rows]])


def schema_answer(
    columns: Columns = PAGE_COLUMNS, *, without: Sequence[int] = (), error: Any = None
) -> Response:
    """A getschema's answer, in no order; ``without`` are the ordinals that it lost."""
    kinds = [
        ("ColumnName", "string"),
        ("ColumnOrdinal", "int"),
        ("DataType", "string"),
        ("ColumnType", "string"),
    ]
    last = ("_lf_last", "bool")
    rows = [
        [name, n, "System.Thing", kind] for n, (name, kind) in enumerate([*columns, last]) if n not in without
    ]
    return answer(kinds, rows[::-1], error=error)


def refusal(code: str, message: str, *, status: int = 400, inner: Any = None) -> Response:
    error = {"message": message, "code": code, "correlationId": "c-1"}
    if inner:
        error["innererror"] = inner
    return Response(status, {}, json.dumps({"error": error}).encode())


def semantic(message: str) -> Response:
    deep = {"code": "SEM0100", "message": message}
    inner = {"code": "SemanticError", "message": "A semantic error occurred.", "innererror": deep}
    return refusal("BadArgumentError", "The request had some invalid properties", inner=inner)


def ask(exchange: Any, *responses: Response) -> tuple[Any, list[Request]]:
    """The result of an operation, and the requests it made."""
    asked = [next(exchange)]
    for response in responses:
        try:
            asked.append(exchange.send(response))
        except StopIteration as stop:
            return stop.value, asked
    raise AssertionError("the source wants more answers")


def schema_of(**changes: Any) -> SourceSchema:
    schema: SourceSchema = ask(source(**changes).schema(WINDOW), schema_answer())[0]
    return schema


def page(response: Response, **changes: Any) -> Page:
    got: Page = ask(source(**changes).page(WINDOW, None, schema_of()), response)[0]
    return got


def sent(request: Request) -> dict[str, Any]:
    return dict(json.loads(request.body or b""))


def query_of(request: Request) -> str:
    return str(sent(request)["query"])


class TestWhatIsAsked:
    def test_a_page_filters_exactly_and_first_then_carries_the_time_past_the_pipeline(self) -> None:
        span = Window(WINDOW.start, parse_instant("2026-11-20T00:00:00.0000001Z"))
        pipeline = "| where Success == false | project Message"
        reader = source(pipeline=pipeline).page(span, None, schema_of())
        _, (request,) = ask(reader, answer(PAGE_COLUMNS, []))
        first, after = "datetime(2026-11-20T00:00:00.0000000Z)", "datetime(2026-11-20T00:00:00.0000001Z)"
        assert query_of(request).split("\n") == [
            "AppRequests",
            f"| where TimeGenerated >= {first} and TimeGenerated < {after}",
            "| extend _lf_time = TimeGenerated, _lf_item = _ItemId",
            "| where Success == false",
            "| project Message, _lf_time, _lf_item",
            "| project TimeGenerated, Message, _lf_time, _lf_item",
        ]
        assert sent(request)["timespan"] == "2026-11-19T23:59:59Z/2026-11-20T00:00:01.0000001Z"

    @pytest.mark.parametrize(("time_column", "hinted"), [("TimeGenerated", True), ("When", False)])
    def test_a_timespan_is_sent_for_time_generated_alone(self, time_column: str, hinted: bool) -> None:
        # The service cuts TimeGenerated by it: beside a filter on another column it would take rows away.
        reader = source(time_column=time_column)
        search = KqlSearch("https://logs.example", GUID, "T", "", WINDOW, time_column=time_column)
        exchanges = [
            (reader.schema(WINDOW), schema_answer()),
            (reader.count(WINDOW, TICK_PER_HOUR), bins(["2026-11-20T02:00:00Z", 1])),
            (reader.page(WINDOW, None, schema_of()), answer(PAGE_COLUMNS, [])),
            (search.rows(5), answer(COLUMNS, [])),
            (search.count(), answer([("Count", "long")], [[0]])),
        ]
        for exchange, response in exchanges:
            _, (request,) = ask(exchange, response)
            assert ("timespan" in sent(request)) is hinted
            assert f"| where {time_column} >= datetime(2026-11-20T00:00:00.0000000Z)" in query_of(request)

    def test_a_timespan_stays_within_the_years_there_are(self) -> None:
        always = Window(FIRST_INSTANT, LAST_INSTANT)
        _, (request,) = ask(run_kql("https://logs.example", GUID, "T", always), answer(COLUMNS, []))
        assert sent(request)["timespan"] == f"{format_instant(FIRST_INSTANT)}/{format_instant(LAST_INSTANT)}"

    def test_only_a_search_reads_a_bad_gateway_as_too_much(self) -> None:
        _, (search,) = ask(source().page(WINDOW, None, schema_of()), answer(PAGE_COLUMNS, []))
        _, (count,) = ask(source().count(WINDOW, TICK_PER_HOUR), bins(["2026-11-20T02:00:00Z", 1]))
        _, (schema,) = ask(source().schema(WINDOW), schema_answer())
        assert [request.narrow_on for request in (search, count, schema)] == [{502, 504}, {504}, set()]

    def test_the_request_waits_long_and_refuses_cached_answers(self) -> None:
        _, (request,) = ask(source().page(WINDOW, None, schema_of()), answer(PAGE_COLUMNS, []))
        assert (request.method, request.url) == ("POST", f"https://logs.example/v1/workspaces/{GUID}/query")
        assert request.headers["Prefer"] == "wait=600"
        assert request.headers["Cache-Control"] == "no-cache"
        assert request.headers["Content-Type"] == "application/json"
        assert uuid.UUID(request.headers["x-ms-client-request-id"])
        assert request.timeout_s > 600
        assert (request.purpose, request.bucket, request.recycled) == ("search", "azure_query", True)

    def test_names_that_could_be_keywords_or_hold_odd_characters_are_bracketed(self) -> None:
        odd = source(table="events", time_column="time")
        _, (request,) = ask(odd.schema(WINDOW), schema_answer())
        assert query_of(request).startswith("['events']\n| where ['time'] >= datetime(")
        columns = [("project", "string"), ("a b", "string"), ("it's \\", "string"), *PAGE_COLUMNS[2:]]
        schema, _ = ask(source().schema(WINDOW), schema_answer(columns))
        _, (request,) = ask(source().page(WINDOW, None, schema), answer(columns, []))
        last = query_of(request).splitlines()[-1]
        assert last == r"| project ['project'], ['a b'], ['it\'s \\'], _lf_time, _lf_item"

    def test_a_count_goes_through_the_same_pipeline_without_needing_item_ids(self) -> None:
        counting = source(pipeline="where Success").count(WINDOW, TICK_PER_HOUR)
        rows = [["2026-11-20T02:00:00Z", 2**53 + 1], ["2026-11-20T00:00:00Z", 3]]
        counts, (request,) = ask(counting, bins(*rows))
        assert counts == {WINDOW.start: 3, WINDOW.start + 2 * TICK_PER_HOUR: 2**53 + 1}
        assert "| where Success\n" in query_of(request)
        assert "_ItemId" not in query_of(request)
        hour, anchor = "timespan(0.01:00:00.0000000)", "datetime(2026-11-20T00:00:00.0000000Z)"
        assert f"by _lf_bin = bin_at(_lf_time, {hour}, {anchor})\n" in query_of(request)
        assert (request.purpose, request.recycled) == ("count", False)

    def test_a_plan_counts_rows_and_reckons_their_bytes_in_one_query(self) -> None:
        schema = schema_of()
        counting = source(pipeline="where Success").sized_count(WINDOW, TICK_PER_HOUR, schema)
        rows = [["2026-11-20T02:00:00Z", 10, 5_000, 13], ["2026-11-20T00:00:00Z", 3, None, 13]]
        found, (request,) = ask(counting, answer(SIZED, rows))
        assert found.rows == {WINDOW.start: 3, WINDOW.start + 2 * TICK_PER_HOUR: 10}
        assert list(found.bytes) == [WINDOW.start + 2 * TICK_PER_HOUR]
        # Each datetime takes 23 bytes more as text than as a number.
        assert found.bytes[WINDOW.start + 2 * TICK_PER_HOUR] > 5_000 + 10 * 23
        assert "_lf_bytes = sum(estimate_data_size(*))" in query_of(request)
        assert request.purpose == "count"

    @pytest.mark.parametrize(
        "broken",
        [
            semantic("Unknown function: 'estimate_data_size'"),
            Response(504, {}, b'{"error": {"code": "GatewayTimeout", "message": "Gateway timeout"}}'),
            answer(SIZED, [["2026-11-20T02:00:00Z", 10, 5_000, 14]]),
            answer(SIZED, [["2026-11-20T02:00:00Z", 10, 14]]),
            answer(SIZED, [["2026-11-20T02:00:00Z", 10.5, 5_000, 10.5]]),
            answer(SIZED, [], error={"code": "PartialError"}),
        ],
    )
    def test_a_count_that_cannot_reckon_bytes_is_the_plain_count(self, broken: Response) -> None:
        counting = source().sized_count(WINDOW, TICK_PER_HOUR, schema_of())
        found, requests = ask(counting, broken, bins(["2026-11-20T02:00:00Z", 10]))
        assert (found.rows, found.bytes) == ({WINDOW.start + 2 * TICK_PER_HOUR: 10}, {})
        assert [request.after_s for request in requests] == [0.0, 0.0]

    @pytest.mark.parametrize(
        ("has_id", "key"), [(True, "_ItemId"), (False, "tostring(pack_all())")], ids=["item ids", "no ids"]
    )
    def test_a_share_is_taken_right_after_the_time_and_before_the_pipeline(
        self, has_id: bool, key: str
    ) -> None:
        schema = replace(schema_of(), has_id=has_id)
        reader = source(pipeline="mv-expand Body").page(WINDOW, None, schema, share=Share(3, 8))
        lines = query_of(next(reader)).splitlines()
        assert lines[1].startswith("| where TimeGenerated >=")
        assert lines[2] == f"| where hash({key}, 8) == 3"
        assert lines[3].startswith("| extend _lf_time")
        assert "mv-expand" in lines[4]

    def test_the_identity_names_what_decides_the_rows(self) -> None:
        assert source(pipeline="where Success").identity() == {
            "kind": "azure_monitor",
            "endpoint": "https://logs.example",
            "workspace": GUID,
            "table": "AppRequests",
            "time_column": "TimeGenerated",
            "pipeline": "where Success",
        }


class TestSchema:
    def test_columns_come_in_the_order_of_their_ordinals_with_ids_and_ticks_last(self) -> None:
        schema = schema_of()
        assert schema.columns == (
            SourceColumn("TimeGenerated", "timestamp[us, tz=UTC]", "TimeGenerated", "datetime"),
            SourceColumn("Message", "string", "Message", "string"),
            SourceColumn("_ItemId", "string", "_lf_item", "string"),
            SourceColumn("_ticks", "int64", "_lf_time", "datetime"),
        )
        assert schema.has_id

    def test_a_table_without_item_ids_is_asked_once_more_without_them(self) -> None:
        missing = semantic("'extend' operator: Failed to resolve scalar expression named '_ItemId'")
        plain = schema_answer([("TimeGenerated", "datetime"), ("_lf_time", "datetime")])
        schema, requests = ask(source().schema(WINDOW), missing, plain)
        assert not schema.has_id
        assert [column.name for column in schema.columns] == ["TimeGenerated", "_ticks"]
        assert "_lf_item" not in query_of(requests[1])

    def test_a_table_that_was_never_filled_is_told_from_a_wrong_query(self) -> None:
        missing = semantic(
            "'where' operator: Failed to resolve table or column expression named 'AppRequests'"
        )
        with pytest.raises(
            QueryRejected, match=r"AppRequests has never been filled .* or its name is misspelt"
        ):
            ask(source().schema(WINDOW), missing)

    def test_another_unknown_name_is_refused_at_once(self) -> None:
        missing = semantic("'where' operator: Failed to resolve scalar expression named 'Succes'")
        with pytest.raises(QueryRejected, match=r"does not know 'Succes'.*SEM0100"):
            ask(source(pipeline="where Succes").schema(WINDOW), missing)

    def test_a_time_column_that_is_no_datetime_is_refused(self) -> None:
        wrong = schema_answer([("When", "string"), ("_lf_time", "string"), ("_lf_item", "string")])
        with pytest.raises(QueryRejected, match="`time_column` When of AppRequests is no datetime"):
            ask(source(time_column="When").schema(WINDOW), wrong)

    @pytest.mark.parametrize("row", [[T, "x"], 5, {}])
    def test_a_schema_that_is_no_getschema_is_a_failed_answer(self, row: Any) -> None:
        with pytest.raises(FailedAnswer, match=r"getschema|no list of values"):
            ask(source().schema(WINDOW), answer(COLUMNS, [row]))

    @pytest.mark.parametrize("ordinal", range(len(PAGE_COLUMNS) + 1))
    def test_a_schema_that_lost_a_column_is_a_failed_answer(self, ordinal: int) -> None:
        with pytest.raises(FailedAnswer, match="getschema is not whole"):
            ask(source().schema(WINDOW), schema_answer(without=[ordinal]))

    def test_a_schema_without_any_column_is_a_failed_answer(self) -> None:
        with pytest.raises(FailedAnswer, match="getschema is not whole"):
            ask(source().schema(WINDOW), schema_answer([], without=[0]))

    def test_a_schema_that_came_in_part_is_asked_for_again_not_narrowed(self) -> None:
        with pytest.raises(FailedAnswer, match="did not give a whole getschema"):
            ask(source().schema(WINDOW), schema_answer(error=partial(TOO_LARGE[0])))


class TestPages:
    def test_rows_three_in_one_tick_come_whole(self) -> None:
        got = page(answer(PAGE_COLUMNS, [[T, "a", T, "1"], [T, "b", T, "2"], [T, "c", T, "3"]]))
        assert got.rows.column("Message").to_pylist() == ["a", "b", "c"]
        assert got.rows.column("_ticks").to_pylist() == [parse_instant(T)] * 3
        assert got.rows.column("__id").to_pylist() == ["1", "2", "3"]
        assert got.cursor is None

    def test_half_a_surrogate_pair_is_replaced_and_noted(self) -> None:
        whole = answer(PAGE_COLUMNS, [[T, "PLACE", T, "1"]])
        got = page(Response(200, {}, whole.body.replace(b"PLACE", rb"a\ud83d")))
        assert got.rows.column("Message").to_pylist() == ["a\ufffd"]
        assert got.notes == {"invalid_text": 1}

    def test_retry_after_zero_on_a_whole_answer_means_nothing(self) -> None:
        whole = answer(PAGE_COLUMNS, [[T, "a", T, "1"]])
        assert page(Response(200, {"retry-after": "0"}, whole.body)).rows.num_rows == 1

    @pytest.mark.parametrize(
        "response",
        [
            Response(200, {}, b""),
            Response(200, {}, b"  \n"),
            Response(204, {}, b""),
            Response(200, {}, b"<html>Bad Gateway</html>"),
            Response(200, {}, b"[]"),
            Response(200, {}, b'{"tables": []}'),
            Response(200, {}, b"{}"),
            Response(202, {}, b"{}"),
            answer(PAGE_COLUMNS, [], name="Table_0"),
            answer([*COLUMNS, ("_lf_time", "datetime")], []),
            answer([*PAGE_COLUMNS, ("New", "string")], []),
            answer([COLUMNS[0], ("Message", "long"), *PAGE_COLUMNS[2:]], []),
            answer(PAGE_COLUMNS, [[T, "a", "2026-11-21T00:00:00Z", "1"]]),
        ],
    )
    def test_an_answer_that_is_not_whole_is_never_a_smaller_result(self, response: Response) -> None:
        with pytest.raises(FailedAnswer):
            page(response)

    def test_an_answer_cut_anywhere_is_a_failed_answer(self) -> None:
        body = answer(PAGE_COLUMNS, [[T, "a", T, "1"], [T, "b", T, "2"]]).body
        for length in range(1, len(body)):
            with pytest.raises(FailedAnswer):
                page(Response(200, {}, body[:length]))

    def test_two_primary_results_are_refused(self) -> None:
        body = json.loads(answer(PAGE_COLUMNS, []).body)
        body["tables"] *= 2
        with pytest.raises(FailedAnswer, match="2 table"):
            page(Response(200, {}, json.dumps(body).encode()))

    @pytest.mark.parametrize(
        "change",
        [
            lambda body: body[:-3],
            lambda body: body.replace(b"PrimaryResult", b"Table_0"),
            lambda body: body.replace(b'{"tables": [', b"[[").replace(b"}]}", b"}]]"),
            lambda body: b"\xef\xbb\xbf" + body,
            lambda body: body[body.index(b'"private') :],
            lambda body: body[:-1] + b', "error": ["private"]}',
            lambda body: body[:-1] + b', "error": "private"}',
        ],
    )
    @pytest.mark.parametrize("status", [200, 203, 206])
    def test_a_failed_answer_does_not_quote_rows(self, change: Callable[[bytes], bytes], status: int) -> None:
        body = answer(PAGE_COLUMNS, [[T, "private", T, "1"]]).body
        with pytest.raises(FailedAnswer) as caught:
            page(Response(status, {}, change(body)))
        assert "private" not in str(caught.value)

    def test_a_failed_answer_tells_its_size_and_what_was_missing(self) -> None:
        body = answer(PAGE_COLUMNS, [[T, "private", T, "1"]], name="Other").body
        with pytest.raises(
            FailedAnswer, match=rf"{len(body)} bytes holds no table named PrimaryResult .1 tables"
        ):
            page(Response(200, {}, body))


def partial(message: str, *, code: Any = "-2133196797", severity: str = "Error") -> dict[str, Any]:
    inner = {"code": code, "message": message, "severity": 2, "severityName": severity}
    detail = {
        "code": "EngineError",
        "message": "Something went wrong processing your query on the server.",
        "innererror": inner,
    }
    return {
        "code": "PartialError",
        "message": "There were some errors when processing your query.",
        "details": [detail],
    }


TOO_LARGE = (
    "Query result set has exceeded the internal data size limit 64000000 (E_QUERY_RESULT_SET_TOO_LARGE)",
    "The results of this query exceed the set limit of 64000000 bytes, so not all records were returned",
    "The results of this query exceed the set limit of 500000 records, so not all records were returned",
    "Query result set has exceeded the internal record count limit 500000",
    "Maximum response size of 100000000 bytes exceeded",
)


class TestRefusals:
    @pytest.mark.parametrize("message", TOO_LARGE)
    @pytest.mark.parametrize("code", ["-2133196797", "0"])
    @pytest.mark.parametrize("rows", [[], [[T, "a", T, "1"]]])
    def test_every_wording_of_a_cut_result_asks_for_less(self, message: str, code: str, rows: Any) -> None:
        with pytest.raises(TooMuch):
            page(answer(PAGE_COLUMNS, rows, error=partial(message, code=code)))

    @pytest.mark.parametrize(
        ("message", "most_rows"), list(zip(TOO_LARGE, (None, None, 500_000, 500_000, None), strict=True))
    )
    def test_the_most_rows_of_an_answer_are_told_where_they_are_named(
        self, message: str, most_rows: int | None
    ) -> None:
        with pytest.raises(TooMuch) as caught:
            page(answer(PAGE_COLUMNS, [], error=partial(message)))
        assert caught.value.most_rows == most_rows

    @pytest.mark.parametrize(
        ("message", "most_rows"),
        [
            ("The results of this query exceed the set limit of 500,000 records, so not all", 500_000),
            ("The results of this query exceed the set limit of 30000 rows", 30_000),
            ("Query result set has exceeded the internal record count limit 500,000", 500_000),
            ("Query result set has exceeded the internal record count limit 500.000", None),
            ("Query result set has exceeded the internal record count limit 64 MB", None),
            ("The results of this query exceed the set limit of 64 MB, so not all", None),
            ("The results of this query exceed the set limit of 64,000,000 bytes, so not all", None),
            ("The results of this query exceed the set limit of 64000000\nbytes", None),
            ("The results of this query exceed the set limit of 1,00 records (0x80DA0003)", None),
            ("The results of this query exceed the set limit of 0 records, so not all", None),
        ],
    )
    def test_a_number_that_is_not_said_to_be_rows_is_not_taken_for_them(
        self, message: str, most_rows: int | None
    ) -> None:
        with pytest.raises(TooMuch) as caught:
            page(answer(PAGE_COLUMNS, [], error=partial(message, code="0")))
        assert caught.value.most_rows == most_rows

    def test_a_larger_answer_that_comes_whole_lifts_the_limit_that_was_named(self) -> None:
        reader = source()
        cut = answer(PAGE_COLUMNS, [], error=partial(TOO_LARGE[2].replace("500000", "100")))
        with pytest.raises(TooMuch):
            ask(reader.page(WINDOW, None, schema_of()), cut)
        rows = [[T, "a", T, "1"]] * 100
        ask(reader.page(WINDOW, None, schema_of()), answer(PAGE_COLUMNS, rows))
        assert reader.answer_rows == 100
        ask(reader.page(WINDOW, None, schema_of()), answer(PAGE_COLUMNS, [*rows, rows[0]]))
        assert (reader.answer_rows, reader.page_rows) == (500_000, 500_000)

    @pytest.mark.parametrize(("named", "kept"), [("1250", 1_250), ("7", 100), ("900000", 500_000)])
    def test_fewer_rows_to_an_answer_are_kept_to_once_the_service_named_them(
        self, named: str, kept: int
    ) -> None:
        reader = source()
        cut = answer(PAGE_COLUMNS, [], error=partial(TOO_LARGE[2].replace("500000", named)))
        with pytest.raises(TooMuch):
            ask(reader.page(WINDOW, None, schema_of()), cut)
        assert (reader.answer_rows, reader.page_rows, reader.most_bins) == (kept, kept, min(kept, 4_000))

    def test_the_number_alone_tells_a_cut_result_whether_text_or_integer(self) -> None:
        for code in ("-2133196797", -2133196797):
            with pytest.raises(TooMuch):
                page(answer(PAGE_COLUMNS, [], error=partial("reworded one day", code=code)))

    @pytest.mark.parametrize(
        "error",
        [
            partial("Overflow (E_OVERFLOW)", code="-2133196788"),
            partial("careful", code="1", severity="Warning"),
            {},
            "no",
        ],
    )
    def test_any_other_error_beside_the_rows_makes_them_worthless(self, error: Any) -> None:
        with pytest.raises(FailedAnswer, match="partial answer"):
            page(answer(PAGE_COLUMNS, [[T, "a", T, "1"]], error=error))

    def test_a_timeout_of_the_engine_asks_for_less_and_one_of_a_gateway_asks_again(self) -> None:
        inner = {"code": "GatewayTimeout", "message": "ADX query timed out"}
        with pytest.raises(TooMuch, match="ADX query timed out"):
            page(refusal("GatewayTimeout", "Gateway timeout", status=504, inner=inner))
        with pytest.raises(FailedAnswer, match="504"):
            page(Response(504, {}, b"<html>upstream</html>"))

    def test_a_bad_gateway_is_asked_again_and_then_asked_for_less(self) -> None:
        with pytest.raises(FailedAnswer, match="502"):
            page(Response(502, {}, b""))

    @pytest.mark.parametrize("status", [400, 500])
    def test_a_size_error_asks_for_less_with_whatever_status(self, status: int) -> None:
        with pytest.raises(TooMuch):
            page(refusal("Error", TOO_LARGE[4], status=status))

    def test_a_request_that_is_too_large_asks_for_less(self) -> None:
        with pytest.raises(TooMuch):
            page(Response(413, {}, b""))

    def test_a_syntax_error_shows_its_place(self) -> None:
        place = {"code": "SYN0002", "message": "could not be parsed", "line": 3, "pos": 17, "token": "=="}
        inner = {"code": "SyntaxError", "message": "A syntax error.", "innererror": place}
        with pytest.raises(
            QueryRejected, match=r"SYN0002 at line 3, position 17, token '=='.*correlation id c-1"
        ):
            page(refusal("BadArgumentError", "invalid", inner=inner))

    @pytest.mark.parametrize(
        ("status", "code", "inner", "remedy"),
        [
            (401, "AuthenticationFailed", None, "client id and secret"),
            (403, "InvalidAuthenticationToken", None, "client id and secret"),
            (403, "InvalidAuthenticationTokenAudience", None, "cloud_environment"),
            (403, "InsufficientAccessError", "UnauthorizedClient", "60 minutes"),
            (403, "InsufficientAccessError", "NspValidationFailedError", "Private Link"),
        ],
    )
    def test_a_refused_credential_says_what_to_do(
        self, status: int, code: str, inner: str | None, remedy: str
    ) -> None:
        nested = {"code": inner, "message": "denied"} if inner else None
        with pytest.raises(CredentialsError, match=remedy):
            page(refusal(code, "no", status=status, inner=nested))

    def test_an_unknown_workspace_says_that_a_guid_is_wanted(self) -> None:
        with pytest.raises(QueryRejected, match="a GUID, not the workspace's name"):
            page(refusal("PathNotFoundError", "The requested path does not exist", status=404))

    def test_throttling_carries_the_services_wait(self) -> None:
        body = refusal("ThrottledError", "Rate limit of 200 per 30 s is exceeded.", status=429).body
        with pytest.raises(Unavailable) as caught:
            page(Response(429, {"retry-after": "7"}, body))
        assert caught.value.wait_s == 7.0
        assert not isinstance(caught.value, FailedAnswer)

    def test_an_error_body_that_is_a_json_text_is_read_too(self) -> None:
        body = json.dumps(refusal("InternalServerFault", "Unexpected error occurred").body.decode())
        with pytest.raises(Unavailable, match="InternalServerFault"):
            page(Response(500, {}, body.encode()))

    def test_an_unknown_status_is_an_error(self) -> None:
        with pytest.raises(SourceError, match="418"):
            page(Response(418, {}, b"teapot"))


class TestCounts:
    @pytest.mark.parametrize(
        "rows",
        [
            [["2026-11-20T00:30:00Z", 1]],
            [["2026-11-20T03:00:00Z", 1]],
            [["2026-11-20T00:00:00Z", 1], ["2026-11-20T00:00:00Z", 1]],
            [[None, 1]],
            [["2026-11-20T00:00:00Z", 1.0]],
            [["2026-11-20T00:00:00Z", -1]],
            [["2026-11-20T00:00:00Z", True]],
            [["2026-11-20T00:00:00Z"]],
            [["0001-01-01T00:00:00+01:00", 1]],
            [5],
        ],
    )
    def test_bins_that_are_not_the_windows_are_refused(self, rows: Any) -> None:
        with pytest.raises(FailedAnswer):
            ask(source().count(WINDOW, TICK_PER_HOUR), bins(*rows))

    def test_a_partial_count_is_no_count(self) -> None:
        overflow = partial("Overflow", code="-2133196788")
        broken = bins(["2026-11-20T00:00:00Z", 5], error=overflow)
        with pytest.raises(FailedAnswer):
            ask(source().count(WINDOW, TICK_PER_HOUR), broken)

    TIMEOUT = Response(
        504,
        {},
        json.dumps(
            {
                "error": {
                    "code": "GatewayTimeout",
                    "message": "Gateway timeout",
                    "innererror": {"code": "GatewayTimeout", "message": "ADX query timed out"},
                }
            }
        ).encode(),
    )

    def counted(self, hour: int, rows: int) -> Response:
        return bins([f"2026-11-20T{hour:02}:00:00Z", rows])

    def test_a_count_that_runs_out_of_time_once_is_asked_again_whole(self) -> None:
        counts, requests = ask(
            source().count(WINDOW, TICK_PER_HOUR), self.TIMEOUT, self.TIMEOUT, self.counted(1, 5)
        )
        assert counts == {WINDOW.start + TICK_PER_HOUR: 5}
        assert len({query_of(request) for request in requests}) == 1
        assert [request.after_s for request in requests] == [0.0, 5.0, 20.0]
        assert len({request.headers["x-ms-client-request-id"] for request in requests}) == 3

    def test_a_count_that_stays_out_of_time_is_taken_by_halves_on_the_grid_of_bins(self) -> None:
        timeout = [self.TIMEOUT] * 3
        answers = [*timeout, self.counted(0, 3), *timeout, self.counted(1, 4), self.counted(2, 5)]
        counts, requests = ask(source().count(WINDOW, TICK_PER_HOUR), *answers)
        assert counts == {WINDOW.start + hour * TICK_PER_HOUR: hour + 3 for hour in range(3)}
        starts = [query_of(request).partition("datetime(")[2][:16] for request in requests]
        assert starts == [
            *["2026-11-20T00:00"] * 4,
            *["2026-11-20T01:00"] * 4,
            "2026-11-20T02:00",
        ]

    def test_halves_lie_on_the_bins_of_the_window_whatever_their_length(self) -> None:
        seven = 7 * TICK_PER_MINUTE
        window = Window(WINDOW.start, WINDOW.start + 3 * seven)
        cut = bins(error=partial(TOO_LARGE[0]))
        halves = [bins([f"2026-11-20T00:{minute:02}:00Z", 1]) for minute in (0, 7)]
        _, requests = ask(source().count(window, seven), cut, *halves)
        assert "< datetime(2026-11-20T00:07:00.0000000Z)" in query_of(requests[1])
        assert ">= datetime(2026-11-20T00:07:00.0000000Z)" in query_of(requests[2])

    def test_a_single_bin_that_stays_out_of_time_is_an_error_that_names_it(self) -> None:
        one = Window(WINDOW.start, WINDOW.start + TICK_PER_HOUR)
        with pytest.raises(TooMuch, match=r"01:00:00Z\) are too much to be counted; choose a shorter slice"):
            ask(source().count(one, TICK_PER_HOUR), *[self.TIMEOUT] * 3)

    def test_a_gateway_that_stays_broken_is_no_reason_to_count_less(self) -> None:
        page = Response(504, {}, b"<html>upstream</html>")
        with pytest.raises(FailedAnswer, match="gateway answered 504"):
            ask(source().count(WINDOW, TICK_PER_HOUR), page, page, page)

    def test_no_bins_are_no_rows_when_the_total_says_so(self) -> None:
        counts, requests = ask(source().count(WINDOW, TICK_PER_HOUR), bins(), sum_of(0))
        assert counts == {}
        assert query_of(requests[1]).endswith("| summarize _lf_rows = count()")

    def test_an_answer_that_lost_bins_is_counted_again_in_halves(self) -> None:
        lost = bins(["2026-11-20T01:00:00Z", 2], total=9)
        rest = bins(["2026-11-20T01:00:00Z", 2], ["2026-11-20T02:00:00Z", 4])
        counts, _ = ask(source().count(WINDOW, TICK_PER_HOUR), lost, bins(["2026-11-20T00:00:00Z", 3]), rest)
        assert counts == {WINDOW.start + hour * TICK_PER_HOUR: rows for hour, rows in enumerate([3, 2, 4])}

    def test_an_answer_that_lost_all_its_bins_proves_no_hour_empty(self) -> None:
        one = Window(WINDOW.start, WINDOW.start + TICK_PER_HOUR)
        with pytest.raises(FailedAnswer, match=r"contradict each other.*bins hold 0 rows, the total is 7"):
            ask(source().count(one, TICK_PER_HOUR), bins(), sum_of(7))

    @pytest.mark.parametrize("rows", [[], [[1], [1]], [[-1]], [[1.0]], [[None]], [[True]], [[]], [5]])
    def test_a_total_that_is_no_whole_number_confirms_nothing(self, rows: Any) -> None:
        broken = answer([("_lf_rows", "long")], rows)
        with pytest.raises(FailedAnswer):
            ask(source().count(WINDOW, TICK_PER_HOUR), bins(), broken)


class TestAdHoc:
    def test_columns_and_rows_come_as_received(self) -> None:
        columns = [("Time", "datetime"), ("N", "long"), ("D", "dynamic")]
        rows = [[T, 2**63 - 1, '{"a":1}'], [None, None, {"a": 1}]]
        got, (request,) = ask(
            run_kql("https://logs.example", GUID, "T | take 2", None), answer(columns, rows)
        )
        assert got.columns == tuple(columns)
        assert got.rows == rows
        assert sent(request) == {"query": "T | take 2"}

    def test_a_cut_answer_is_an_error_here_too(self) -> None:
        cut = answer([("N", "long")], [[1]], error=partial(TOO_LARGE[0]))
        with pytest.raises(TooMuch):
            ask(run_kql("https://logs.example", GUID, "T", WINDOW), cut)
