from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry_sandbox.datadog_query import QuerySyntaxError, parse_query

EVENT: dict[str, Any] = {
    "service": "web-store",
    "status": "error",
    "host": "i-7",
    "message": "GET /cart failed: Upstream timed-out (502), order 17",
    "tags": ["source:nginx", "env:prod", "team:a:b"],
    "attributes": {
        "http": {"status_code": 502, "method": "GET"},
        "dotted.key": "x y",
        "duration": 2700000.0,
        "as_text": "750",
        "ok": False,
        "codes": [1, 2, 3],
        "none": None,
    },
}


@pytest.mark.parametrize(
    "query",
    [
        "",
        "*",
        "service:web-store status:error",
        "service:web-store AND status:error",
        "service:other OR status:error",
        "service:other OR (status:error host:i-7)",
        "service:(other OR web*)",
        "-service:other",
        "NOT status:ok",
        "NOT (service:other OR status:ok)",
        "source:nginx env:prod",
        "env:PROD",
        "env:*",
        "team:a:b",
        "failed",
        "FAILED upstream",
        '"upstream timed-out"',
        "timed\\-out",
        "upstr*",
        "fail?d",
        "@http.status_code:502",
        "@http.status_code:>=500",
        "@http.status_code:[500 TO 599]",
        "@http.status_code:[* TO 502]",
        "@http.method:GET",
        "@http.method:G*",
        '@dotted.key:"x y"',
        "@dotted.key:x\\ y",
        "@duration:2700000",
        "@as_text:<800",
        "@ok:false",
        "@codes:2",
        "@http.method:*",
        "-@nothing:*",
        "-@none:*",
        "service:web-store -message_free_text_absent",
    ],
)
def test_queries_that_match(query: str) -> None:
    assert parse_query(query).matches(EVENT)


@pytest.mark.parametrize(
    "query",
    [
        "service:web",
        "service:web-store status:ok",
        "-failed",
        "fail",
        '"timed-out upstream"',
        "@http.method:get",
        "@http.status_code:>502",
        "@http.status_code:[1 TO 5]",
        "@nothing:*",
        "@dotted:*",
        "env:staging",
        "web-store",
        "service:other OR status:ok failed",
    ],
)
def test_queries_that_do_not_match(query: str) -> None:
    assert not parse_query(query).matches(EVENT)


@pytest.mark.parametrize(
    "query",
    [
        "(service:a",
        "service:a)",
        '"open',
        "service:",
        "a OR",
        "a AND",
        "AND",
        "OR b",
        "NOT",
        "-",
        "()",
        "@n:>x",
        "@n:[1 TO",
        "@n:[1 2]",
        "@n:[a TO b]",
        "x]",
        "tail\\",
        'service:"open',
        "service:(a OR)",
    ],
)
def test_a_malformed_query_is_a_syntax_error(query: str) -> None:
    with pytest.raises(QuerySyntaxError):
        parse_query(query)


def test_or_binds_weaker_than_and() -> None:
    query = parse_query("service:web-store OR status:ok host:other")
    assert query.matches(EVENT)
    assert not parse_query("(service:web-store OR status:ok) host:other").matches(EVENT)


def test_a_missing_message_matches_no_free_text() -> None:
    assert not parse_query("word").matches({"tags": []})
    assert parse_query("-word").matches({"tags": []})


def test_queries_on_tags_alone_are_told_apart() -> None:
    assert parse_query("service:a -env:(b OR c)").tags_only
    assert not parse_query("service:a word").tags_only
    assert not parse_query("@a:1").tags_only


@given(st.text(max_size=30))
def test_any_text_is_either_a_query_or_a_syntax_error(text: str) -> None:
    try:
        query = parse_query(text)
    except QuerySyntaxError:
        return
    assert query.matches(EVENT) in (True, False)


@given(st.text(st.characters(codec="utf-8", exclude_characters='"\\'), min_size=1, max_size=20))
def test_a_quoted_value_finds_exactly_its_attribute(value: str) -> None:
    found = parse_query(f'@key:"{value}"')
    assert found.matches({"attributes": {"key": value}})
    assert not found.matches({"attributes": {"key": value + "x"}})
