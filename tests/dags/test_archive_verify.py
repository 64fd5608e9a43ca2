"""The DAG that verifies on demand: its shape, its params, and that it can be triggered as it comes."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from logferry.dag_ids import VERIFY_DAG
from logferry.spec import load_exports

pytestmark = pytest.mark.airflow

PROJECT = Path(__file__).resolve().parents[2]
DAGS = PROJECT / "dags"
SHIPPED = PROJECT / "include" / "exports"


def parse(folder: Path, monkeypatch: pytest.MonkeyPatch) -> DAG:
    monkeypatch.setenv("LOGFERRY_EXPORTS_DIR", str(folder))
    bag = DagBag(DAGS / "archive_verify.py")
    assert bag.import_errors == {}
    found: DAG = bag.dags["archive_verify"]
    return found


@pytest.fixture(scope="module")
def dag() -> DAG:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return parse(SHIPPED, monkeypatch)


def test_it_runs_only_when_it_is_asked_for_and_is_never_born_paused(dag: DAG) -> None:
    assert dag.dag_id == VERIFY_DAG
    assert dag.schedule is None
    assert dag.is_paused_upon_creation is False
    assert dag.tags == {"logferry"}


def test_its_one_task_writes_to_no_asset_and_retries_by_the_policy(dag: DAG) -> None:
    (task,) = dag.tasks
    assert task.task_id == "verify"
    assert task.outlets == []
    assert task.retries == 1
    assert task.has_retry_policy


def test_the_params_offer_every_export_and_the_whole_archive(dag: DAG) -> None:
    assert dag.params.get_param("export").schema["enum"] == sorted(load_exports(SHIPPED).exports)
    asked = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag)).params.deep_merge(
        {"export": "web_errors"}
    )
    asked.validate()
    assert asked.dump() == {"export": "web_errors", "from": None, "to": None, "deep": False}


@pytest.mark.parametrize("conf", [{}, {"export": "nobody"}, {"export": "web_errors", "deep": "no"}])
def test_airflow_refuses_a_run_with_params_that_are_wrong(dag: DAG, conf: dict[str, str]) -> None:
    core = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    with pytest.raises(ValueError, match="param"):
        core.params.deep_merge(conf).validate()


def test_its_documentation_names_its_params(dag: DAG) -> None:
    assert dag.doc_md is not None
    for param in dag.params:
        assert f"`{param}`" in dag.doc_md


def test_without_any_definition_the_dag_is_still_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "enum" not in parse(tmp_path, monkeypatch).params.get_param("export").schema
