"""Output columns of a query: their names, order and types."""

from collections.abc import Sequence

from logferry.convert.kql_types import output_schema, pinned_columns, query_columns


def names(columns: Sequence[str], *, has_id: bool = True) -> list[str]:
    return [c.name for c in output_schema([(name, "string") for name in columns], has_id=has_id).columns]


def test_the_tables_columns_come_first_then_the_item_id_then_the_ticks() -> None:
    assert names(["TenantId", "Message"]) == ["TenantId", "Message", "_ItemId", "_ticks"]
    assert names(["TenantId", "Message"], has_id=False) == ["TenantId", "Message", "_ticks"]


def test_the_reserved_columns_of_the_query_are_no_output() -> None:
    assert names(["A", "_lf_time", "_lf_item"]) == ["A", "_ItemId", "_ticks"]


def test_an_item_id_that_the_query_gives_itself_is_not_given_twice() -> None:
    assert names(["_ItemId", "A"]) == ["_ItemId", "A", "_ticks"]


def test_columns_that_differ_only_in_case_get_a_free_suffix_and_keep_their_source_name() -> None:
    schema = output_schema([(n, "string") for n in ("Level", "level", "LEVEL", "level_2")], has_id=False)
    assert [(c.name, c.source_name) for c in pinned_columns(schema)] == [
        ("Level", "Level"),
        ("level_3", "level"),
        ("LEVEL_4", "LEVEL"),
        ("level_2", "level_2"),
    ]


def test_columns_that_clash_with_logferrys_own_step_aside() -> None:
    assert names(["_Ticks", "_itemid", "__tick"]) == [
        "_Ticks_2",
        "_itemid_2",
        "__tick_2",
        "_ItemId",
        "_ticks",
    ]


def test_a_page_asks_for_the_pinned_columns_and_the_reserved_ones() -> None:
    schema = output_schema([("A", "double"), ("a", "date")], has_id=True)
    assert query_columns(schema) == [
        ("A", "real"),
        ("a", "datetime"),
        ("_lf_time", "datetime"),
        ("_lf_item", "string"),
    ]
