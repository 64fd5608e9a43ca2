"""What the sandbox really holds, slice by slice, worked out without the engine: ids, and a hash of each row."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
from tests.chaos.arrivals import HeldBack, is_late
from tests.chaos.world import EXPORTS, World

from logferry.window import TICK_PER_HOUR, TICK_PER_MS
from logferry_sandbox.datadog_query import parse_query
from logferry_sandbox.datadog_store import DatadogStore, Selection
from logferry_sandbox.kql_values import UNIX_EPOCH_TICKS

Rows = dict[str, str]
"""``{id: hash of what the row says}``."""

_AZURE_COLUMNS = ("Name", "Url", "Success", "ResultCode", "DurationMs", "OperationId", "AppRoleName")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class SliceTruth:
    """A slice before and after its late rows arrived; the same where it has none."""

    early: Rows
    whole: Rows


class Truth:
    """The truth of every slice, and when late rows came."""

    def __init__(self, world: World) -> None:
        self._late_hours = world.late_hours
        nothing = HeldBack(())
        self._store = DatadogStore(world.datadog(nothing))
        self._table = world.azure(nothing)
        self._released: dict[int, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def released(self, hours: Iterable[int], before: int, after: int) -> None:
        """The late rows of these hours arrived between these two ticks; only the first time counts."""
        for hour in hours:
            self._released.setdefault(hour, (before, after))

    @property
    def arrived(self) -> frozenset[int]:
        """The late hours whose rows are all there."""
        return frozenset(self._released)

    @cache  # noqa: B019 - lives as long as the run
    def _of(self, export: str, hour: int) -> SliceTruth:
        with self._lock:
            rows = self._events(hour) if EXPORTS[export] == "datadog" else self._requests(hour)
            whole = dict(rows)
        late = {row for row in whole if hour in self._late_hours and is_late(row.encode())}
        return SliceTruth({row: said for row, said in whole.items() if row not in late}, whole)

    def of(self, export: str, hour: int) -> SliceTruth:
        """The rows of one slice; ``hour`` since the epoch."""
        return self._of(export, hour)

    def possible_counts(self, export: str, hour: int, at: int, slack: int) -> set[int]:
        """How many rows a count may have seen at tick ``at``, give or take ``slack`` ticks."""
        truth = self.of(export, hour)
        if hour not in self._late_hours:
            return {len(truth.whole)}
        before, after = self._released.get(hour, (1 << 62, 1 << 62))
        found = set()
        if at - slack <= after:
            found.add(len(truth.early))
        if at + slack >= before:
            found.add(len(truth.whole))
        return found

    def _events(self, hour: int) -> Iterator[tuple[str, str]]:
        everything = parse_query("*")
        first = hour * TICK_PER_HOUR // TICK_PER_MS
        for segment in self._store.segments(
            Selection(everything, everything), first, first + TICK_PER_HOUR // TICK_PER_MS
        ):
            view = segment.view
            bodies = view.bodies(segment.start, segment.end)
            for position, body in enumerate(bodies, segment.start):
                event = _loads(body.decode())["attributes"]
                yield (
                    view.id(position).decode(),
                    _said(
                        view.times[position],
                        _text(event.get("message")),
                        _strings(event.get("tags")),
                        event.get("attributes"),
                    ),
                )

    def _requests(self, hour: int) -> Iterator[tuple[str, str]]:
        start = hour * TICK_PER_HOUR + UNIX_EPOCH_TICKS
        for batch in self._table.scan(start, start + TICK_PER_HOUR):
            values = {name: vector.values() for name, vector in batch.columns.items()}
            for row in range(batch.size):
                yield (
                    values["_ItemId"][row],
                    _said(
                        values["TimeGenerated"][row] - UNIX_EPOCH_TICKS,
                        *(values[name][row] for name in _AZURE_COLUMNS),
                        _parsed(json.dumps(values["Properties"][row])),
                    ),
                )


def lake_rows(export: str, table: pa.Table) -> list[tuple[str, int, str]]:
    """``(id, tick, hash)`` of each row of a published object."""
    if EXPORTS[export] == "datadog":
        ticks = [us * 10 for us in table["timestamp"].cast(pa.int64()).to_pylist()]
        columns = [table[name].to_pylist() for name in ("id", "message", "tags", "attributes")]
        return [
            (row_id, tick, _said(tick // TICK_PER_MS, message, tags, _parsed(attributes)))
            for tick, row_id, message, tags, attributes in zip(ticks, *columns, strict=True)
        ]
    ticks = table["_ticks"].to_pylist()
    columns = [table[name].to_pylist() for name in ("_ItemId", *_AZURE_COLUMNS, "Properties")]
    return [
        (row_id, tick, _said(tick, *said, _parsed(properties)))
        for tick, row_id, *said, properties in zip(ticks, *columns, strict=True)
    ]


def _said(*values: Any) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _text(value: Any) -> str | None:
    return _LONE_SURROGATE.sub("\ufffd", value) if isinstance(value, str) else None


def _strings(value: Any) -> list[str] | None:
    return [_LONE_SURROGATE.sub("\ufffd", tag) for tag in value] if isinstance(value, list) else None


def _loads(text: str) -> Any:
    """JSON whose numbers keep their spelling."""
    return json.loads(text, parse_float=str, parse_int=str)


def _parsed(text: str | None) -> Any:
    return None if text is None else _loads(text)
