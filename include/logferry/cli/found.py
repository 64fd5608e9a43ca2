"""The rows of an ad-hoc search on the screen: table or records, NDJSON, one JSON object."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from logferry.adhoc import FoundEvent
from logferry.cli.output import console, json_text, printable, say
from logferry.window import Window, format_instant
from logferry.wording import counted

_LINE_ENDS = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}
"""Legal inside a JSON string, but many readers of lines take them for the end of one."""
_EVENT_COLUMNS = ("timestamp", "status", "service", "host", "message")


@dataclass(frozen=True, slots=True)
class Shape:
    """How to show rows; neither: for people."""

    json: bool
    ndjson: bool


@dataclass(slots=True)
class Found:
    """What was asked and what came: ``events`` of Datadog (may still be on their way) or ``records`` of Azure.

    ``total``: rows that match, where the source says so. ``top``: rows it returned, by its own account.
    """

    kind: str
    query: str
    window: Window
    sort: str | None
    limit: int
    events: Iterable[FoundEvent] = ()
    records: list[dict[str, Any]] = field(default_factory=list)
    total: int | None = None
    top: int | None = None

    def lines(self) -> Iterator[str]:
        """Each row as one line of JSON; events with every digit as received."""
        for event in self.events:
            yield event.raw.decode("utf-8", "replace").translate(_LINE_ENDS)
        for record in self.records:
            yield json_text(record).translate(_LINE_ENDS)


def show(found: Found, shape: Shape) -> None:
    """Print the rows."""
    people = not (shape.json or shape.ndjson)
    if found.total is not None:
        say(f"Total records: {found.total}", stderr=not people)
        say(f"Returned top: {found.top}", stderr=not people)
    if shape.ndjson:
        count = 0
        for line in found.lines():
            say(line)
            count += 1
        _note_limit(found, count)
    elif shape.json:
        _show_object(found)
    elif found.total is None:
        _show_events(found)
    else:
        _show_records(found.records)


def _show_object(found: Found) -> None:
    lines = list(found.lines())
    head = {
        "kind": found.kind,
        "query": found.query,
        "from": format_instant(found.window.start),
        "to": format_instant(found.window.end),
        "sort": found.sort,
        "total": found.total,
        "returned": len(lines),
    }
    # Joined as text, so that events keep every digit they were received with.
    say(f'{json.dumps(head)[:-1]}, "rows": [{", ".join(lines)}]}}')


def _show_events(found: Found) -> None:
    table = Table(box=None, pad_edge=False)
    for name in _EVENT_COLUMNS:
        table.add_column(name, overflow="fold", no_wrap=name in ("timestamp", "status"))
    count = 0
    for event in found.events:
        attributes = event.value.get("attributes")
        fields = attributes if isinstance(attributes, dict) else {}
        table.add_row(*(Text(printable(fields.get(name))) for name in _EVENT_COLUMNS))
        count += 1
    if count:
        console().print(table)
    say(counted(count, "event"))
    _note_limit(found, count)


def _show_records(records: list[dict[str, Any]]) -> None:
    for number, record in enumerate(records, start=1):
        say(f"{os.linesep if number > 1 else ''}-- {number}")
        width = max((len(name) for name in record), default=0)
        for name, value in record.items():
            if value is not None:
                say(f"{printable(name):<{width}}  {printable(value)}")


def _note_limit(found: Found, count: int) -> None:
    if count == found.limit:
        say(f"stopped at --limit {found.limit}; there may be more", stderr=True)
