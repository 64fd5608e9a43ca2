"""Text that fits into 80 columns, and commands that can be copied out of it."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TextIO

from logferry.cli.output import console

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 80

KEPT = (
    "--allow-shrink (in Airflow the param allow_shrink) where a run has fetched them under another definition, found "
    "fewer rows, and left what was proven as it was"
)
"""Why a remedy needs that option."""

_MAKE_A_TERMINAL = {"FORCE_COLOR", "TTY_COMPATIBLE"}
"""Variables by which Rich takes a pipe for a terminal (https://rich.readthedocs.io/en/stable/console.html)."""


def wrapped(text: str, indent: int = 0) -> Iterator[str]:
    """The text in lines of a terminal, those after the first indented two more, or in one of a pipe, where ``grep``
    looks for it. Words longer than a line stay whole."""
    if not _may_be_terminal(sys.stdout):
        yield " " * indent + text
        return
    yield from textwrap.wrap(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )


def lines_for(out: Console, text: str) -> Iterator[str]:
    """A sentence as the console takes it: wrapped between words on a terminal, whole in a pipe."""
    if not out.is_terminal:
        yield text
        return
    yield from textwrap.wrap(
        text,
        max(out.width, WIDTH // 2),
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def lines_on_stderr(text: str) -> Iterator[str]:
    """``lines_for`` a console on stderr, which is not made, and Rich not loaded, where it could find no terminal."""
    if _may_be_terminal(sys.stderr):
        yield from lines_for(console(stderr=True), text)
    else:
        yield text


def _may_be_terminal(stream: TextIO) -> bool:
    return stream.isatty() or not _MAKE_A_TERMINAL.isdisjoint(os.environ)


def labelled(out: Console, label: str, text: str, column: int) -> Iterator[str]:
    """A label and its text from that column on; wrapped between words on a terminal, one line in a pipe."""
    room = out.width - column if out.is_terminal else len(text) + 1
    parts = textwrap.wrap(text, max(room, WIDTH // 2), break_long_words=False, break_on_hyphens=False)
    for at, part in enumerate(parts or [""]):
        yield f"{'' if at else label:<{column}}{part}"


def command_lines(command: str, indent: int = 4) -> Iterator[str]:
    """A command of a shell, continued with a backslash before an option where it is too long."""
    line = " " * indent
    parts = _before_options(command.split(" "))
    for at, part in enumerate(parts):
        last = at == len(parts) - 1
        room = WIDTH if last else WIDTH - 2
        if line.strip() and len(line) + 1 + len(part) > room:
            yield f"{line} \\"
            line = " " * (indent + 2) + part
        else:
            line += f" {part}" if line.strip() else part
    yield line


def listed(lines: Iterable[str], most: int, more: str) -> Iterator[str]:
    """The first lines; instead of the rest how many they are and where to see them."""
    every = list(lines)
    yield from every[:most]
    if len(every) > most:
        yield f"  … and {len(every) - most:,} more: {more}"


def _before_options(words: list[str]) -> list[str]:
    """The words of a command, an option with its value as one."""
    parts: list[str] = []
    for word in words:
        if parts and not word.startswith("--") and (parts[-1].startswith("--") or len(parts) == 1):
            parts[-1] += f" {word}"
        else:
            parts.append(word)
    return parts
