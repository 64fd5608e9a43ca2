"""Datadog's log search syntax: a query text becomes a predicate over an event's attributes.

Source: https://docs.datadoghq.com/logs/explorer/search_syntax/
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

Predicate = Callable[[Mapping[str, Any]], bool]
"""Says whether an event's ``attributes`` object (status, service, message, tags, attributes…) matches."""

_RESERVED = frozenset({"service", "status", "host"})
_ENDS_WORD = frozenset(' \t\r\n()"')
_COMPARE = re.compile(r"(>=|<=|>|<)(.*)", re.DOTALL)
_RANGE = re.compile(r"\[\s*(\S+)\s+TO\s+(\S+)\s*\]")
_TOKEN = re.compile(r"\w+", re.UNICODE)


class QuerySyntaxError(ValueError):
    """The query cannot be parsed."""


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query. ``tags_only``: it looks at nothing but service, status, host and tags."""

    text: str
    matches: Predicate
    everything: bool
    tags_only: bool


@lru_cache(maxsize=256)
def parse_query(text: str) -> Query:
    """Parse ``text``; an empty text and ``*`` match everything. Raises QuerySyntaxError."""
    parser = _Parser(text)
    predicate = parser.whole()
    everything = text.strip() in {"", "*"}
    return Query(text, predicate, everything, parser.tags_only)


def facet_values(attributes: Mapping[str, Any], key: str) -> list[Any]:
    """The values of ``@path``, a reserved attribute or a tag key; empty if the event has none.

    ``@a.b`` is the nested attribute first, then the literal dotted key. A list counts as its members.
    """
    if key.startswith("@"):
        found = _nested(attributes.get("attributes"), key[1:])
        return found if isinstance(found, list) else [] if found is None else [found]
    if key in _RESERVED and key in attributes:
        return [attributes[key]]
    prefix = key.lower() + ":"
    tags = attributes.get("tags") or []
    return [tag[len(prefix) :] for tag in tags if tag.lower().startswith(prefix)]


def as_number(value: Any) -> Decimal | None:
    """The number a value or its text stands for, exactly; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return None if number.is_nan() else number


def _nested(attributes: Any, path: str) -> Any:
    found = attributes
    for step in path.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    if found is None and isinstance(attributes, Mapping):
        return attributes.get(path)
    return found


