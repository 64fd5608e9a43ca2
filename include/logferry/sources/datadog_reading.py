"""Pages of Datadog's log search, from the bytes of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from logferry.convert.datadog import read_events, to_batch
from logferry.convert.datadog_events import read_answer
from logferry.sources.base import Page
from logferry.sources.datadog_answers import read_end, read_search

if TYPE_CHECKING:
    from logferry.spec import ColumnSpec


class DatadogReading:
    """A Reading of search answers with status 200; ``columns`` are the promoted ones."""

    def __init__(self, columns: Mapping[str, ColumnSpec]) -> None:
        self._columns = columns
        self._expect_odd = False
        """Whether the newest page held an odd event. Threads may overwrite each other's: it only saves time."""

    def __reduce__(self) -> tuple[Any, ...]:
        return DatadogReading, (self._columns,)

    def __call__(self, body: bytes) -> Page:
        """Raises FailedAnswer when the answer is not whole."""
        answer = read_answer(body, expect_odd=self._expect_odd)
        if answer is None:
            # Another shape of an end, or no answer at all: the exact reason takes longer.
            data, after = read_search(body)
            batch, notes = read_events(data, self._columns)
        else:
            after = read_end(answer.meta, answer.errors)
            self._expect_odd = bool(answer.events.odd)
            batch, notes = to_batch(answer.events, self._columns)
        return Page(pa.Table.from_batches([batch]), after, len(body), notes)
