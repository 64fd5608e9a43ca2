"""What Airflow's provider manager reads: the two connection types and their forms, and the notifier.

Loaded through the ``apache_airflow_provider`` entry point at ``import airflow`` time in every component, so it
imports nothing. https://airflow.apache.org/docs/apache-airflow-providers/howto/create-custom-providers.html
"""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """The provider record; ``package-name`` must equal the distribution's name."""
    return {
        "package-name": "logferry",
        "name": "Logferry",
        "description": "Time-windowed log exports from Datadog and Azure Log Analytics to Parquet, with a proof.",
        "hooks": [
            {
                "integration-name": "Datadog Logs",
                "python-modules": ["logferry_airflow.hooks.datadog"],
            },
            {
                "integration-name": "Azure Log Analytics",
                "python-modules": ["logferry_airflow.hooks.azure_log_analytics"],
            },
        ],
        "notifications": ["logferry_airflow.webhook.WebhookNotifier"],
        "connection-types": [_datadog_logs(), _azure_log_analytics()],
    }


def _datadog_logs() -> dict[str, Any]:
    return {
        "connection-type": "datadog_logs",
        "hook-name": "Datadog Logs",
        "hook-class-name": "logferry_airflow.hooks.datadog.DatadogLogsHook",
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "login", "password", "port"],
            "relabeling": {"host": "Base URL"},
            "placeholders": {"host": "empty, or a full URL that replaces https://api.<site>"},
        },
        "conn-fields": {
            "api_key": _secret("API key"),
            "app_key": _secret("Application key", "Needs the scope logs_read_data."),
            "bearer_token": _secret("Bearer token", "Instead of the two keys."),
            "site": _text("Site", "datadoghq.com (default), datadoghq.eu, us3.datadoghq.com, …"),
            "org": _text("Organisation", "any name; tell two organisations of one site apart by it"),
            "in_flight": _whole("Requests in flight", 16, "At once, by one task; 1 to 16 (default)."),
            "budget_connection": _BUDGET_CONNECTION,
            "ca_bundle": _text("CA bundle", "Path of a PEM file, for a proxy or a local server."),
        },
    }


def _azure_log_analytics() -> dict[str, Any]:
    return {
        "connection-type": "azure_log_analytics",
        "hook-name": "Azure Log Analytics",
        "hook-class-name": "logferry_airflow.hooks.azure_log_analytics.AzureLogAnalyticsHook",
        "ui-field-behaviour": {
            "hidden-fields": ["host", "schema", "port"],
            "relabeling": {"login": "Client ID", "password": "Client secret"},
            "placeholders": {
                "login": "application (client) id",
                "password": "for auth = secret",
            },
        },
        "conn-fields": {
            "auth": {
                "label": "Authentication",
                "description": "secret is the default when a client secret is given.",
                "schema": {
                    "type": ["string", "null"],
                    "enum": ["secret", "certificate", "workload_identity", "managed_identity", None],
                },
            },
            "tenantId": _text("Tenant ID"),
            "cloud_environment": _text(
                "Cloud", "AzurePublicCloud (default), AzureUSGovernment, AzureChinaCloud."
            ),
            "certificate_path": _text(
                "Certificate file", "PEM with the private key, for auth = certificate."
            ),
            "certificate_data": _secret("Certificate", "The PEM text itself, instead of a file."),
            "certificate_password": _secret("Certificate password", "When the key in the PEM is encrypted."),
            "federated_token_file": _text("Federated token file", "For auth = workload_identity."),
            "managed_identity_client_id": _text(
                "Managed identity client ID", "Empty: the system-assigned identity."
            ),
            "authority": _text("Authority", "Overrides the cloud's sign-in address."),
            "query_endpoint": _text("Query endpoint", "Overrides the cloud's Log Analytics query address."),
            "arm_endpoint": _text("ARM endpoint", "Overrides the cloud's Resource Manager address."),
            "scope": _text("Scope", "Overrides the token scope of the query endpoint."),
            "workspace": _text("Workspace ID", "A GUID; only the connection test asks it."),
            "in_flight": _whole("Requests in flight", 5, "At once, by all tasks; 1 to 5, default 4."),
            "budget_connection": _BUDGET_CONNECTION,
            "ca_bundle": _text("CA bundle", "Path of a PEM file, for a proxy or a local server."),
        },
    }


def _text(label: str, description: str = "") -> dict[str, Any]:
    return _field(label, description, {"type": ["string", "null"]})


def _secret(label: str, description: str = "") -> dict[str, Any]:
    return _field(label, description, {"type": ["string", "null"], "format": "password"})


def _whole(label: str, most: int, description: str) -> dict[str, Any]:
    return _field(label, description, {"type": ["integer", "null"], "minimum": 1, "maximum": most})


def _field(label: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    field: dict[str, Any] = {"label": label, "schema": schema}
    if description:
        field["description"] = description
    return field


_BUDGET_CONNECTION = _text(
    "Budget connection",
    "ID of a redis or postgres connection, through which workers on several machines share the request allowance.",
)
