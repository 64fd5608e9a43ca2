"""The page in a real API server, under a path of its own: what a browser meets, with the cookie it would have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from tests.free_port import free_port
from tests.plugins.page.conftest import define

pytestmark = [pytest.mark.airflow, pytest.mark.integration, pytest.mark.timeout(900)]

PROJECT = Path(__file__).resolve().parents[3]
STARTED_S = 600.0
USERS = {"ada": "admin", "vic": "viewer"}
FAR = {"endpoint_url": "http://127.0.0.1:9", "region_name": "eu-west-1"}
SECRET = "afarsecretafarsecret"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an Airflow that runs nothing but its API server, on an empty database."""
    home = tmp_path_factory.mktemp("airflow")
    exports = home / "exports"
    exports.mkdir()
    define(exports, "here", destination={"url": (home / "lake").as_uri()})
    for where in ("environment", "database", "nowhere"):
        define(exports, where, destination={"url": "s3://logs/far", "connection": f"lake_{where}"})
    (home / "passwords.json").write_text(json.dumps({user: user for user in USERS}))
    port = free_port()
    base = f"http://127.0.0.1:{port}/air/flow"
    in_environment = {"conn_type": "aws", "login": "AKIAFAR", "password": SECRET, "extra": FAR}
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PROJECT / "include"), str(PROJECT / "plugins")]),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            f"{user}:{role}" for user, role in USERS.items()
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": base,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-this-test-" * 4,
        "AIRFLOW_CONN_LAKE_ENVIRONMENT": json.dumps(in_environment),
        "LOGFERRY_EXPORTS_DIR": str(exports),
    }
    airflow = [sys.executable, "-m", "airflow"]
    with (home / "log").open("wb") as log:
        subprocess.run([*airflow, "db", "migrate"], env=environment, check=True, stdout=log, stderr=log)
        server = subprocess.Popen([*airflow, "api-server"], env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + STARTED_S
            while not is_up(base):
                assert server.poll() is None, (home / "log").read_text()[-3000:]
                assert time.monotonic() < deadline, (home / "log").read_text()[-3000:]
                time.sleep(0.2)
            yield base
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def is_up(base: str) -> bool:
    try:
        return plain().get(f"{base}/api/v2/version", timeout=5).ok
    except requests.RequestException:
        return False


def plain() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session


@pytest.fixture(scope="module")
def browser(base: str) -> Callable[[str], requests.Session]:
    """A session with nothing but the cookie that Airflow's login page sets."""

    def make(user: str) -> requests.Session:
        session = plain()
        answer = session.post(f"{base}/auth/token", json={"username": user, "password": user}, timeout=30)
        session.cookies.set("_token", answer.json()["access_token"], path="/air/flow/")
        return session

    return make


def test_nobody_gets_in_without_a_login_and_the_page_leads_to_it(base: str) -> None:
    for path in ("", "static/index.html", "api/exports", "api/exports/here", "docs", "openapi.json"):
        answer = plain().get(f"{base}/logferry/{path}", timeout=30)
        assert answer.status_code == 401, path
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    page = plain().get(f"{base}/logferry/", timeout=30).text
    assert '<a href="/air/flow/api/v2/auth/login?next=' in page
    link = page.partition('href="')[2].partition('"')[0]
    redirect = plain().get(f"{base.removesuffix('/air/flow')}{link}", timeout=30, allow_redirects=False)
    assert redirect.status_code == 307
    assert redirect.headers["Location"].endswith("/auth/login?next=%2Fair%2Fflow%2Fplugin%2Flogferry")


def test_the_page_is_in_airflows_menu_and_no_plugin_failed(
    base: str, browser: Callable[[str], requests.Session]
) -> None:
    ada = browser("ada")
    (plugin,) = (
        one
        for one in ada.get(f"{base}/api/v2/plugins", timeout=30).json()["plugins"]
        if one["name"] == "logferry"
    )
    (view,) = plugin["external_views"]
    assert (view["name"], view["href"], view["url_route"]) == ("Archive", "/air/flow/logferry/", "logferry")
    assert ada.get(f"{base}/api/v2/plugins/importErrors", timeout=30).json()["import_errors"] == []
    page = ada.get(f"{base}/logferry/", timeout=30)
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")


def test_connections_are_found_where_airflow_keeps_them(
    base: str, browser: Callable[[str], requests.Session]
) -> None:
    ada = browser("ada")
    stored = {
        "connection_id": "lake_database",
        "conn_type": "aws",
        "login": "AKIAFAR",
        "password": SECRET,
        "extra": json.dumps(FAR),
    }
    assert ada.post(f"{base}/api/v2/connections", json=stored, timeout=30).status_code == 201

    def lake(name: str) -> dict[str, object]:
        answer = ada.get(f"{base}/logferry/api/exports/{name}", timeout=60)
        assert answer.status_code == 200
        assert SECRET not in answer.text
        found: dict[str, object] = answer.json()["lake"]
        return found

    assert "http://127.0.0.1:9 cannot be reached" in str(lake("environment")["reason"])
    # The server read ahead when there was no such connection, and looks again every ten seconds.
    deadline = time.monotonic() + STARTED_S
    while "http://127.0.0.1:9 cannot be reached" not in (reason := str(lake("database")["reason"])):
        assert "'lake_database' is not configured" in reason
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "lake_nowhere" in str(lake("nowhere")["reason"])
    assert lake("here")["reachable"] is True


def test_airflow_itself_decides_who_starts_what_and_takes_no_foreign_forms(
    base: str, browser: Callable[[str], requests.Session]
) -> None:
    ada, vic = browser("ada"), browser("vic")
    times = {"from_date": "2026-03-02T00:00:00Z", "to_date": "2026-03-02T00:00:00Z"}
    backfill = {"dag_id": "export_here", **times, "reprocess_behavior": "completed"}
    run = {"logical_date": None, "conf": {"export": "here"}}
    asked: list[tuple[str, str, dict[str, object]]] = [
        ("POST", "backfills", backfill),
        ("POST", "dags/archive_verify/dagRuns", run),
        ("PATCH", "dags/export_here", {"is_paused": False}),
    ]
    for method, path, body in asked:
        address = f"{base}/api/v2/{path}"
        assert vic.request(method, address, json=body, timeout=30).status_code == 403
        # Permitted; there are no DAGs in this database.
        assert ada.request(method, address, json=body, timeout=30).status_code == 404
        # All that a form of another site could send.
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            foreign = ada.request(
                method, address, data=json.dumps(body), headers={"Content-Type": kind}, timeout=30
            )
            assert foreign.status_code in (415, 422)
    assert {name for name in ("can_trigger", "can_unpause", "can_verify") if may(base, vic)[name]} == set()
    assert all(may(base, ada)[name] for name in ("can_trigger", "can_unpause", "can_verify"))


def may(base: str, user: requests.Session) -> dict[str, bool]:
    first = user.get(f"{base}/logferry/api/exports", timeout=30).json()["exports"][0]
    told: dict[str, bool] = first["airflow"]
    return told
