"""A history of known size for measuring clients: both APIs serve it faster than any client reads.

What an export of it must hold is known: ``datadog()`` and ``azure()`` tell the time and the id of every row number,
and ``/_sandbox/truth`` the rows and a checksum of the ids of any range.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from logferry_sandbox.azure_prepared import PreparedTable
from logferry_sandbox.azure_sandbox import WORKSPACE
from logferry_sandbox.azure_tables import app_requests
from logferry_sandbox.datadog_prepared import PreparedEvents


@dataclass(frozen=True, slots=True)
class PreparedHistory:
    """``rows`` rows spread over ``[start, end)``, whole seconds with a zone, one in ``odd_every`` awkward (0: none).

    ``row_bytes``: about as many bytes of JSON each. Methods raise ValueError for what cannot be made.
    """

    rows: int
    start: datetime
    end: datetime
    row_bytes: int = 1100
    odd_every: int = 1000
    seed: int = 0

    def datadog(self) -> PreparedEvents:
        """As events of a Datadog org: a source of ``DatadogStore``."""
        start_s, seconds = self._span()
        return PreparedEvents(
            self.rows,
            start_s=start_s,
            seconds=seconds,
            event_bytes=self.row_bytes,
            odd_every=self.odd_every,
            seed=self.seed,
        )

    def azure(self) -> PreparedTable:
        """As table ``AppRequests`` of a workspace, for ``AzureSandbox``."""
        start_s, seconds = self._span()
        return PreparedTable(
            app_requests(WORKSPACE.guid, WORKSPACE.component_id),
            self.rows,
            start_s=start_s,
            seconds=seconds,
            row_bytes=self.row_bytes,
            odd_every=self.odd_every,
            seed=self.seed,
        )

    def describe(self) -> dict[str, object]:
        """What a client may expect, for a state file."""
        return {"rows": self.rows, "from": self.start.isoformat(), "to": self.end.isoformat()}

    def _span(self) -> tuple[int, int]:
        if self.start.utcoffset() is None or self.end.utcoffset() is None:
            raise ValueError("the times of a prepared history need a zone, such as 2026-11-20T00:00:00Z")
        start_s, end_s = self.start.timestamp(), self.end.timestamp()
        if start_s % 1 or end_s % 1 or end_s <= start_s:
            raise ValueError("a prepared history spans whole seconds, from before to")
        return int(start_s), int(end_s - start_s)
