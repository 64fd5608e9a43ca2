"""The stores that the exports were written to, opened with the connections that the tasks used."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping

from logferry.connection import Connection, connection_for, is_sandbox, parse_connection, variable_name
from logferry.errors import LogferryError
from logferry.spec import ExportSpec, lake_url
from logferry.stores.base import Store
from logferry.stores.opening import open_store
from logferry_local.airflow import airflow_command


class Lakes:
    """``environment`` is Airflow's; ``stored_ids`` are the connections kept in its database."""

    def __init__(self, environment: Mapping[str, str], stored_ids: set[str]) -> None:
        self._environment = environment
        self._stored_ids = stored_ids

    def open(self, spec: ExportSpec) -> Store:
        source = self._find(spec.source.connection, spec.source.kind)
        destination = spec.destination.connection
        return open_store(
            lake_url(spec, sandbox=is_sandbox(source)),
            self._find(destination, "aws") if destination else None,
        )

    def _find(self, conn_id: str, kind: str) -> Connection:
        if conn_id in self._stored_ids and variable_name(conn_id) not in self._environment:
            return self._ask_airflow(conn_id)
        return connection_for(conn_id, kind, self._environment)

    def _ask_airflow(self, conn_id: str) -> Connection:
        """Airflow's command decrypts it; its API shows masked secrets only."""
        asked = subprocess.run(
            airflow_command("connections", "get", conn_id, "--output", "json"),
            env=dict(self._environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            found = json.loads(asked.stdout)[0]
        except (ValueError, IndexError, KeyError):
            raise LogferryError(f"Airflow does not show its connection {conn_id}") from None
        fields = ("conn_type", "host", "schema", "login", "password", "port")
        described = {name: found[name] for name in fields if found.get(name)}
        extra = found.get("extra_dejson") or {}
        return parse_connection(
            conn_id, json.dumps({**described, "extra": extra}), where="Airflow's database"
        )
