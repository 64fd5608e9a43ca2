"""What no operator of a KQL pipeline may hold: other queries, other tables, Logferry's own names, unknown calls.

Where a query may stand inside an expression is taken from the language's own grammar
(https://github.com/microsoft/Kusto-Query-Language): in brackets after a ``|``, alone after ``in``, ``has_any``
and ``has_all``, and in the functions that ``kql_functions`` refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from logferry.errors import DefinitionError
from logferry.kql_functions import why_refused
from logferry.kql_tokens import Token, place, string_value

RESERVED_PREFIX = "_lf_"
_SET_OPERATORS = frozenset({"in", "has_any", "has_all"})
"""The operators whose right side, alone among scalar expressions, may be a table."""
_WORDS_BEFORE_BRACKETS = _SET_OPERATORS | {
    "and", "or", "by", "on", "with", "between", "like", "like_cs", "notlike", "notlike_cs", "regex", "has",
    "has_cs", "hasprefix", "hasprefix_cs", "hassuffix", "hassuffix_cs", "contains", "contains_cs",
    "notcontains", "notcontains_cs", "startswith", "startswith_cs", "endswith", "endswith_cs",
}  # fmt: skip
_QUERY_STARTS = frozenset({
    "union", "search", "find", "print", "range", "evaluate", "datatable", "externaldata", "external_table",
    "materialize", "let", "declare", "set", "alias", "restrict", "pattern", "graph", "make", "macro", "invoke",
})  # fmt: skip
"""Words that can begin a query without a table's name before them."""


def check_signs(text: str, tokens: Sequence[Token]) -> None:
    """Refuse a second statement, and a query in brackets."""
    for token in tokens:
        where = place(text, token.at)
        if token.kind == "sign" and token.text == ";":
            raise DefinitionError(
                f"';' at {where} starts another statement; a pipeline is one row of operators, remove it"
            )
        if token.kind == "sign" and token.text == "|" and token.depth:
            raise DefinitionError(
                f"'|' at {where} is a query inside the query, which reads rows outside the time cut; "
                "write the values out or filter after the export"
            )


def check_names(text: str, tokens: Sequence[Token]) -> None:
    """Refuse Logferry's own names, however written. The text inside ``dynamic(...)`` names nothing."""
    literal = 0
    for index, token in enumerate(tokens):
        before = tokens[index - 1].text if index else ""
        if index < literal:
            continue
        if token.text == "(" and before == "dynamic":
            literal = _closing(tokens, index)
        name = token.text if token.kind == "name" else ""
        if token.kind == "string" and before == "[":
            name = _bracketed_name(text, token, tokens[index + 1])
        if name.startswith(RESERVED_PREFIX):
            raise DefinitionError(
                f"the name {name!r} at {place(text, token.at)} belongs to Logferry; choose one without "
                f"{RESERVED_PREFIX}"
            )


def _bracketed_name(text: str, token: Token, after: Token) -> str:
    """The name or key that stands in brackets, which must show what it says."""
    verbatim = token.text.lstrip("hH").startswith("@")
    if after.kind == "string" or ("\\" in token.text and not verbatim):
        raise DefinitionError(
            f"the name in brackets at {place(text, token.at)} is written with a backslash or in parts; write it "
            "in one piece as it is, or as [@'a\\b'] if it holds a backslash"
        )
    return string_value(token)


def _closing(tokens: Sequence[Token], opening: int) -> int:
    """The index of the bracket that closes the one at ``opening``; ``tokenise`` saw that there is one."""
    depth = tokens[opening].depth
    return next(index for index in range(opening + 1, len(tokens)) if tokens[index].depth == depth)


def check_calls(text: str, body: Sequence[Token]) -> None:
    """Refuse every function but those of ``kql_functions``; ``body``: what follows an operator's name."""
    for token, after in pairwise(body):
        if after.text != "(" or token.text in _WORDS_BEFORE_BRACKETS:
            continue
        if token.text == "]":
            raise DefinitionError(
                f"']' before '(' at {place(text, after.at)} calls a function by a name in brackets; write the name "
                "without them"
            )
        reason = why_refused(token.text) if token.kind == "name" else None
        if reason:
            raise DefinitionError(
                f"{token.text}() at {place(text, token.at)} is not allowed in a pipeline: {reason}"
            )


def check_sets(text: str, body: Sequence[Token]) -> None:
    """Refuse a table, or what could be one, on the right of ``in``, ``has_any`` and ``has_all``."""
    for index, token in enumerate(body):
        if token.kind != "name" or token.text not in _SET_OPERATORS:
            continue
        start = index + 1
        if start < len(body) and body[start].text == "~":
            start += 1
        if start == len(body) or body[start].text != "(":
            continue  # A name of a column; the operators need the bracket.
        items = list(_items(body[start + 1 : _closing(body, start)]))
        for item in items:
            if _begins_query(item) or (len(items) == 1 and _is_bare_name(item)):
                raise DefinitionError(
                    f"{item[0].text!r} at {place(text, item[0].at)} would be read as a table, outside the time cut; "
                    f"write the values after {token.text!r} as literals or as dynamic([...])"
                )


def _items(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """What the commas of a list separate, without the brackets around the whole or an item."""
    while len(tokens) > 1 and tokens[0].text == "(" and _closing(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    if not tokens:
        return
    depth = min(token.depth for token in tokens)
    start = 0
    for index, token in enumerate([*tokens, None]):
        if token is None or (token.text == "," and token.depth == depth):
            if item := tokens[start:index]:
                yield from [item] if len(item) == len(tokens) else _items(item)
            start = index + 1


def _begins_query(item: Sequence[Token]) -> bool:
    called = len(item) > 1 and item[1].text == "("
    return item[0].text in _QUERY_STARTS and not called


def _is_bare_name(item: Sequence[Token]) -> bool:
    if len(item) == 1:
        return item[0].kind == "name" and item[0].text not in ("true", "false", "null")
    return item[0].text in ("[", "{") and len(item) == 3
