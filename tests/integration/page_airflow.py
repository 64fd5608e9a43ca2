"""One real Airflow on free ports, with two people in it: an administrator, and one who may only look."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import requests
from tests.free_port import free_port
from tests.open_folder import open_folder

from logferry_local.airflow import airflow_command, airflow_environment, component_commands
from logferry_local.database import Database
from logferry_local.processes import Children
from logferry_local.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]
PEOPLE = {"admin": "admin", "eve": "viewer"}
"""User name and role; the password is the name and ``-secret``."""
COMPONENTS = ("api-server", "scheduler", "dag-processor")
FOREIGN = ("DD_", "AZURE_", "AWS_", "AIRFLOW_", "LOGFERRY_", "OPENLINEAGE")
STARTED_S = 600.0
_POLL_S = 0.25
_ANSWER_S = 60

Found = TypeVar("Found")


def password(user: str) -> str:
    return f"{user}-secret"


def until(look: Callable[[], Found], what: str, seconds: float) -> Found:
    """The first answer of ``look`` that is true."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(_POLL_S)
    return found


@dataclass
class RestApi:
    """Airflow's REST API, asked as one of its people."""

    url: str
    user: str
    session: requests.Session = field(default_factory=requests.Session)

    def log_in(self) -> None:
        self.session.trust_env = False
        answer = self.session.post(
            f"{self.url}/auth/token",
            json={"username": self.user, "password": password(self.user)},
            timeout=_ANSWER_S,
        )
        assert answer.status_code == 201, answer.text
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, body: object = None) -> requests.Response:
        return self.session.request(method, f"{self.url}{path}", json=body, timeout=_ANSWER_S)

    def get(self, path: str) -> Any:
        """The JSON under ``/api/v2``, None for 404."""
        answer = self.call("GET", f"/api/v2{path}")
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if answer.status_code == 200 else None


class PageAirflow:
    """Use as a context manager: PostgreSQL, and Airflow's processes ``components``, all ended at the end.

    ``folder`` holds their state, ``variables`` are set for all of them. ``meanwhile`` is called while the tables are
    made; ``before`` between that and the start of the processes, with their environment.
    """

    def __init__(
        self,
        folder: Path,
        variables: Mapping[str, str],
        *,
        components: tuple[str, ...] = COMPONENTS,
        meanwhile: Callable[[], None] | None = None,
        before: Callable[[dict[str, str]], None] | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._variables = variables
        self._components = components
        self._meanwhile = meanwhile
        self._before = before
        self._folders = contextlib.ExitStack()
        self._database = Database(self._folders.enter_context(open_folder()) / "postgres")
        self._children = Children(folder / "processes.json", folder / "logs")

    def __enter__(self) -> PageAirflow:
        self._database.__enter__()
        try:
            environment = self._environment()
            migrating = subprocess.Popen(
                airflow_command("db", "migrate"),
                env=environment,
                cwd=PROJECT,
                stdout=(self.folder / "logs" / "migrate.log").open("wb"),
                stderr=subprocess.STDOUT,
            )
            if self._meanwhile is not None:
                self._meanwhile()
            assert migrating.wait() == 0, self.log("migrate")
            if self._before is not None:
                self._before(environment)
            commands = component_commands()
            for name in self._components:
                self._children.start(name, commands[name], environment, PROJECT)
            until(self._is_up, "the start of Airflow", STARTED_S)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._children.stop()
        self._database.__exit__(kind, error, trace)
        self._folders.close()

    def beside(self, path: str) -> str:
        """One more API server of the same Airflow, as behind a proxy: its base URL, which has a path."""
        port = free_port()
        url = f"http://127.0.0.1:{port}{path}"
        own = {"AIRFLOW__API__PORT": str(port), "AIRFLOW__API__BASE_URL": url}
        self._children.start(
            "api-server-beside", component_commands()["api-server"], {**self._environment(), **own}, PROJECT
        )
        until(lambda: self._is_up(url), f"the start of the API server at {url}", STARTED_S)
        return url

    def api(self, user: str) -> RestApi:
        """The REST API, logged in."""
        found = RestApi(self.url, user)
        found.log_in()
        return found

    def anonymous(self, url: str | None = None) -> RestApi:
        found = RestApi(url or self.url, "nobody")
        found.session.trust_env = False
        return found

    def log(self, name: str) -> str:
        """The end of what a process printed."""
        return (self.folder / "logs" / f"{name}.log").read_text()[-3000:]

    def unpause(self, *dag_ids: str) -> None:
        api = self.api("admin")
        for dag_id in dag_ids:
            until(lambda dag_id=dag_id: api.get(f"/dags/{dag_id}"), f"{dag_id} in Airflow", STARTED_S)
            answer = api.call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
            assert answer.status_code == 200, answer.text

    def _environment(self) -> dict[str, str]:
        temporary = self.folder / "tmp"
        passwords = self.folder / "passwords.json"
        temporary.mkdir(parents=True, exist_ok=True)
        passwords.write_text(json.dumps({user: password(user) for user in PEOPLE}))
        own = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        settings = Settings(PROJECT, self.folder, self.port, own)
        return {
            **airflow_environment(settings, self._database.uri),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
                f"{user}:{role}" for user, role in PEOPLE.items()
            ),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "TMPDIR": str(temporary),
            # The DAGs stay as they are: to parse them every 30 seconds takes processors from the tests.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
            **self._variables,
        }

    def _is_up(self, url: str | None = None) -> bool:
        dead = self._children.dead()
        assert dead is None, f"{dead} ended: {self.log(dead or '')}"
        try:
            parts = self.anonymous(url).call("GET", "/api/v2/monitor/health").json()
        except (requests.RequestException, ValueError):
            return False
        wanted = {"metadatabase", *(name.replace("-", "_") for name in self._components)} - {"api_server"}
        return all(parts[name]["status"] == "healthy" for name in wanted)
