"""The pipeline's allow-list, its tokens, and the columns it must carry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.errors import DefinitionError
from logferry.kql_functions import FORBIDDEN, FUNCTIONS, LITERALS
from logferry.kql_pipeline import OPERATORS, parse_pipeline
from logferry.kql_tokens import place, tokenise, without_comments

RESERVED = ("_lf_time", "_lf_item")


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("", ""),
        ("where Success == false", "| where Success == false"),
        (
            "| where Success == false | project-away Properties",
            "| where Success == false\n| project-away Properties",
        ),
        ("project Id, B = strcat(A, 'x')", "| project Id, B = strcat(A, 'x'), _lf_time, _lf_item"),
        ("project-keep Id, Op*", "| project-keep Id, Op*, _lf_time, _lf_item"),
        ("project-keep *", "| project-keep *"),
        ("project-keep *_time", "| project-keep *_time, _lf_item"),
        ("project-away _Res*, ['odd name']", "| project-away _Res*, ['odd name']"),
        ("project-rename B = A", "| project-rename B = A"),
        ("project-reorder Name, *", "| project-reorder Name, *"),
        ('parse Message with * "id=" Id:long *', '| parse Message with * "id=" Id:long *'),
        ("parse-where kind=regex Message with 'a' b", "| parse-where kind=regex Message with 'a' b"),
        ("extend z = a * 2, y = (b * c)", "| extend z = a * 2, y = (b * c)"),
    ],
)
def test_a_pipeline_is_rendered_with_the_reserved_columns(text: str, rendered: str) -> None:
    assert parse_pipeline(text).render(RESERVED) == rendered


def test_without_reserved_columns_nothing_is_added() -> None:
    assert parse_pipeline("project A").render(()) == "| project A"
    assert parse_pipeline("project A").render(("_lf_time",)) == "| project A, _lf_time"


@pytest.mark.parametrize(
    "text",
    ["where a == 'x | take 5'", 'where a == "x | now()"', r"where a == 'it\'s | now()'", "where a == @'c:\\' and b",
     "where a == @'it''s | rand()'", "where a == h'secret | take'", "where a == ```x | y ' \"```",
     "where a == 1 // | take 5; now()", "where a == ~~~ | now() ~~~"],
)  # fmt: skip
def test_pipes_and_functions_inside_strings_and_comments_are_text(text: str) -> None:
    assert len(parse_pipeline(text).operators) == 1


def test_a_comment_cannot_swallow_the_reserved_columns() -> None:
    assert (
        parse_pipeline("project A // , B\n, C // end").render(RESERVED)
        == "| project A , C, _lf_time, _lf_item"
    )


@pytest.mark.parametrize("operator", OPERATORS)
def test_only_mv_expand_multiplies_rows(operator: str) -> None:
    assert parse_pipeline(f"{operator} A").multiplies_rows is (operator == "mv-expand")


@pytest.mark.parametrize(
    "operator",
    ["take 5", "limit 5", "summarize count()", "top 5 by A", "sort by A", "distinct A", "join (T) on A", "union T",
     "count", "mv-apply x = A on (take 1)", "evaluate bag_unpack(A)", "serialize", "sample 5", "getschema",
     "invoke f()", "make-series count() on A", "render table", "as X", "search 'x'", "project-smart A", "scan"],
)  # fmt: skip
def test_an_operator_outside_the_list_is_refused_with_the_list(operator: str) -> None:
    with pytest.raises(DefinitionError, match=r"use only where, extend, project, .*mv-expand"):
        parse_pipeline(f"where A == 1 | {operator}")


@pytest.mark.parametrize(
    ("wrong", "right"), [("Where", "where"), ("filter", "where"), ("project_away", "project-away")]
)
def test_a_near_miss_is_told_the_right_operator(wrong: str, right: str) -> None:
    with pytest.raises(DefinitionError, match=rf"did you mean {right}\?"):
        parse_pipeline(f"{wrong} A == 1")


@pytest.mark.parametrize(
    "function",
    [*FORBIDDEN, "row_number", "row_cumsum", "row_rank_dense", "cursor_after", "current_principal", "extent_id",
     "_GetWatchlist", "MySavedFunction", "myfunc", "count", "summarize", "extentid", "rowstore_ordinal_range"],
)  # fmt: skip
@pytest.mark.parametrize("gap", ["", " ", " // why\n"])
def test_a_function_whose_answer_moves_is_refused_by_name(function: str, gap: str) -> None:
    with pytest.raises(DefinitionError, match=rf"^{function}\(\) at line 1, column 12 is not allowed"):
        parse_pipeline(f"extend x = {function}{gap}(1)")


@pytest.mark.parametrize("name", ["now", "table", "next", "prev"])
def test_a_column_may_be_named_like_a_forbidden_function(name: str) -> None:
    assert parse_pipeline(f"where {name} == 1").render(()) == f"| where {name} == 1"


@pytest.mark.parametrize(
    "function", ["ingestion_time", "hash", "iif", "strcat", "todynamic", "startofday", "bag_pack"]
)
def test_a_function_of_the_row_alone_is_allowed(function: str) -> None:
    assert parse_pipeline(f"extend x = {function}(A)").operators[0].name == "extend"


@pytest.mark.parametrize("function", sorted(FUNCTIONS | LITERALS))
def test_every_function_of_one_row_is_known(function: str) -> None:
    assert function not in FORBIDDEN
    assert parse_pipeline(f"where {function}(A) == 1").render(()) == f"| where {function}(A) == 1"


def test_a_saved_function_is_told_by_name_what_is_known_instead() -> None:
    with pytest.raises(
        DefinitionError, match=r"^myfunc\(\) at line 1, column 12 .*single row .*write it out$"
    ):
        parse_pipeline("extend x = myfunc(A)")


@pytest.mark.parametrize(
    "text",
    [
        "where UserId in (SigninLogs)",
        "where UserId !in (SigninLogs)",
        "where UserId in~ (SigninLogs)",
        "where UserId !in~ (SigninLogs)",
        "where UserId in ((SigninLogs))",
        "where UserId in (SigninLogs,)",
        "where UserId in ( // why\n SigninLogs )",
        "where UserId in (['SigninLogs'])",
        "where UserId in ([@'SigninLogs'])",
        "where Text has_any (SigninLogs)",
        "where Text has_all (SigninLogs)",
        "where not(UserId in (SigninLogs))",
        "extend known = iff(UserId in (SigninLogs), 1, 0)",
        "where UserId in (union SigninLogs, AuditLogs)",
        "where UserId in (union *)",
        "where UserId in ((union SigninLogs))",
        "where UserId in (search 'x')",
        "where UserId in (find in (A) where B == 1)",
        "where UserId in (range x from 1 to 9 step 1)",
        "where UserId in (print x = 1)",
    ],
)
def test_what_could_be_a_table_is_refused_as_a_list_of_values(text: str) -> None:
    with pytest.raises(DefinitionError, match=r"read as a table.*as literals or as dynamic\(\[\.\.\.\]\)"):
        parse_pipeline(text)


@pytest.mark.parametrize(
    "text",
    [
        "where A in ('x')",
        "where A in ('x', B)",
        "where A in (1, 2)",
        "where A !in~ ('x')",
        "where A in (dynamic(['x', 'y']))",
        "where A in (dynamic({'a': ['_lf_x', 'C:\\\\x']}))",
        "where A in (Properties.list)",
        "where A in (range(1, 9))",
        "where A in (split(B, ','))",
        "where A in (true)",
        "where A has_any ('x', 'y')",
        "where (A == 1) and (B in (datetime(2026-11-20), datetime(2026-11-21)))",
        "where A has ('x') or A matches regex ('y') or A between (1 .. 2) or A !contains ('z')",
        "where(A == 1)",
        "extend in_list = 1",
        "extend (a, b) = series_stats(C)",
        "extend p = tostring(Properties[@'C:\\x'])",
        "mv-expand x = A to typeof(string) limit 5",
        "parse-where Message with * 'id=' Id:long *",
    ],
)
def test_values_and_functions_of_the_row_are_allowed_as_lists(text: str) -> None:
    assert len(parse_pipeline(text).operators) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (r"extend ['\u005flf_time'] = TimeGenerated", "with a backslash or in parts"),
        (r'project-rename ["_lf\x5ftime"] = A', "with a backslash or in parts"),
        ("extend ['_lf' '_time'] = 1", "with a backslash or in parts"),
        ("extend [h'_lf_time'] = 1", "belongs to Logferry"),
        ("extend [@'_lf_time'] = 1", "belongs to Logferry"),
        ("extend x = ['now']()", "by a name in brackets"),
        ("extend x = dynamic([1]), _lf_time = 1", "belongs to Logferry"),
        ("extend x = estimate_data_size(*)", "Logferry's own columns"),
        ("where A in (T | project B)", "query inside the query"),
        ("where A in ((T | take 1))", "query inside the query"),
        ("let x = 1; where A == x", "starts another statement"),
        ("where A == 1;", "starts another statement"),
        ("set notruncation; where A", "starts another statement"),
        ("|", "nothing after it"),
        ("| | where A", "no operator before it"),
        ("where A |", "ends with '|'"),
        ("where", "has nothing after it"),
        ("where A == 'x", "is not closed"),
        ('where A == "x\ny"', "is not closed"),
        ("where A == ```x", "is not closed"),
        ("where (A", "never closed"),
        ("where A)", "closes nothing"),
        ("where (A]", "closes nothing"),
        ("project-away *", "would drop the columns"),
        ("project-away _*", "would drop the columns"),
        ("project-away A, *_item", "would drop the columns"),
        ("project-away A,,B", "column name is missing"),
        ("extend _lf_time = 1", "belongs to Logferry"),
        ("extend ['_lf_item'] = 1", "belongs to Logferry"),
        ("where * has 'x'", "searches every column"),
        ("where A == 1 and * == 'x'", "searches every column"),
        ("where not(* has 'x')", "searches every column"),
    ],
)
def test_what_would_break_the_proof_is_refused(text: str, reason: str) -> None:
    with pytest.raises(DefinitionError, match=reason.replace("|", r"\|").replace("(", r"\(")):
        parse_pipeline(text)


def test_a_place_counts_lines_and_columns_from_one() -> None:
    with pytest.raises(DefinitionError, match=r"^now\(\) at line 2, column 9 "):
        parse_pipeline("where A == 1\n| where now() > B")
    assert place("ab\ncd", 4) == "line 2, column 2"


@given(st.text(alphabet="ab'\"\\|()[]{}@h`~/\n ;*,=1.", max_size=40))
def test_any_text_is_either_accepted_for_good_or_refused(text: str) -> None:
    try:
        rendered = parse_pipeline(text).render(())
    except DefinitionError:
        return
    assert parse_pipeline(rendered).render(()) == rendered


@given(st.text(alphabet="ab'\"|() /\n1=", max_size=40))
def test_dropping_comments_keeps_every_token(text: str) -> None:
    try:
        tokens = tokenise(text)
    except DefinitionError:
        return
    again = tokenise(without_comments(text, tokens))
    assert [token.text for token in again] == [token.text for token in tokens]
