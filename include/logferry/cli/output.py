"""What goes to the screen: consoles, JSON, and text from logs made harmless for a terminal."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

READER_GONE = 141
"""What a shell calls a command that the end of its pipe has stopped (128 and SIGPIPE)."""

_WIDE = 220
"""Columns of a line when nobody watches: a pipe or a file wraps nothing."""


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr as they are now; text is never read as markup."""
    from rich.console import Console  # a command of plain lines does without

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, markup=False, highlight=False, width=None if stream.isatty() else _WIDE)


def can_show(text: str) -> bool:
    """Whether stdout's encoding has every character of the text."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def say(text: str, *, stderr: bool = False) -> None:
    """One line of plain text."""
    print(text, file=sys.stderr if stderr else sys.stdout, flush=True)


def reader_gone() -> int:
    """The exit code for a reader that has had enough (such as `| head`); keeps the interpreter from failing again at
    its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return READER_GONE


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    say(json_text(value))


def json_text(value: Any) -> str:
    """JSON on one line; escapes everything outside ASCII when the text could not be written otherwise."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def printable(value: Any) -> str:
    """A value on one line without control characters: a log message may hold terminal commands."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json_text(value)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    if char in "\r\n\t":
        return {"\r": "\\r", "\n": "\\n", "\t": " "}[char]
    return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"


def size(count: int) -> str:
    """Bytes for people: ``1.5 MB``."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def lasting(seconds: float | None) -> str:
    """A length of time for people: ``3 min 20 s``."""
    if seconds is None:
        return "unknown until the source names its limits"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def number(count: int | None) -> str:
    """``81,234``; a dash for a number nobody knows."""
    return "-" if count is None else f"{count:,}"
