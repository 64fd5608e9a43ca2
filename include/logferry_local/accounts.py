"""Whose logs this run exports: real accounts where there are credentials, the sandbox where there are none at all.

Real and sandbox data never mix: as soon as one connection is configured, the sandbox stays off, and exports whose
connection is missing are named and left out.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logferry.connection import connection_for, variable_name
from logferry.errors import CredentialsError
from logferry.spec import ExportSpec


@dataclass(frozen=True, slots=True)
class Accounts:
    """``ready``: exports that can run; ``missing``: export name → what it lacks; ``sandbox``: no real account."""

    ready: list[ExportSpec]
    missing: dict[str, str]
    sandbox: bool


def find_accounts(
    exports: Iterable[ExportSpec], environment: Mapping[str, str], stored_ids: set[str]
) -> Accounts:
    """``stored_ids``: connections kept in Airflow's database.

    Raises DefinitionError for a connection that is configured but cannot be read.
    """
    everything = list(exports)
    ready: list[ExportSpec] = []
    missing: dict[str, str] = {}
    for spec in everything:
        name = spec.source.connection
        if name in stored_ids:
            ready.append(spec)
            continue
        try:
            connection_for(name, spec.source.kind, environment)
        except CredentialsError as error:
            missing[spec.name] = str(error)
        else:
            ready.append(spec)
    if not ready:
        return Accounts(everything, {}, sandbox=True)
    return Accounts(ready, missing, sandbox=False)


def sandbox_connections(exports: Iterable[ExportSpec], state: Mapping[str, Any]) -> dict[str, str]:
    """``AIRFLOW_CONN_…`` variables that point every export's connection at the running sandbox."""
    datadog, azure = state["datadog"], state["azure"]
    described = {
        "datadog": {
            "conn_type": "datadog_logs",
            "host": datadog["base_url"],
            "extra": {"api_key": datadog["api_key"], "app_key": datadog["app_key"], "sandbox": True},
        },
        "azure": {
            "conn_type": "azure_log_analytics",
            "login": azure["client_id"],
            "password": azure["client_secret"],
            "extra": {
                "tenantId": azure["tenant_id"],
                "authority": azure["authority"],
                "query_endpoint": azure["query_endpoint"],
                "arm_endpoint": azure["arm_endpoint"],
                "ca_bundle": azure["ca_bundle"],
                "sandbox": True,
            },
        },
    }
    kinds = {
        spec.source.connection: "datadog" if spec.source.kind == "datadog" else "azure" for spec in exports
    }
    return {variable_name(name): json.dumps(described[kind]) for name, kind in kinds.items()}


def write_variables(file: Path, variables: Mapping[str, str]) -> None:
    """A file that a shell reads with ``.``, so that the command line finds the connections that Airflow has."""
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
