"""The sandbox in a process of its own: started, told its latency, asked for its counters and for the truth."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from benchmarks.measure import last_words
from benchmarks.places import PRODUCT_PYTHON, ROOT

_NO_CAP = 1_000_000_000
_HOUR_S = 3600
_TICKS_PER_S = 10_000_000
_PURPOSES = {
    "POST /api/v2/logs/events/search": "search",
    "GET /api/v2/logs/events": "search",
    "POST /api/v2/logs/analytics/aggregate": "count",
}
_FORM = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Truth:
    """What the server holds of a window: rows, and a digest of its ids (see ``check``)."""

    rows: int
    ids_sha256: str


class Sandbox:
    """The sandbox of one API with a prepared history, as a context manager.

    ``rows`` of about ``event_bytes`` lie evenly in ``held`` (two whole seconds, ISO 8601). Caps on the rate of requests
    are lifted; answers are not compressed, which would cost the server more than all the rest.
    """

    def __init__(self, api: str, rows: int, *, event_bytes: int, held: tuple[str, str]) -> None:
        self.api = api
        self.table = "AppRequests"
        self._folder = tempfile.TemporaryDirectory(prefix="logferry-bench-server-")
        stderr = Path(self._folder.name) / "stderr"
        with stderr.open("wb") as err:
            self._process = subprocess.Popen(
                _command(api, rows, event_bytes, held),
                stdout=subprocess.PIPE,
                stderr=err,
                cwd=ROOT,
                text=True,
            )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            self._process.wait()
            said = last_words(stderr)
            self.stop()
            raise SystemExit(f"bench: the sandbox did not start: {said}")
        self.described: dict[str, Any] = json.loads(line)[api]
        self.base_url: str = self.described["base_url" if api == "datadog" else "query_endpoint"]

    def configure(self, *, latency_ms: int, limits: Mapping[str, Any] | None = None) -> None:
        """Set how long each answer takes at least, and any further settings of the API's sandbox."""
        settings = {"latency_s": latency_ms / 1000, "compress": False, **(limits or {})}
        if self.api == "datadog":
            caps = {"search_limit": _NO_CAP, "aggregate_limit": _NO_CAP}
            self._call("PATCH", "/_sandbox/settings", {**caps, **settings})
        else:
            # A cached answer would make the second contestant faster than the first.
            self._call("POST", "/_sandbox/knobs", {"rate_limit": _NO_CAP, "cache_s": 0, **settings})

    def stats(self) -> dict[str, Any]:
        """Counters since the start: ``requests`` by endpoint and status, ``rows_served``, ``throttled``."""
        stats: dict[str, Any] = self._call("GET", "/_sandbox/stats")
        return stats

    def truth(self, start: str, end: str) -> Truth:
        """What ``[start, end)`` holds."""
        if self.api == "datadog":
            found = self._call("GET", "/_sandbox/truth?" + urlencode({"from": start, "to": end}))
            return Truth(found["rows"], found["ids_sha256"])
        bounds = {"from_tick": _unix_s(start) * _TICKS_PER_S, "to_tick": _unix_s(end) * _TICKS_PER_S}
        asked = {"table": self.table, **bounds}
        found = self._call("GET", "/_sandbox/truth?" + urlencode(asked))
        return Truth(found["rows"], found["item_ids_sha256"])

    def rows_by_hour(self, start: str, end: str) -> list[int]:
        """How many rows each hour of ``[start, end)`` holds."""
        hours = range(_unix_s(start), _unix_s(end), _HOUR_S)
        return [self.truth(_instant(hour), _instant(hour + _HOUR_S)).rows for hour in hours]

    def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(
            self.base_url + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=600) as answer:
            return json.load(answer)

    def stop(self) -> None:
        """End the server and remove its files."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass(frozen=True, slots=True)
class Served:
    """What the server did between two moments; see ``Round``."""

    requests: dict[str, int]
    throttled: int
    rows: int
    bytes: int
    cpu_s: float


def served_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> Served:
    """The difference of two ``stats``."""
    return Served(
        requests=_difference(_requests(before), _requests(after)),
        throttled=after["throttled"] - before["throttled"],
        rows=after["rows_served"] - before["rows_served"],
        bytes=after["body_bytes"] - before["body_bytes"],
        cpu_s=after["cpu_s"] - before["cpu_s"],
    )


def _requests(stats: Mapping[str, Any]) -> dict[str, int]:
    """Requests by purpose: ``search``, ``count``, ``schema``, and ``other`` for those refused unread."""
    found: dict[str, int] = dict(stats["purposes"])
    unnamed = -sum(found.values())
    for endpoint, statuses in stats["requests"].items():
        count = sum(statuses.values())
        if purpose := _PURPOSES.get(endpoint):
            found[purpose] = found.get(purpose, 0) + count
        else:
            unnamed += count
    return {**found, "other": unnamed} if unnamed else found


def _difference(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}


def _command(api: str, rows: int, event_bytes: int, held: tuple[str, str]) -> list[str]:
    history = ["--prepared", str(rows), "--event-bytes", str(event_bytes), "--from", held[0], "--to", held[1]]
    others = ["--no-azure"] if api == "datadog" else []
    return [str(PRODUCT_PYTHON), "-m", "logferry_sandbox", *history, *others]


def _unix_s(instant: str) -> int:
    """Seconds since 1970 of a whole UTC second such as ``2026-03-02T00:00:00Z``."""
    return timegm(time.strptime(instant, _FORM))


def _instant(unix_s: int) -> str:
    return time.strftime(_FORM, time.gmtime(unix_s))
