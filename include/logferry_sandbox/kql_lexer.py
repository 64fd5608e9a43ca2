"""KQL text to tokens: literals are worked out here, so that `datetime(2026-11-20)` is one token."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from logferry_sandbox.kql_errors import KqlSyntaxError
from logferry_sandbox.kql_syntax import Literal
from logferry_sandbox.kql_values import NET_TYPES, TIMESPAN_UNIT, convert, parse_datetime, parse_timespan


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the query: `kind` is literal, name, symbol, negated, caseless or end; `at` its first
    character.
    """

    kind: str
    text: str
    value: Any
    at: int


TYPE_ALIASES = {"double": "real", "date": "datetime", "time": "timespan", "boolean": "bool", "uuid": "guid"}
_TYPED = {*NET_TYPES, *TYPE_ALIASES} - {"string"}
_WORD_OPERATORS = (
    "contains_cs|contains|has_cs|has|startswith_cs|startswith|endswith_cs|endswith|in~|in|between"
)
_NUMBER = rf"\d+(?:\.\d+)?(?:[eE][+-]?\d+|(?:{TIMESPAN_UNIT})(?![A-Za-z0-9_]))?|\.\d+"
_LEX = re.compile(
    rf"""(?P<space>\s+|//[^\n]*)
    |(?P<raw>@"(?:[^"]|"")*"|@'(?:[^']|'')*'|```.*?```)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>{_NUMBER})
    |(?P<negated>!(?:{_WORD_OPERATORS})(?![A-Za-z0-9_]))
    |(?P<caseless>in~)
    |(?P<name>[A-Za-z_$][A-Za-z0-9_$]*)
    |(?P<symbol>==|!=|=~|!~|<=|>=|<>|\.\.|[-+*/%<>=(),|.;:{{}}\[\]])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "0": "\0", "a": "\a", "b": "\b"}


def _unescape(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        escape = match[1]
        return (
            chr(int(escape[1:], 16))
            if escape[0] in "uU" and len(escape) > 1
            else _ESCAPES.get(escape, escape)
        )

    return re.sub(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", one, text, flags=re.DOTALL)


def _typed_literal(kind: str, body: str) -> Any:
    """The value of `kind(body)`; raises ValueError when the body does not fit."""
    body = body.strip()
    if body == "null":
        return None
    if kind == "dynamic":
        return json.loads(body)
    text = body[1:-1] if body[:1] in "\"'" and len(body) > 1 else body
    value: Any
    match kind:
        case "datetime":
            value = parse_datetime(text)
        case "timespan":
            value = parse_timespan(text)
        case "real":
            value = float(text.replace("infinity", "inf"))
        case "decimal":
            try:
                value = Decimal(text)
            except InvalidOperation as error:
                raise ValueError(text) from error
        case _:
            value = convert("string", text, kind)
    if value is None:
        raise ValueError(text)
    return value


class Lexer:
    """Reads one query text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def error(self, at: int, token: str) -> KqlSyntaxError:
        """The syntax error for the token that begins at character `at`."""
        before = self._text[:at]
        return KqlSyntaxError(before.count("\n") + 1, at - (before.rfind("\n") + 1), token or "<EOF>")

    def tokens(self) -> list[Token]:
        """Every token of the text, then one of kind `end`; raises KqlSyntaxError."""
        tokens: list[Token] = []
        at = 0
        while at < len(self._text):
            match = _LEX.match(self._text, at)
            if match is None:
                raise self.error(at, self._text[at])
            kind, text = str(match.lastgroup), match[0]
            end = match.end()
            value: Any = text
            if kind == "name" and text in _TYPED and (body := re.compile(r"\s*\(").match(self._text, end)):
                end = self._close(body.end(), at)
                kind = "literal"
                type_name = TYPE_ALIASES.get(text, text)
                try:
                    value = Literal(type_name, _typed_literal(type_name, self._text[body.end() : end - 1]))
                except ValueError as error:
                    raise self.error(at, self._text[at:end]) from error
            elif kind == "number":
                kind, value = "literal", self._number(text)
            elif kind == "string":
                kind, value = "literal", Literal("string", _unescape(text[1:-1]))
            elif kind == "raw":
                plain = text[3:-3] if text[0] == "`" else text[2:-1].replace(text[1] * 2, text[1])
                kind, value = "literal", Literal("string", plain)
            if kind != "space":
                tokens.append(Token(kind, self._text[at:end], value, at))
            at = end
        tokens.append(Token("end", "", "", len(self._text)))
        return tokens

    def _close(self, start: int, opened: int) -> int:
        """One past the parenthesis that closes a typed literal whose body begins at `start`."""
        depth, quote = 1, ""
        for at in range(start, len(self._text)):
            char = self._text[at]
            if quote:
                quote = "" if char == quote and self._text[at - 1] != "\\" else quote
            elif char in "\"'":
                quote = char
            elif char == "(":
                depth += 1
            elif char == ")":
                depth -= 1
                if not depth:
                    return at + 1
        raise self.error(opened, "")

    @staticmethod
    def _number(text: str) -> Literal:
        if text[-1].isalpha():
            return Literal("timespan", parse_timespan(text))
        return Literal("real", float(text)) if re.search(r"[.eE]", text) else Literal("long", int(text))
