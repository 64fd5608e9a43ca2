"""The doctor's checks of one source, each a question of at most a few requests."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

from logferry.adhoc import DatadogSearch, event_tick
from logferry.budget.opening import open_budget
from logferry.cli.output import number
from logferry.connection import connection_for
from logferry.credentials.azure import azure_access
from logferry.credentials.datadog import datadog_access
from logferry.errors import CountUnavailable, LogferryError
from logferry.fetching.fetch import fetch_slice
from logferry.http import Client
from logferry.sources.azure_adhoc import LegacyAnswer, run_kql, run_log_search
from logferry.sources.azure_search_job import LegacyWorkspace
from logferry.sources.base import LogSource, Request, Response
from logferry.sources.opening import open_source
from logferry.spec import (
    AzureLogSearchSourceSpec,
    AzureMonitorSourceSpec,
    DatadogSourceSpec,
    ExportSpec,
    SourceSpec,
)
from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_MINUTE,
    TICK_PER_MS,
    Window,
    format_instant,
    parse_instant,
)

T = TypeVar("T")
Exchange = Callable[[], Generator[Request, Response, T]]

_SETTLE = 30 * TICK_PER_MINUTE
_MOST_ROWS = 20_000
"""An hour with more rows than this is not fetched only to be counted."""
_FINDING = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor. ``exit_code`` is 0 unless the check failed."""

    kind: str
    check: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""
    exit_code: int = 0

    def line(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.status:<4}  {self.kind}: {self.check}: {self.detail}{remedy}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Examination:
    """Examines one source through its connection; ``now`` is a tick."""

    def __init__(self, source: SourceSpec, *, now: int) -> None:
        self._spec = source
        self._end = (now - _SETTLE) // TICK_PER_HOUR * TICK_PER_HOUR
        self._headers: list[tuple[str, dict[str, str]]] = []

    def findings(self) -> Iterator[Finding]:
        """The findings in order; a failed check ends the examination."""
        for check, examine in (
            ("connection", self._connection),
            ("credentials", self._credentials),
            ("read permission", self._permission),
            ("counts", self._counts),
            ("count exactness", self._exactness),
            ("bounds", self._bounds),
            ("limits", self._limits),
        ):
            try:
                yield examine()
            except LogferryError as error:
                yield Finding(self._spec.kind, check, "fail", str(error), exit_code=error.exit_code)
                return

    def _ok(self, check: str, detail: str) -> Finding:
        return Finding(self._spec.kind, check, "ok", detail)

    def _warn(self, check: str, detail: str, remedy: str = "") -> Finding:
        return Finding(self._spec.kind, check, "warn", detail, remedy)

    def _connection(self) -> Finding:
        self._conn = connection_for(self._spec.connection, self._spec.kind)
        opened = open_source(_export(self._spec), self._conn)
        self._source: LogSource = opened.source
        budget = open_budget(opened.auth.key, self._conn, connection_for)
        self._client = Client(opened.auth, ca_bundle=opened.ca_bundle, budget=budget)
        endpoint = opened.source.identity()["endpoint"]
        return self._ok("connection", f"{self._conn.conn_id} of type {self._conn.conn_type}, {endpoint}")

    def _credentials(self) -> Finding:
        names = ", ".join(sorted(self._client.auth.headers()))
        what = "a token was issued" if self._spec.kind != "datadog" else "present"
        return self._ok("credentials", f"{what} ({names})")

    def _permission(self) -> Finding:
        day = Window(self._end - TICK_PER_DAY, self._end)
        match self._spec:
            case DatadogSourceSpec():
                rows = len(self._run(lambda: self._datadog(day, page_rows=1).page(None))[0])
            case AzureMonitorSourceSpec() as spec:
                access = azure_access(self._conn)
                query = f"['{spec.table}'] | take 1"
                rows = len(self._run(lambda: run_kql(access.query_endpoint, spec.workspace, query, day)).rows)
            case AzureLogSearchSourceSpec():
                rows = len(self._run(lambda: self._legacy(day.start, day.end)).rows)
        if rows == 0:
            return self._warn(
                "read permission",
                f"a search works, but found nothing from {format_instant(day.start)} to "
                f"{format_instant(day.end)}",
                "a restricted key shows fewer rows without saying so: compare with the vendor's own page",
            )
        return self._ok("read permission", "a search gives rows")

    def _counts(self) -> Finding:
        hours = 6 if self._spec.kind == "azure_log_search" else 24
        window = Window(self._end - hours * TICK_PER_HOUR, self._end)
        self._hours: dict[int, int] | None = None
        try:
            self._hours = self._run(lambda: self._source.count(window, TICK_PER_HOUR))
        except CountUnavailable as error:
            return self._warn("counts", str(error), "windows can be exported but will be unproven")
        rows = sum(self._hours.values())
        return self._ok("counts", f"{number(rows)} rows in the {hours} hours to {format_instant(self._end)}")

    def _exactness(self) -> Finding:
        filled = {start: rows for start, rows in (self._hours or {}).items() if rows}
        if not filled:
            return self._warn("count exactness", "not measurable here: there are no counted rows")
        start = min(filled, key=lambda hour: (filled[hour], -hour))
        if filled[start] > _MOST_ROWS:
            return self._warn("count exactness", f"not measured: every hour holds over {_MOST_ROWS:,} rows")
        hour = Window(start, start + TICK_PER_HOUR)
        schema = self._run(lambda: self._source.schema(hour))
        tables = fetch_slice(
            self._client, self._source, hour, schema, planned=None, notes={}, on_page=lambda rows, size: None
        )
        fetched = sum(table.num_rows for table in tables)
        counted = self._run(lambda: self._source.count(hour, TICK_PER_HOUR)).get(start, 0)
        numbers = f"{number(counted)} counted, {number(fetched)} fetched in {hour}"
        if counted != fetched:
            return Finding(
                self._spec.kind, "count exactness", "fail", numbers,
                "rows may still be arriving: try again later", _FINDING,
            )  # fmt: skip
        return self._ok("count exactness", numbers)

    def _bounds(self) -> Finding:
        measured: tuple[bool, bool] | None
        match self._spec:
            case AzureMonitorSourceSpec():
                return self._ok("bounds", "exact: each query says >= from and < to itself")
            case DatadogSourceSpec():
                measured = self._datadog_bounds()
            case AzureLogSearchSourceSpec():
                measured = self._legacy_bounds()
        if measured is None:
            return self._warn("bounds", "not measurable here: no row stands alone on a millisecond")
        words = ["inclusive" if inclusive else "exclusive" for inclusive in measured]
        return self._ok("bounds", f"from is {words[0]}, to is {words[1]} (exports are right either way)")

    def _datadog_bounds(self) -> tuple[bool, bool] | None:
        day = Window(self._end - TICK_PER_DAY, self._end)
        events, _ = self._run(lambda: self._datadog(day, page_rows=100).page(None))
        ticks = [tick for tick in map(event_tick, events) if tick is not None]
        for tick in ticks:
            # Alone on its millisecond, so that one small page holds it if the bound does.
            if ticks.count(tick) == 1:
                return self._datadog_holds(tick, tick, tick + TICK_PER_MS), self._datadog_holds(
                    tick, tick - TICK_PER_MS, tick
                )
        return None

    def _datadog_holds(self, tick: int, start: int, end: int) -> bool:
        asked = self._datadog(Window(start, end), page_rows=1000, margin_ms=0)
        events, _ = self._run(lambda: asked.page(None))
        return any(event_tick(event) == tick for event in events)

    def _legacy_bounds(self) -> tuple[bool, bool] | None:
        day = Window(self._end - TICK_PER_DAY, self._end)
        found = self._run(lambda: self._legacy(day.start, day.end, top=500)).rows
        ticks = sorted(_legacy_ticks(found))
        for before, tick, after in zip(ticks, ticks[1:], ticks[2:], strict=False):
            if tick % TICK_PER_MS == 0 and min(tick - before, after - tick) > TICK_PER_MS:
                first = self._run(lambda at=tick: self._legacy(at, at + TICK_PER_MS))  # type: ignore[misc]
                second = self._run(lambda at=tick: self._legacy(at - TICK_PER_MS, at))  # type: ignore[misc]
                return first.total > 0, second.total > 0
        return None

    def _limits(self) -> Finding:
        seen: dict[str, str] = {}
        for bucket, headers in self._headers:
            if "x-ratelimit-limit" in headers:
                seen[bucket] = (
                    f"{headers.get('x-ratelimit-name', bucket)} {headers['x-ratelimit-limit']} requests per "
                    f"{headers.get('x-ratelimit-period', '?')} s, "
                    f"{headers.get('x-ratelimit-remaining', '?')} left"
                )
        text = "; ".join(seen.values()) or "the answers name none"
        if self._spec.kind != "datadog":
            text += " (documented: 200 requests per 30 s for one principal)"
        if self._client.stats["throttled"]:
            return self._warn(
                "limits", f"{text}; {self._client.stats['throttled']} requests were throttled",
                "something else uses the same allowance",
            )  # fmt: skip
        return self._ok("limits", text)

    def _datadog(self, window: Window, *, page_rows: int, margin_ms: int = 1) -> DatadogSearch:
        assert isinstance(self._spec, DatadogSourceSpec)
        return DatadogSearch(
            base_url=datadog_access(self._conn).base_url,
            query=self._spec.query,
            window=window,
            indexes=self._spec.indexes,
            storage_tier=self._spec.storage_tier,
            page_rows=page_rows,
            margin_ms=margin_ms,
        )

    def _legacy(self, start: int, end: int, *, top: int = 1) -> Generator[Request, Response, LegacyAnswer]:
        assert isinstance(self._spec, AzureLogSearchSourceSpec)
        place = LegacyWorkspace(
            azure_access(self._conn).arm_endpoint,
            self._spec.subscription,
            self._spec.resource_group,
            self._spec.workspace,
        )
        return run_log_search(place, query=self._spec.query, top=top, window=Window(start, end))

    def _run(self, exchange: Exchange[T]) -> T:
        return self._client.run(lambda: self._watched(exchange()))

    def _watched(self, inner: Generator[Request, Response, T]) -> Generator[Request, Response, T]:
        """The same exchange, with the headers of its answers kept for the check of limits."""
        try:
            request = next(inner)
            while True:
                response = yield request
                self._headers.append((request.bucket, dict(response.headers)))
                request = inner.send(response)
        except StopIteration as stop:
            result: T = stop.value
            return result


def _export(source: SourceSpec) -> ExportSpec:
    """The smallest export around a source; only its source is used."""
    return ExportSpec(name="doctor", source=source, schedule="@daily", start=0, horizon=0)


def _legacy_ticks(rows: list[dict[str, Any]]) -> Iterator[int]:
    for row in rows:
        try:
            yield parse_instant(row["TimeGenerated"])
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
