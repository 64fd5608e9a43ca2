"""A small Datadog org for the sandbox's own tests: started per test, reached over a real socket."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from logferry_sandbox.datadog_sandbox import DatadogSandbox
from logferry_sandbox.datadog_settings import DatadogSettings
from logferry_sandbox.datadog_store import DatadogStore
from logferry_sandbox.datadog_time import format_instant

SEARCH = "/api/v2/logs/events/search"
AGGREGATE = "/api/v2/logs/analytics/aggregate"
NOON_MS = 1_795_176_000_000  # 2026-11-20T12:00:00Z
MINUTE_FILTER = {"from": "2026-11-20T12:00:00Z", "to": "2026-11-20T12:01:00Z"}


@dataclass
class Org:
    """One running sandbox and a client holding its full keys. ``now_ms`` is its clock."""

    sandbox: DatadogSandbox
    session: requests.Session
    clock: list[int]

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.session.post(self.sandbox.base_url + path, json=body, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.sandbox.base_url + path, **options)

    def search(self, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self.post(SEARCH, body or {})
        answer.raise_for_status()
        parsed: dict[str, Any] = answer.json()
        return parsed

    def set(self, **settings: Any) -> None:
        answer = self.session.patch(self.sandbox.base_url + "/_sandbox/settings", json=settings)
        assert answer.status_code == 200, answer.text

    def fault(self, kind: str, **rule: Any) -> None:
        answer = self.post("/_sandbox/faults", [{"fault": kind, **rule}])
        assert answer.status_code == 200, answer.text

    def walk(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The pages of a search, each as the parsed answer, until one has no cursor or no rows."""
        page = dict(body.get("page", {}))
        while True:
            answer = self.search({**body, "page": page})
            yield answer
            after = ((answer.get("meta") or {}).get("page") or {}).get("after")
            if after is None or not answer["data"]:
                return
            page["cursor"] = after


def event(event_id: str, at_ms: int = NOON_MS, **attributes: Any) -> dict[str, Any]:
    """A minimal event of the API's shape."""
    return {"id": event_id, "attributes": {"timestamp": format_instant(at_ms), **attributes}}


StartOrg = Callable[..., Org]


@pytest.fixture
def start_org() -> Iterator[StartOrg]:
    started: list[Org] = []

    def start(
        *events: Any, flex_only: Any = (), settings: DatadogSettings | None = None, **options: Any
    ) -> Org:
        clock = [NOON_MS + 60_000]
        store = DatadogStore(events=events, flex_only=flex_only) if events or flex_only else None
        sandbox = DatadogSandbox(store=store, settings=settings, clock=lambda: clock[0], **options)
        sandbox.start()
        session = requests.Session()
        session.trust_env = False
        described = sandbox.describe()
        session.headers["DD-API-KEY"] = described["api_key"]
        session.headers["DD-APPLICATION-KEY"] = described["app_key"]
        org = Org(sandbox, session, clock)
        started.append(org)
        return org

    yield start
    for org in started:
        org.session.close()
        org.sandbox.stop()


@pytest.fixture
def five_events(start_org: StartOrg) -> Org:
    """Five events in the minute from noon, a second apart: e0 … e4."""
    return start_org(*(event(f"e{n}", NOON_MS + n * 1000, message=f"number {n}") for n in range(5)))
