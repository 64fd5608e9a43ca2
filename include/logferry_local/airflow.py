"""The local Airflow: its configuration, its four processes, and its REST API."""

from __future__ import annotations

import base64
import json
import secrets
import shlex
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import requests

from logferry.errors import LogferryError
from logferry_local.settings import Settings, kept_secret

USER = "admin"
_TRIES = 4


def airflow_environment(settings: Settings, database_uri: str) -> dict[str, str]:
    """What every Airflow process gets, over the user's own environment."""
    home = settings.airflow_home
    passwords = home / "passwords.json"
    home.mkdir(parents=True, exist_ok=True)
    password = kept_secret(settings.home, "airflow-password")
    passwords.touch(mode=0o600)
    passwords.write_text(json.dumps({USER: password}))
    fernet = kept_secret(
        settings.home, "fernet-key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    )
    # Airflow signs with SHA-512, whose keys are to have 64 bytes (RFC 7518, 3.2).
    jwt_secret = kept_secret(settings.home, "jwt-secret", secrets.token_urlsafe(48))
    # Traffic between these processes stays on this machine.
    direct = ",".join(filter(None, ["127.0.0.1,localhost", _proxy_exceptions(settings.environment)]))
    return {
        **settings.environment,
        "AIRFLOW_HOME": str(home),
        # An AIRFLOW_CONFIG of another Airflow on this machine must not reach this one.
        "AIRFLOW_CONFIG": str(home / "airflow.cfg"),
        # Named, because SQLAlchemy's own choice of driver for a plain postgresql:// changes between versions.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_uri.replace(
            "postgresql://", "postgresql+psycopg2://", 1
        ),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": database_uri.replace(
            "postgresql://", "postgresql+asyncpg://", 1
        ),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        # Every window waits for the scheduler's next look some three times.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.root / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(settings.root / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": fernet,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(settings.port),
        "AIRFLOW__API__BASE_URL": settings.ui,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": kept_secret(settings.home, "api-secret"),
        "AIRFLOW__API_AUTH__JWT_SECRET": jwt_secret,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{settings.ui}/execution/",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "NO_PROXY": direct,
        "no_proxy": direct,
        "PYTHONUNBUFFERED": "1",
    }


def _proxy_exceptions(environment: Mapping[str, str]) -> str | None:
    """The user's own list; the lower-case name wins, as it does for requests and curl."""
    return environment.get("no_proxy") or environment.get("NO_PROXY")


def airflow_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow", *arguments]


def component_commands() -> dict[str, list[str]]:
    """The command of each of Airflow's processes."""
    # Their log servers would listen on every interface; the API server reads the files itself.
    quiet = "--skip-serve-logs"
    return {
        "api-server": airflow_command("api-server"),
        "scheduler": [sys.executable, "-m", "logferry_local.scheduler", quiet],
        "dag-processor": airflow_command("dag-processor"),
        "triggerer": airflow_command("triggerer", quiet),
    }


def write_command(file: Path, settings: Settings, environment: Mapping[str, str]) -> None:
    """An executable that is ``airflow`` for this run: a shell knows neither its database nor its keys. For this user
    alone, as it holds them. What configures Airflow or Logferry is always written: the shell that types it may be
    another than the one that started the run."""
    own = {
        name: value
        for name, value in environment.items()
        if name.startswith(("AIRFLOW", "LOGFERRY_")) or settings.environment.get(name) != value
    }
    file.unlink(missing_ok=True)
    file.touch(mode=0o700)
    file.write_text(
        "#!/bin/sh\n# airflow, for the Airflow that `make run` has up: for example .logferry/airflow-cli dags list\n"
        + "".join(f"export {name}={shlex.quote(value)}\n" for name, value in own.items())
        + f'exec {shlex.join(airflow_command())} "$@"\n'
    )


def schema_mark(settings: Settings) -> Path:
    """Exists once the database has the tables of the installed Airflow."""
    return settings.airflow_home / f"migrated-{version('apache-airflow-core')}"


class Api:
    """The REST API of the local Airflow (https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html)."""

    def __init__(self, base_url: str, password: str) -> None:
        self._base_url = base_url
        self._password = password
        self._session = requests.Session()
        self._session.trust_env = False

    def waiting_for(self) -> list[str]:
        """The components that do not report yet that they are alive; none: Airflow is healthy."""
        try:
            answer = self._session.get(f"{self._base_url}/api/v2/monitor/health", timeout=5)
            parts = answer.json()
        except (requests.RequestException, ValueError):
            return ["API server"]
        names = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        return [name.replace("_", " ") for name in names if not _is_healthy(parts.get(name))]

    def log_in(self) -> None:
        answer = self._session.post(
            f"{self._base_url}/auth/token", json={"username": USER, "password": self._password}, timeout=30
        )
        if answer.status_code != 201:
            raise LogferryError(f"the local Airflow refused its own password ({answer.status_code})")
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON of a GET, None for 404."""
        return self._call("GET", path, params=parameters)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("POST", path, json=body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("PATCH", path, json=body)

    def _call(self, method: str, path: str, **options: Any) -> Any:
        answer = self._answer(method, f"{self._base_url}/api/v2{path}", **options)
        if answer.status_code == 404:
            return None
        if answer.status_code >= 400:
            raise LogferryError(
                f"the local Airflow refused {method} {path}: {answer.status_code} {answer.text[:200]}"
            )
        return answer.json() if answer.content else None

    def _answer(self, method: str, url: str, **options: Any) -> requests.Response:
        """A busy machine may be slow to answer: a question is asked again, an order is given once."""
        tries = _TRIES if method == "GET" else 1
        while True:
            tries -= 1
            try:
                return self._session.request(method, url, timeout=30, **options)
            except requests.RequestException as error:
                if tries == 0:
                    raise LogferryError(
                        f"the local Airflow does not answer: {type(error).__name__}"
                    ) from error
            time.sleep(1.0)


def _is_healthy(part: dict[str, Any] | None) -> bool:
    return (part or {}).get("status") == "healthy"
