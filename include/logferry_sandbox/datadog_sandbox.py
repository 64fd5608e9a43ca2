"""The Datadog half of the sandbox: generated days behind a local server."""

from types import TracebackType
from typing import Self

from logferry_sandbox.datadog_api import DatadogApi
from logferry_sandbox.datadog_data import GeneratedDays
from logferry_sandbox.datadog_settings import FULL, NO_LOGS, RESTRICTED, DatadogSettings
from logferry_sandbox.datadog_store import DatadogStore
from logferry_sandbox.faults import FaultPlan
from logferry_sandbox.http_server import SandboxServer
from logferry_sandbox.rate_limit import Clock, system_clock


class DatadogSandbox:
    """A Datadog org to start and stop, also a context manager.

    ``store`` replaces the generated days; ``ports``: ``{"datadog": n}``, 0 is free; ``plan`` needs
    ``api_kinds=SEARCH_FAULTS``. Tests in the same process change ``api.settings`` and ``api.plan``, others
    use the control endpoints under ``/_sandbox/``.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        events_per_day: int = 4000,
        burst: int = 1500,
        ports: dict[str, int] | None = None,
        settings: DatadogSettings | None = None,
        plan: FaultPlan | None = None,
        store: DatadogStore | None = None,
        clock: Clock = system_clock,
    ) -> None:
        days = GeneratedDays(seed=seed, events_per_day=events_per_day, burst=burst)
        self.store = store or DatadogStore(days)
        self.api = DatadogApi(self.store, settings=settings, plan=plan, clock=clock)
        self._server = SandboxServer(self.api.app, port=(ports or {}).get("datadog", 0))
        self.base_url = self._server.base_url

    def start(self) -> None:
        """Begin to serve; returns at once."""
        self._server.start()

    def stop(self) -> None:
        """Stop serving; may be called twice."""
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def describe(self) -> dict[str, str]:
        """The address and the fake keys of this org, for clients and for a state file."""
        return {
            "base_url": self.base_url,
            "api_key": self.api.settings.api_key,
            "app_key": FULL.app_key,
            "bearer_token": FULL.bearer,
            "app_key_without_logs": NO_LOGS.app_key,
            "app_key_restricted": RESTRICTED.app_key,
        }
