"""The Azure half of the sandbox: query API, token endpoint, managed identity endpoint and the retired Log
Search API.

Four servers on 127.0.0.1 that share one workspace, one tenant and one register of tokens.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from logferry_sandbox.azure_api import API_FAULTS, QueryApi
from logferry_sandbox.azure_certificates import issue_ca, issue_client, server_tls, write_private
from logferry_sandbox.azure_data import DayTable
from logferry_sandbox.azure_prepared import PreparedTable
from logferry_sandbox.azure_tables import build_tables
from logferry_sandbox.azure_workspace import AzureKnobs, Workspace
from logferry_sandbox.entra import QUERY_AUDIENCE, Application, Entra, ManagedIdentity, TokenRegistry
from logferry_sandbox.faults import FaultPlan, with_faults
from logferry_sandbox.http_server import SandboxServer
from logferry_sandbox.kql_values import parse_datetime
from logferry_sandbox.log_search import LOG_SEARCH_FAULTS, LogSearch, LogSearchKnobs

TENANT_ID = "7a1c0f5e-0000-4000-8000-000000000001"
CLIENT_ID = "7a1c0f5e-0000-4000-8000-000000000002"
CLIENT_SECRET = "sandbox~client~secret"
OUTSIDER_ID = "7a1c0f5e-0000-4000-8000-000000000003"
"""A second application with the same secret that may sign in but holds no role on the workspace."""
MANAGED_ID = "7a1c0f5e-0000-4000-8000-000000000004"
WORKSPACE = Workspace(
    guid="7a1c0f5e-0000-4000-8000-00000000000a",
    name="ferry-logs",
    subscription="7a1c0f5e-0000-4000-8000-00000000000b",
    resource_group="ferry-rg",
)
FEDERATED_TOKEN = "sandbox.federated.token"


class AzureSandbox:
    """Starts and stops the Azure servers; a context manager.

    `rows_per_day` and `hot_tick` (an ISO time with up to 7 decimals, and rows to add at it) are those of
    AppRequests. `ports`: fixed ports for "query", "entra", "arm", "imds"; free ones otherwise. `state_dir`
    receives `ca.pem`, `client.pem` (certificate and key that may sign in) and `federated-token`.
    `prepared` takes the place of the table of its name. `wall_clock` tells the time of day and of token expiry,
    `clock` measures limits and caches, `sleep` spends the latency of queries; all in seconds.
    """

    def __init__(
        self,
        *,
        state_dir: Path,
        seed: int = 7,
        rows_per_day: int | None = None,
        hot_tick: tuple[str, int] | None = None,
        ports: dict[str, int] | None = None,
        knobs: AzureKnobs | None = None,
        busy_days: Iterable[date] = (),
        token_lifetime_s: int = 3599,
        prepared: PreparedTable | None = None,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        ports = ports or {}
        state_dir.mkdir(parents=True, exist_ok=True)
        self.state_dir = state_dir
        self.tokens = TokenRegistry(wall_clock)
        certificate = issue_client("logferry-sandbox")
        self._client_certificate = write_private(state_dir / "client.pem", certificate)
        self._federated_token = state_dir / "federated-token"
        self._federated_token.write_text(FEDERATED_TOKEN)
        self.applications = {
            CLIENT_ID: Application(CLIENT_ID, CLIENT_SECRET, [certificate.certificate], {FEDERATED_TOKEN}),
            OUTSIDER_ID: Application(OUTSIDER_ID, CLIENT_SECRET, may_read=False),
        }
        self.plan = FaultPlan(api_kinds=API_FAULTS)
        self.arm_plan = FaultPlan(api_kinds=LOG_SEARCH_FAULTS)
        self.entra_plan = FaultPlan()
        self.imds_plan = FaultPlan()
        self.tables: dict[str, DayTable | PreparedTable] = {}
        self.tables |= build_tables(
            seed=seed,
            workspace=WORKSPACE.guid,
            resource=WORKSPACE.component_id,
            rows_per_day=rows_per_day,
            hot_ticks=None if hot_tick is None else {_ticks(hot_tick[0]): hot_tick[1]},
        )
        if prepared is not None:
            self.tables[prepared.name] = prepared
        self.query = QueryApi(
            WORKSPACE,
            self.tables,
            self.tokens,
            self.applications,
            self.plan,
            knobs=knobs,
            clock=clock,
            sleep=sleep,
        )
        self.entra = Entra(TENANT_ID, self.applications, self.tokens, token_lifetime_s=token_lifetime_s)
        self.managed_identity = ManagedIdentity(MANAGED_ID, self.tokens)
        self.log_search = LogSearch(
            WORKSPACE,
            self.tokens,
            self.applications,
            self.arm_plan,
            seed=seed,
            knobs=LogSearchKnobs(busy_days=frozenset(busy_days)),
            clock=clock,
        )
        tls = server_tls(issue_ca(), state_dir)
        self._servers: dict[str, SandboxServer] = {}
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            for name, app, context in (
                ("query", with_faults(self.query.app, self.plan), None),
                ("entra", with_faults(self.entra.app, self.entra_plan), tls),
                ("arm", with_faults(self.log_search.app, self.arm_plan), None),
                ("imds", with_faults(self.managed_identity.app, self.imds_plan), None),
            ):
                self._servers[name] = SandboxServer(app, port=ports.get(name, 0), tls=context)
            undo.pop_all()

    def start(self) -> None:
        """Begin to serve."""
        for server in self._servers.values():
            server.start()

    def stop(self) -> None:
        """Stop serving and close the sockets."""
        for server in self._servers.values():
            server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def describe(self) -> dict[str, Any]:
        """Everything a client needs: addresses, credentials, names, and the CA file for the token
        endpoint.
        """
        return {
            "query_endpoint": self._servers["query"].base_url,
            "arm_endpoint": self._servers["arm"].base_url,
            "authority": f"{self._servers['entra'].base_url}/{TENANT_ID}",
            "imds_endpoint": self._servers["imds"].base_url,
            "ca_bundle": str(self.state_dir / "ca.pem"),
            "tenant_id": TENANT_ID,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "certificate_path": str(self._client_certificate),
            "federated_token_file": str(self._federated_token),
            "managed_identity_client_id": MANAGED_ID,
            "workspace": WORKSPACE.guid,
            "subscription": WORKSPACE.subscription,
            "resource_group": WORKSPACE.resource_group,
            "workspace_name": WORKSPACE.name,
            "scope": f"{QUERY_AUDIENCE}/.default",
        }


def _ticks(text: str) -> int:
    ticks = parse_datetime(text)
    if ticks is None:
        raise ValueError(f"hot_tick: {text!r} is no time")
    return ticks
