"""The workspace the Azure sandbox plays, and the knobs that set its limits while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Workspace:
    """The one workspace of the sandbox and the resources whose logs it holds."""

    guid: str
    name: str
    subscription: str
    resource_group: str

    @property
    def resource_id(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourcegroups/{self.resource_group}"
            f"/providers/microsoft.operationalinsights/workspaces/{self.name}"
        )

    @property
    def component_id(self) -> str:
        """The Application Insights component that writes to the workspace."""
        return (
            f"/subscriptions/{self.subscription}/resourcegroups/{self.resource_group}"
            "/providers/microsoft.insights/components/web-shop"
        )


@dataclass(slots=True)
class AzureKnobs:
    """Limits and choices of the sandbox, changeable while it runs (`POST /_sandbox/knobs`).

    `partial_rows`/`partial_bytes`: which message (3 or 4, 1, 2 or 5) tells of too many rows or bytes.
    `scan_limit`: a query that reads more rows times out. `shuffle`: rows come in another order than by time
    unless sorted. `latency_s`: how long every query takes at least, one of the `concurrency`. `compress`: gzip for
    clients that take it.
    """

    max_rows: int = 500_000
    max_bytes: int = 64_000_000
    partial_rows: int = 3
    partial_bytes: int = 1
    rate_limit: int = 200
    rate_window_s: int = 30
    retry_after: bool = True
    concurrency: int = 5
    scan_limit: int = 5_000_000
    cache_s: int = 120
    timespan_end_inclusive: bool = True
    shuffle: bool = True
    latency_s: float = 0.0
    compress: bool = True

    def update(self, values: Mapping[str, Any]) -> None:
        """Set knobs by name; raises ValueError for an unknown name or another type."""
        known = {field.name for field in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"unknown knob {name!r}; known: {', '.join(sorted(known))}")
            if type(value) is not type(getattr(self, name)):
                raise ValueError(f"knob {name!r} takes a {type(getattr(self, name)).__name__}")
        for name, value in values.items():
            setattr(self, name, value)

    def as_json(self) -> dict[str, Any]:
        """Every knob by name."""
        return asdict(self)
