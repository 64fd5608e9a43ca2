from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.local.conftest import MakeSpec

from logferry.errors import LogferryError
from logferry.project import project_root
from logferry_local import lakes
from logferry_local.lakes import Lakes

REAL = {"AIRFLOW_CONN_DATADOG_DEFAULT": json.dumps({"conn_type": "datadog_logs", "extra": {"api_key": "k"}})}
SANDBOX = {
    "AIRFLOW_CONN_DATADOG_DEFAULT": json.dumps(
        {"conn_type": "datadog_logs", "extra": {"api_key": "k", "sandbox": True}}
    )
}


def airflow_says(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Stand in for the ``airflow`` command: it prints ``text``."""

    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-c", "import sys; print(sys.argv[1])", text]

    monkeypatch.setattr(lakes, "airflow_command", command)


def stored(extra: dict[str, Any]) -> str:
    described = {"conn_id": "datadog_default", "conn_type": "datadog_logs", "password": None, "port": None}
    return json.dumps([{**described, "extra_dejson": extra}])


def test_sandbox_rows_and_real_rows_lie_in_different_folders(make_spec: MakeSpec) -> None:
    spec = make_spec("shop")
    assert Lakes(SANDBOX, set()).open(spec).url == (project_root() / "lake-sandbox").as_uri()
    assert Lakes(REAL, set()).open(spec).url == (project_root() / "lake").as_uri()


def test_the_destination_of_the_definition_is_opened(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec("shop", destination={"url": tmp_path.as_uri()})
    assert Lakes(REAL, set()).open(spec).url == tmp_path.as_uri()


def test_a_bucket_is_opened_with_the_connection_of_the_destination(make_spec: MakeSpec) -> None:
    spec = make_spec("shop", destination={"url": "s3://acme/logs", "connection": "object_store"})
    aws = {"conn_type": "aws", "login": "a", "password": "b", "extra": {"region_name": "eu-west-1"}}
    environment = {**REAL, "AIRFLOW_CONN_OBJECT_STORE": json.dumps(aws)}
    assert Lakes(environment, set()).open(spec).url == "s3://acme/logs"


def test_a_connection_in_airflow_s_database_is_read_through_airflow(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow_says(monkeypatch, stored({"api_key": "k", "sandbox": True}))
    store = Lakes({}, {"datadog_default"}).open(make_spec("shop"))
    assert store.url == (project_root() / "lake-sandbox").as_uri()


def test_a_variable_beats_the_database_as_it_does_for_the_tasks(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow_says(monkeypatch, stored({"api_key": "k", "sandbox": True}))
    store = Lakes(REAL, {"datadog_default"}).open(make_spec("shop"))
    assert store.url == (project_root() / "lake").as_uri()


@pytest.mark.parametrize("said", ["", "Connection not found.", "[]"])
def test_a_connection_airflow_does_not_show_is_one_sentence(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    airflow_says(monkeypatch, said)
    with pytest.raises(LogferryError, match=r"^Airflow does not show its connection datadog_default$"):
        Lakes({}, {"datadog_default"}).open(make_spec("shop"))
