"""KQL text as tokens: enough to tell code from strings and comments, and nothing more.

Lexical rules: https://learn.microsoft.com/kusto/query/scalar-data-types/string (quoted, verbatim, obfuscated
and multi-line literals) and https://learn.microsoft.com/kusto/query/comment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from logferry.errors import DefinitionError

Kind = Literal["name", "number", "string", "sign"]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<string>
        [hH]?@"(?:[^"]|"")*"  | [hH]?@'(?:[^']|'')*'
      | [hH]?"(?:[^"\\\n]|\\.)*" | [hH]?'(?:[^'\\\n]|\\.)*'
      | [hH]?```.*?```        | [hH]?~~~.*?~~~ )
  | (?P<number>\d\w*(?:\.\d\w*)*)
  | (?P<name>[^\W\d]\w*)
  | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTES = ('"', "'")
_PAIRS = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token with its place (``at``: offset in the text) and how many brackets are open around it."""

    kind: Kind
    text: str
    at: int
    depth: int


def tokenise(text: str) -> list[Token]:
    """The tokens without spaces and comments. DefinitionError for an open string or unbalanced brackets."""
    tokens: list[Token] = []
    opened: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "space":
            continue
        lexeme = match[0]
        at = match.start()
        if kind == "sign" and (lexeme in _QUOTES or text.startswith(("```", "~~~"), at)):
            raise DefinitionError(
                f"the string that begins at {place(text, at)} is not closed; add its end quote"
            )
        if lexeme in _PAIRS:
            if not opened or opened[-1].text != _PAIRS[lexeme]:
                raise DefinitionError(
                    f"{lexeme!r} at {place(text, at)} closes nothing; remove it or open it before"
                )
            opened.pop()
        token = Token(kind, lexeme, at, len(opened))  # type: ignore[arg-type]
        tokens.append(token)
        if kind == "sign" and lexeme in _PAIRS.values():
            opened.append(token)
    if opened:
        raise DefinitionError(
            f"{opened[-1].text!r} at {place(text, opened[-1].at)} is never closed; close it"
        )
    return tokens


def place(text: str, at: int) -> str:
    """``line 2, column 5`` of an offset, both counted from one."""
    line_start = text.rfind("\n", 0, at) + 1
    return f"line {text.count(chr(10), 0, at) + 1}, column {at - line_start + 1}"


def string_value(token: Token) -> str:
    """What a simply quoted string token says; used for bracketed names such as ``['a name']``."""
    body = token.text.lstrip("hH@")
    edge = 3 if body[:3] in ("```", "~~~") else 1
    return body[edge:-edge]


def without_comments(text: str, tokens: list[Token]) -> str:
    """The source text of ``tokens``; what lay between two of them becomes one space."""
    parts: list[str] = []
    end = tokens[0].at if tokens else 0
    for token in tokens:
        if token.at > end:
            parts.append(" ")
        parts.append(token.text)
        end = token.at + len(token.text)
    return "".join(parts)
