"""From an export definition and its connection to its source."""

from __future__ import annotations

from dataclasses import dataclass

from logferry.connection import Connection
from logferry.credentials.authenticator import Authenticator
from logferry.sources.base import LogSource
from logferry.spec import AzureLogSearchSourceSpec, AzureMonitorSourceSpec, DatadogSourceSpec, ExportSpec


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source and what its client needs to send for it."""

    source: LogSource
    auth: Authenticator
    ca_bundle: str | None


def open_source(spec: ExportSpec, connection: Connection) -> OpenedSource:
    """Raises DefinitionError or CredentialsError when the connection does not fit the kind."""
    # Each kind pays for its own client and credentials only.
    match spec.source:
        case DatadogSourceSpec() as datadog:
            from logferry.credentials.datadog import datadog_access
            from logferry.sources.datadog import DatadogSource

            access = datadog_access(connection)
            return OpenedSource(
                DatadogSource(datadog, spec.columns, base_url=access.base_url, org=access.org),
                access.auth,
                access.ca_bundle,
            )
        case AzureMonitorSourceSpec() as monitor:
            from logferry.credentials.azure import azure_access
            from logferry.sources.azure_monitor import AzureMonitorSource

            azure = azure_access(connection)
            return OpenedSource(
                AzureMonitorSource(monitor, query_endpoint=azure.query_endpoint),
                azure.auth_for("query"),
                azure.ca_bundle,
            )
        case AzureLogSearchSourceSpec() as legacy:
            from logferry.credentials.azure import azure_access
            from logferry.sources.azure_log_search import AzureLogSearchSource

            azure = azure_access(connection)
            return OpenedSource(
                AzureLogSearchSource(legacy, arm_endpoint=azure.arm_endpoint),
                azure.auth_for("arm"),
                azure.ca_bundle,
            )
