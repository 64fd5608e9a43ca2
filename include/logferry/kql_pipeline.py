"""The KQL pipeline of an Azure export: an allow-list, because the query around it is cut by time.

A pipeline may look at one row at a time and must say the same thing whenever it is asked: then the rows of a
window are the rows of its parts, and a count taken later can be compared with the rows written. So the
operators are ``where``, ``extend``, ``project``, ``project-away/-keep/-rename/-reorder``, ``parse``,
``parse-where`` and ``mv-expand``; the functions are those of ``kql_functions``; queries inside the query are
refused, and so is all that could be one.

Columns that begin with ``_lf_`` belong to Logferry: the time column and the row's identity travel under such
names, which ``Pipeline.render`` carries past every projection.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

from logferry.errors import DefinitionError
from logferry.kql_checks import check_calls, check_names, check_sets, check_signs
from logferry.kql_tokens import Token, place, string_value, tokenise, without_comments

OPERATORS = (
    "where", "extend", "project", "project-away", "project-keep", "project-rename", "project-reorder",
    "parse", "parse-where", "mv-expand",
)  # fmt: skip
RESERVED = ("_lf_time", "_lf_item")

_OPERATOR_NAME = re.compile(r"[A-Za-z_]\w*(?:-[A-Za-z]\w*)*")
_NOT_OPERANDS = frozenset({"and", "or", "not", "where", "in", "between", "has", "contains"})


@dataclass(frozen=True, slots=True)
class Operator:
    """One step: its name and the text after it, free of comments. ``patterns``: column patterns it names."""

    name: str
    body: str
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Validated operators in order; made by ``parse_pipeline``."""

    operators: tuple[Operator, ...]

    @property
    def multiplies_rows(self) -> bool:
        """True when one row of the table can give several, which then share its identity."""
        return any(operator.name == "mv-expand" for operator in self.operators)

    def render(self, reserved: Sequence[str] = RESERVED) -> str:
        """The KQL to put after the time filter, keeping the ``reserved`` columns; each step has its ``|``.

        Empty for an empty pipeline. DefinitionError when a ``project-away`` wildcard would drop one of them.
        """
        steps: list[str] = []
        for operator in self.operators:
            missing = [
                name
                for name in reserved
                if not any(fnmatch.fnmatchcase(name, pattern) for pattern in operator.patterns)
            ]
            if operator.name == "project-away" and len(missing) < len(reserved):
                _refuse_wildcard(operator.body)
            added = missing if operator.name in ("project", "project-keep") else []
            steps.append(f"| {operator.name} " + ", ".join([operator.body, *added]))
        return "\n".join(steps)


def parse_pipeline(text: str) -> Pipeline:
    """The validated pipeline; a leading ``|`` is optional, an empty text is an empty pipeline.

    Raises DefinitionError with one sentence: what is refused, where, and what to do instead.
    """
    tokens = tokenise(text)
    if tokens and tokens[0].text == "|":
        tokens = tokens[1:]
        if not tokens:
            raise DefinitionError(
                "the pipeline is a '|' with nothing after it; remove it or write an operator"
            )
    if not tokens:
        return Pipeline(())
    check_signs(text, tokens)
    check_names(text, tokens)
    return Pipeline(tuple(_operator(text, step) for step in _steps(text, tokens)))


def _steps(text: str, tokens: list[Token]) -> list[list[Token]]:
    steps: list[list[Token]] = [[]]
    for token in tokens:
        if token.kind == "sign" and token.text == "|":
            if not steps[-1]:
                raise DefinitionError(f"'|' at {place(text, token.at)} has no operator before it; remove it")
            steps.append([])
        else:
            steps[-1].append(token)
    if not steps[-1]:
        raise DefinitionError("the pipeline ends with '|'; remove it or write an operator after it")
    return steps


def _operator(text: str, tokens: list[Token]) -> Operator:
    match = _OPERATOR_NAME.match(text, tokens[0].at)
    name = match[0] if match else tokens[0].text
    where = place(text, tokens[0].at)
    if name not in OPERATORS:
        close = {"filter": "where"}.get(name) or next(
            iter(difflib.get_close_matches(name.lower(), OPERATORS, 1)), ""
        )
        hint = f"did you mean {close}? " if close else ""
        raise DefinitionError(
            f"the operator {name!r} at {where} is not allowed in a pipeline, because the query is cut by "
            "time; "
            f"{hint}use only {', '.join(OPERATORS)}"
        )
    body = [token for token in tokens if token.at >= tokens[0].at + len(name)]
    if not body:
        raise DefinitionError(
            f"the operator {name!r} at {where} has nothing after it; write what it should do"
        )
    check_calls(text, body)
    check_sets(text, body)
    if name == "where":
        _refuse_any_column(text, body)
    patterns = _patterns(text, body) if name in ("project-away", "project-keep") else ()
    if name == "project-away":
        for pattern in patterns:
            if any(fnmatch.fnmatchcase(reserved, pattern) for reserved in RESERVED):
                _refuse_wildcard(pattern)
    return Operator(name, without_comments(text, body), patterns)


def _patterns(text: str, body: list[Token]) -> tuple[str, ...]:
    """The comma-separated column names and wildcards of ``project-away`` and ``project-keep``."""
    items: list[list[Token]] = [[]]
    for token in body:
        if token.text == "," and not token.depth:
            items.append([])
        else:
            items[-1].append(token)
    patterns = []
    for item in items:
        if not item:
            raise DefinitionError(
                f"a column name is missing near {place(text, body[0].at)}; remove the extra comma"
            )
        quoted = [string_value(token) for token in item if token.kind == "string"]
        patterns.append(quoted[0] if quoted else "".join(token.text for token in item))
    return tuple(patterns)


def _refuse_any_column(text: str, body: list[Token]) -> None:
    """``where * has "x"`` looks into every column, Logferry's own included."""
    before: Token | None = None
    for token in body:
        starts = before is None or before.text in _NOT_OPERANDS or before.text in ("(", ",")
        if token.kind == "sign" and token.text == "*" and starts:
            raise DefinitionError(
                f"'*' at {place(text, token.at)} searches every column, Logferry's own included; name the "
                "columns"
            )
        before = token


def _refuse_wildcard(pattern: str) -> None:
    raise DefinitionError(
        f"the wildcard in 'project-away {pattern}' would drop the columns that Logferry cuts and proves by "
        f"({', '.join(RESERVED)}); name the columns to drop, or use project-keep"
    )
