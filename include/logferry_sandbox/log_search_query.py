"""The legacy Log Search language, as far as an export needs it: `Field=value`, free text, `*`, AND, OR,
NOT, ().

Terms side by side mean AND. Field names and values are compared without regard to case. The pipe commands
of the language (measure, sort, select, …) are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Matches = Callable[[Mapping[str, Any]], bool]
_TOKEN = re.compile(r'\s*(?:([()])|(\w+)\s*(!=|=|:)\s*(?:"([^"]*)"|([^\s()"|]+))|"([^"]*)"|([^\s()"|]+))')


class LegacyQueryError(ValueError):
    """A query this subset does not know."""


def compile_query(text: str) -> Matches:
    """The test a query means; raises LegacyQueryError."""
    tokens = _tokens(text)
    matches, rest = _any_of(tokens)
    if rest:
        raise LegacyQueryError(f"unexpected {rest[0]!r} in the query")
    return matches


def _tokens(text: str) -> list[str | Matches]:
    tokens: list[str | Matches] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise LegacyQueryError(f"the query cannot be read at position {at}: {text[at : at + 20]!r}")
        at = match.end()
        bracket, field, operator, quoted_value, value, phrase, word = match.groups()
        if bracket:
            tokens.append(bracket)
        elif field:
            tokens.append(_field_is(field, operator, quoted_value if quoted_value is not None else value))
        elif phrase is None and word.upper() in ("AND", "OR", "NOT"):
            tokens.append(word.upper())
        else:
            tokens.append(_contains(phrase if phrase is not None else word))
    return tokens


def _field_is(field: str, operator: str, value: str) -> Matches:
    wanted, name, equal = value.lower(), field.lower(), operator != "!="

    def matches(row: Mapping[str, Any]) -> bool:
        found = next((content for key, content in row.items() if key.lower() == name), None)
        if found is None:
            return not equal
        return (wanted == "*" or str(found).lower() == wanted) is equal

    return matches


def _contains(term: str) -> Matches:
    wanted = term.lower()
    if wanted == "*":
        return lambda row: True
    return lambda row: any(isinstance(value, str) and wanted in value.lower() for value in row.values())


def _any_of(tokens: list[str | Matches]) -> tuple[Matches, list[str | Matches]]:
    left, tokens = _all_of(tokens)
    options = [left]
    while tokens and tokens[0] == "OR":
        option, tokens = _all_of(tokens[1:])
        options.append(option)
    return (lambda row: any(option(row) for option in options)), tokens


def _all_of(tokens: list[str | Matches]) -> tuple[Matches, list[str | Matches]]:
    first, tokens = _one(tokens)
    parts = [first]
    while tokens and tokens[0] not in ("OR", ")"):
        part, tokens = _one(tokens[1:] if tokens[0] == "AND" else tokens)
        parts.append(part)
    return (lambda row: all(part(row) for part in parts)), tokens


def _one(tokens: list[str | Matches]) -> tuple[Matches, list[str | Matches]]:
    if not tokens:
        raise LegacyQueryError("the query ends where a term is expected")
    head, tokens = tokens[0], tokens[1:]
    if head == "NOT":
        inner, tokens = _one(tokens)
        return (lambda row: not inner(row)), tokens
    if head == "(":
        inner, tokens = _any_of(tokens)
        if not tokens or tokens[0] != ")":
            raise LegacyQueryError("a parenthesis is not closed")
        return inner, tokens[1:]
    if isinstance(head, str):
        raise LegacyQueryError(f"unexpected {head!r} in the query")
    return head, tokens
