"""A notice: one thing that somebody should know, as short as a pager shows it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from logferry.records.manifest import Span
from logferry.spec_fields import Event

_MOST_KEYS = 200
_LONGEST = 2_000
"""Characters of a text. Slack cuts a message at 40,000, a pager long before."""


@dataclass(frozen=True, slots=True)
class Notice:
    """``subject``: one line, what is wrong first. ``text``: some lines, the first of which says it again.

    ``window``: what it is about, None for no window in particular. ``keys``: what makes it news: a notice whose keys
    were all told lately is not told again. ``once``: not even after a day, as nothing about it can change.
    """

    kind: Event
    export: str
    window: Span | None
    subject: str
    text: str
    keys: tuple[str, ...]
    once: bool = False


def compose(
    headline: str,
    *,
    numbers: str | None = None,
    likely: str | None = None,
    next_step: str | None = None,
    page: str | None = None,
) -> str:
    """The lines of a notice: what is wrong, the numbers, the likely cause, what to do, and where to look."""
    parts = (
        (None, headline),
        (None, numbers),
        ("Likely", likely),
        ("Next", next_step),
        ("See", page),
    )
    lines = [f"{name}: {said}" if name else said for name, said in parts if said]
    return "\n".join(line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…" for line in lines)


def key_of(*parts: object) -> str:
    """A short digest of what makes a notice news."""
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def keys_of(kind: str, parts: Iterable[str]) -> tuple[str, ...]:
    """A key for each part; one for all of them together where they are very many."""
    keys = dict.fromkeys(key_of(kind, part) for part in parts)
    return tuple(keys) if len(keys) <= _MOST_KEYS else (key_of(kind, *sorted(keys)),)


def said_of(span: Span) -> str:
    """A window for people."""
    return f"{span.start} to {span.end}"


def range_command(verb: str, export: str, span: Span) -> str:
    """The command line about one range."""
    return f"logferry {verb} {export} --from {span.start} --to {span.end}"
