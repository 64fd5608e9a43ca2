"""KQL text to a syntax tree: one table, then pipes.

Grammar: https://learn.microsoft.com/kusto/query/ . Statements other than one tabular expression (`let`,
`set`) and every operator the interpreter does not know are syntax errors, never silently ignored.
"""

from __future__ import annotations

import re
from typing import Any

from logferry_sandbox.kql_errors import KqlSyntaxError
from logferry_sandbox.kql_lexer import TYPE_ALIASES, Lexer, Token
from logferry_sandbox.kql_syntax import Call, Expr, Item, Literal, Member, Name, Operation, Operator, Query
from logferry_sandbox.kql_values import NET_TYPES

_HYPHENATED = (
    "project-away",
    "project-keep",
    "project-rename",
    "project-reorder",
    "parse-where",
    "mv-expand",
)
_RELATIONS = {"==", "!=", "=~", "!~", "<", "<=", ">", ">=", "<>"}
_TEXT_OPERATORS = {
    "contains",
    "contains_cs",
    "has",
    "has_cs",
    "startswith",
    "startswith_cs",
    "endswith",
    "endswith_cs",
}


class Parser:
    """Recursive descent over one query text."""

    def __init__(self, text: str) -> None:
        self._text = text
        lexer = Lexer(text)
        self._fail = lexer.error
        self._tokens = lexer.tokens()
        self._next = 0

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _at(self, *texts: str) -> bool:
        token = self._peek()
        return token.kind not in ("literal", "end") and token.text in texts

    def _accept(self, *texts: str) -> bool:
        if self._at(*texts):
            self._next += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._wrong()

    def _wrong(self) -> KqlSyntaxError:
        token = self._peek()
        return self._fail(token.at, token.text)

    def query(self) -> Query:
        """The whole text as one tabular expression."""
        table = self._peek()
        if table.kind != "name" and not self._at("["):
            raise self._wrong()
        following = self._tokens[self._next + 1] if table.kind == "name" else None
        if (
            table.text in ("let", "set", "declare", "alias", "restrict")
            and following
            and following.kind == "name"
        ):
            raise self._wrong()
        name = self._identifier()
        operators = []
        while self._accept("|"):
            operators.append(self._operator())
        self._accept(";")
        if self._peek().kind != "end":
            raise self._wrong()
        return Query(name, tuple(operators))

    def _identifier(self) -> str:
        if self._accept("["):
            token = self._take()
            if token.kind != "literal" or token.value.kind != "string":
                raise self._fail(token.at, token.text)
            self._expect("]")
            return str(token.value.value)
        if self._peek().kind != "name":
            raise self._wrong()
        return self._take().text

    def _operator_name(self) -> str:
        start = self._peek()
        if start.kind != "name":
            raise self._wrong()
        for name in _HYPHENATED:
            if re.compile(rf"{name}(?![A-Za-z0-9_])").match(self._text, start.at):
                self._next += 3
                return name
        return self._take().text

    def _operator(self) -> Operator:
        at = self._next
        name = self._operator_name()
        match name:
            case "where" | "filter":
                return Operator("where", (Item(self._expression()),))
            case "extend" | "project" | "project-rename" | "distinct":
                return Operator(name, self._items(star=name == "distinct"))
            case "project-away" | "project-keep" | "project-reorder":
                return Operator(name, patterns=self._patterns())
            case "parse" | "parse-where":
                return self._parse_operator(name)
            case "mv-expand":
                return Operator(name, self._expansions())
            case "summarize":
                aggregates = () if self._at("by") else self._items()
                return Operator(name, aggregates, self._items() if self._accept("by") else ())
            case "count" | "getschema":
                return Operator(name)
            case "take" | "limit":
                return Operator("take", (Item(self._expression()),))
            case "top":
                rows = Item(self._expression())
                self._expect("by")
                return Operator(name, (rows,), (self._sort_key(),))
            case "sort" | "order":
                self._expect("by")
                keys = [self._sort_key()]
                while self._accept(","):
                    keys.append(self._sort_key())
                return Operator("sort", by=tuple(keys))
        self._next = at
        raise self._wrong()

    def _items(self, *, star: bool = False) -> tuple[Item, ...]:
        if star and self._accept("*"):
            return ()
        items = [self._item()]
        while self._accept(","):
            items.append(self._item())
        return tuple(items)

    def _item(self) -> Item:
        at = self._next
        if self._peek().kind == "name" or self._at("["):
            try:
                name = self._identifier()
            except KqlSyntaxError:
                self._next = at
            else:
                if self._accept("="):
                    return Item(self._expression(), name)
                self._next = at
        return Item(self._expression())

    def _sort_key(self) -> Item:
        expr = self._expression()
        order = self._take().text if self._at("asc", "desc") else "desc"
        nulls = "first" if order == "asc" else "last"
        if self._accept("nulls"):
            if not self._at("first", "last"):
                raise self._wrong()
            nulls = self._take().text
        return Item(expr, order=order, nulls=nulls)

    def _patterns(self) -> tuple[str, ...]:
        patterns = [self._pattern()]
        while self._accept(","):
            patterns.append(self._pattern())
        return tuple(patterns)

    def _pattern(self) -> str:
        """A column name or a wildcard: name and `*` tokens that touch each other."""
        if self._at("["):
            return self._identifier()
        first = self._peek()
        end = first.at
        while (self._peek().kind == "name" or self._at("*")) and self._peek().at == end:
            end += len(self._take().text)
        if end == first.at:
            raise self._wrong()
        self._accept("asc", "desc")
        return self._text[first.at : end]

    def _parse_operator(self, name: str) -> Operator:
        if self._accept("kind"):
            self._expect("=")
            if not self._accept("simple"):
                raise self._wrong()
        source = Item(self._expression())
        self._expect("with")
        pieces: list[Any] = []
        while not self._at("|", ";") and self._peek().kind != "end":
            if self._accept("*"):
                pieces.append("*")
            elif self._peek().kind == "literal" and self._peek().value.kind == "string":
                pieces.append(self._take().value)
            else:
                column = self._identifier()
                kind = self._type_name() if self._accept(":") else "string"
                pieces.append((column, kind))
        if not pieces:
            raise self._wrong()
        return Operator(name, (source,), pieces=tuple(pieces))

    def _type_name(self) -> str:
        token = self._peek()
        kind = TYPE_ALIASES.get(token.text, token.text)
        if kind not in NET_TYPES:
            raise self._wrong()
        self._next += 1
        return kind

    def _expansions(self) -> tuple[Item, ...]:
        items = []
        while True:
            item = self._item()
            to_type = None
            if self._accept("to"):
                self._expect("typeof")
                self._expect("(")
                to_type = self._type_name()
                self._expect(")")
            items.append(Item(item.expr, item.name, to_type=to_type))
            if not self._accept(","):
                return tuple(items)

    def _expression(self) -> Expr:
        left = self._conjunction()
        while self._accept("or"):
            left = Operation("or", (left, self._conjunction()))
        return left

    def _conjunction(self) -> Expr:
        left = self._relation()
        while self._accept("and"):
            left = Operation("and", (left, self._relation()))
        return left

    def _relation(self) -> Expr:
        left = self._sum()
        token = self._peek()
        if token.kind in ("literal", "end"):
            return left
        word = token.text
        if word in _RELATIONS:
            self._next += 1
            return Operation("!=" if word == "<>" else word, (left, self._sum()))
        positive = word.removeprefix("!")
        if positive in _TEXT_OPERATORS:
            self._next += 1
            return Operation(word, (left, self._sum()))
        if word == "matches":
            self._next += 1
            self._expect("regex")
            return Operation("matches regex", (left, self._sum()))
        if positive in ("in", "in~"):
            self._next += 1
            self._expect("(")
            return Operation(word, (left, *self._arguments()))
        if positive == "between":
            self._next += 1
            self._expect("(")
            low = self._sum()
            self._expect("..")
            high = self._sum()
            self._expect(")")
            return Operation(word, (left, low, high))
        return left

    def _sum(self) -> Expr:
        left = self._product()
        while self._at("+", "-"):
            left = Operation(self._take().text, (left, self._product()))
        return left

    def _product(self) -> Expr:
        left = self._unary()
        while self._at("*", "/", "%"):
            left = Operation(self._take().text, (left, self._unary()))
        return left

    def _unary(self) -> Expr:
        if self._accept("-"):
            return Operation("negate", (self._unary(),))
        self._accept("+")
        return self._postfix()

    def _arguments(self) -> tuple[Expr, ...]:
        arguments: list[Expr] = []
        if self._accept(")"):
            return ()
        while True:
            arguments.append(self._expression())
            if self._accept(")"):
                return tuple(arguments)
            self._expect(",")

    def _postfix(self) -> Expr:
        expr = self._primary()
        while True:
            if self._accept("."):
                expr = Member(expr, Literal("string", self._identifier()))
            elif self._at("["):
                self._next += 1
                expr = Member(expr, self._expression())
                self._expect("]")
            else:
                return expr

    def _primary(self) -> Expr:
        token = self._peek()
        if token.kind == "literal":
            self._next += 1
            literal: Literal = token.value
            return literal
        if self._accept("("):
            expr = self._expression()
            self._expect(")")
            return expr
        if self._at("["):
            return Name(self._identifier())
        if token.kind != "name":
            raise self._wrong()
        self._next += 1
        if token.text in ("true", "false"):
            return Literal("bool", token.text == "true")
        if self._accept("("):
            if token.text == "estimate_data_size" and self._accept("*"):
                self._expect(")")
                return Call(token.text, (Name("*"),))
            return Call(token.text, self._arguments())
        return Name(token.text)


def parse_query(text: str) -> Query:
    """The syntax tree of one query; raises KqlSyntaxError with the place of the first wrong token."""
    return Parser(text).query()