class _Parser:
    """Recursive descent over the characters: ``or`` binds weaker than ``and`` (also written as a space)."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.tags_only = True

    def whole(self) -> Predicate:
        if not self._text.strip():
            return _always
        predicate = self._alternatives(None)
        if self._at < len(self._text):
            raise QuerySyntaxError(f"unexpected {self._text[self._at]!r} at {self._at}")
        return predicate

    def _alternatives(self, key: str | None) -> Predicate:
        options = [self._conjunction(key)]
        while self._keyword("OR"):
            options.append(self._conjunction(key))
        return options[0] if len(options) == 1 else lambda event: any(one(event) for one in options)

    def _conjunction(self, key: str | None) -> Predicate:
        parts = [self._negation(key)]
        while True:
            explicit = self._keyword("AND")
            self._skip_space()
            at_end = self._at >= len(self._text) or self._text[self._at] == ")" or self._sees("OR")
            if at_end:
                if explicit:
                    raise QuerySyntaxError("AND needs a term after it")
                break
            parts.append(self._negation(key))
        return parts[0] if len(parts) == 1 else lambda event: all(one(event) for one in parts)

    def _negation(self, key: str | None) -> Predicate:
        self._skip_space()
        if self._keyword("NOT") or self._take("-"):
            inner = self._negation(key)
            return lambda event: not inner(event)
        return self._term(key)

    def _term(self, key: str | None) -> Predicate:
        self._skip_space()
        if self._take("("):
            return self._group(key)
        if self._at < len(self._text) and self._text[self._at] == '"':
            return self._value(key, [(self._quoted(), True)], phrase=True)
        word = self._word(stop_at_colon=key is None)
        if not word:
            raise QuerySyntaxError(f"a term is missing at {self._at}")
        if key is None and self._take(":"):
            return self._keyed("".join(character for character, _ in word))
        if not any(literal for _, literal in word) and "".join(c for c, _ in word) in {"AND", "OR", "NOT"}:
            raise QuerySyntaxError("an operator stands where a term should be")
        return self._value(key, word, phrase=False)

    def _group(self, key: str | None) -> Predicate:
        inner = self._alternatives(key)
        self._skip_space()
        if not self._take(")"):
            raise QuerySyntaxError("a parenthesis is not closed")
        return inner

    def _keyed(self, key: str) -> Predicate:
        if self._take("("):
            return self._group(key)
        if self._at < len(self._text) and self._text[self._at] == '"':
            return self._value(key, [(self._quoted(), True)], phrase=True)
        rest = self._text[self._at :]
        if bounds := _RANGE.match(rest):
            self._at += bounds.end()
            return self._range(key, bounds[1], bounds[2])
        word = self._word(stop_at_colon=False)
        if not word:
            raise QuerySyntaxError(f"{key}: needs a value")
        plain = "".join(character for character, _ in word)
        if word[0] in {(">", False), ("<", False)} and (compare := _COMPARE.fullmatch(plain)):
            return self._compare(key, compare[1], compare[2])
        return self._value(key, word, phrase=False)

    def _word(self, *, stop_at_colon: bool) -> list[tuple[str, bool]]:
        """The characters up to the end of the word, each with whether a backslash made it literal."""
        word: list[tuple[str, bool]] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "\\":
                if self._at + 1 == len(self._text):
                    raise QuerySyntaxError("a backslash at the end escapes nothing")
                word.append((self._text[self._at + 1], True))
                self._at += 2
                continue
            if character in _ENDS_WORD or (character == ":" and stop_at_colon):
                break
            if character in "[]{}":
                raise QuerySyntaxError(f"unbalanced or unescaped {character!r} at {self._at}")
            word.append((character, False))
            self._at += 1
        return word

    def _quoted(self) -> str:
        start = self._at
        self._at += 1
        characters: list[str] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            self._at += 1
            if character == '"':
                return "".join(characters)
            if character == "\\" and self._at < len(self._text):
                character = self._text[self._at]
                self._at += 1
            characters.append(character)
        raise QuerySyntaxError(f"the quote at {start} is not closed")

    def _value(self, key: str | None, word: list[tuple[str, bool]], *, phrase: bool) -> Predicate:
        if key is None and not phrase and word == [("*", False)]:
            return _always
        if key is None:
            self.tags_only = False
            return _message_predicate(word, phrase=phrase)
        self._note_key(key)
        text = "".join(character for character, _ in word)
        if not phrase and text == "*":
            return lambda event: bool(facet_values(event, key))
        sensitive = key.startswith("@")
        pattern = re.compile(_glob(word), re.DOTALL if sensitive else re.DOTALL | re.IGNORECASE)
        number = as_number(text)

        def matches(event: Mapping[str, Any]) -> bool:
            for value in facet_values(event, key):
                if pattern.fullmatch(_as_text(value)):
                    return True
                if number is not None and not isinstance(value, str) and as_number(value) == number:
                    return True
            return False

        return matches

    def _compare(self, key: str, operator: str, bound_text: str) -> Predicate:
        bound = as_number(bound_text)
        if bound is None:
            raise QuerySyntaxError(f"{key}:{operator} needs a number")
        self._note_key(key)
        holds: Callable[[Decimal], bool] = {
            ">=": lambda number: number >= bound,
            "<=": lambda number: number <= bound,
            ">": lambda number: number > bound,
            "<": lambda number: number < bound,
        }[operator]
        return lambda event: any(holds(number) for number in _numbers(event, key))

    def _range(self, key: str, low_text: str, high_text: str) -> Predicate:
        low = Decimal("-Infinity") if low_text == "*" else as_number(low_text)
        high = Decimal("Infinity") if high_text == "*" else as_number(high_text)
        if low is None or high is None:
            raise QuerySyntaxError(f"{key}:[{low_text} TO {high_text}] needs numbers")
        self._note_key(key)
        return lambda event: any(low <= number <= high for number in _numbers(event, key))

    def _note_key(self, key: str) -> None:
        if key.startswith("@"):
            self.tags_only = False

    def _skip_space(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def _take(self, character: str) -> bool:
        if self._text.startswith(character, self._at):
            self._at += 1
            return True
        return False

    def _sees(self, keyword: str) -> bool:
        end = self._at + len(keyword)
        return self._text.startswith(keyword, self._at) and (
            end == len(self._text) or self._text[end] in _ENDS_WORD
        )

    def _keyword(self, keyword: str) -> bool:
        self._skip_space()
        if not self._sees(keyword):
            return False
        self._at += len(keyword)
        return True


def _always(event: Mapping[str, Any]) -> bool:
    return True


def _numbers(event: Mapping[str, Any], key: str) -> Iterator[Decimal]:
    for value in facet_values(event, key):
        if (number := as_number(value)) is not None:
            yield number


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _glob(word: list[tuple[str, bool]]) -> str:
    wild = {"*": ".*", "?": "."}
    return "".join(
        re.escape(character) if literal else wild.get(character, re.escape(character))
        for character, literal in word
    )


def _message_predicate(word: list[tuple[str, bool]], *, phrase: bool) -> Predicate:
    """Free text: whole words of the message, in sequence, without regard to case."""
    has_wildcard = not phrase and any(character in "*?" and not literal for character, literal in word)
    if has_wildcard:
        pattern = re.compile(_glob(word).replace(".*", r"\w*"), re.IGNORECASE)
        return lambda event: any(
            pattern.fullmatch(token) for token in _TOKEN.findall(event.get("message") or "")
        )
    wanted = _TOKEN.findall("".join(character for character, _ in word).lower())
    if not wanted:
        raise QuerySyntaxError("free text needs a letter or a digit")
    phrase_pattern = re.compile(r"(?<!\w)" + r"\W+".join(map(re.escape, wanted)) + r"(?!\w)", re.IGNORECASE)
    return lambda event: phrase_pattern.search(event.get("message") or "") is not None
