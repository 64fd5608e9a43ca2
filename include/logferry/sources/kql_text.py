"""Names and literals of KQL as text."""

from __future__ import annotations

import re

from logferry.window import TICK_PER_DAY, TICK_PER_SECOND, format_instant

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def name(text: str) -> str:
    """A table or column name, as ``['…']`` unless it is plain.

    A name in lower case could be a keyword (KQL's are, and KQL distinguishes case), so it is bracketed too.
    https://learn.microsoft.com/kusto/query/schema-entities/entity-names
    """
    if _PLAIN.fullmatch(text) and (text != text.lower() or text[0] == "_"):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"


def instant(tick: int) -> str:
    """A ``datetime`` literal, exact: seven decimals and ``Z``."""
    fraction = tick % TICK_PER_SECOND
    whole = format_instant(tick - fraction).removesuffix("Z")
    return f"datetime({whole}.{fraction:07d}Z)"


def duration(ticks: int) -> str:
    """A ``timespan`` literal, exact."""
    days, rest = divmod(ticks, TICK_PER_DAY)
    seconds, fraction = divmod(rest, TICK_PER_SECOND)
    return f"timespan({days}.{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:07d})"
