"""The DAG that keeps the archives complete: its shape, and that it is as cheap to parse as the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, CronTriggerTimetable
from airflow.serialization.serialized_objects import DagSerialization

from logferry.audit.starts import MOST_RUNS
from logferry.spec import load_exports

pytestmark = pytest.mark.airflow

PROJECT = Path(__file__).resolve().parents[2]
DAGS = PROJECT / "dags"
SHIPPED = PROJECT / "include" / "exports"


def parse(folder: Path, monkeypatch: pytest.MonkeyPatch) -> DAG:
    monkeypatch.setenv("LOGFERRY_EXPORTS_DIR", str(folder))
    bag = DagBag(DAGS)
    assert not [file for file in bag.import_errors if "archive_upkeep" in file]
    found: DAG = bag.dags["archive_upkeep"]
    return found


@pytest.fixture(scope="module")
def dag() -> DAG:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return parse(SHIPPED, monkeypatch)


def test_it_runs_every_hour_one_pass_at_a_time_and_makes_up_for_no_missed_pass(dag: DAG) -> None:
    assert isinstance(dag.timetable, CronTriggerTimetable)
    assert dag.max_active_runs == 1
    assert dag.catchup is False
    assert dag.tags == {"logferry"}


def test_surveys_are_gathered_whatever_becomes_of_the_others_and_a_failed_one_fails_the_run(dag: DAG) -> None:
    assert dag.task_dict["survey"].downstream_task_ids == {"gather", "all_surveyed"}
    assert dag.task_dict["gather"].trigger_rule == "all_done"
    assert dag.task_dict["gather"].downstream_task_ids == {"trigger"}
    assert dag.task_dict["all_surveyed"].trigger_rule == "all_success"
    assert dag.task_dict["audit"].upstream_task_ids == set()
    leaves = {task_id for task_id, task in dag.task_dict.items() if not task.downstream_task_ids}
    assert leaves == {"trigger", "all_surveyed", "audit"}


def test_there_is_a_survey_and_an_audit_for_every_export(dag: DAG) -> None:
    names = sorted(load_exports(SHIPPED).exports)
    for task_id in ("survey", "audit"):
        task = dag.task_dict[task_id]
        assert task.is_mapped
        assert task.expand_input.value == {"export": names}
    assert [asset.name for asset in dag.task_dict["audit"].inlets] == names


def test_triggered_runs_have_no_logical_date_to_take_from_the_schedule(dag: DAG) -> None:
    trigger = dag.task_dict["trigger"]
    assert trigger.partial_kwargs["logical_date"] is None
    assert trigger.partial_kwargs["skip_when_already_exists"] is True
    assert not trigger.partial_kwargs.get("wait_for_completion")


def test_no_task_writes_to_an_asset(dag: DAG) -> None:
    assert all(not task.outlets for task in dag.task_dict.values())


def test_its_documentation_says_what_its_tasks_do(dag: DAG) -> None:
    assert dag.doc_md is not None
    for task_id in set(dag.task_dict) - {"all_surveyed"}:
        assert f"`{task_id}`" in dag.doc_md


def test_it_survives_serialization(dag: DAG) -> None:
    again = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    assert set(again.task_dict) == set(dag.task_dict)


def test_an_empty_folder_still_has_the_dag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(parse(tmp_path, monkeypatch).task_dict) == {
        "survey",
        "gather",
        "trigger",
        "all_surveyed",
        "audit",
    }


def test_the_bound_of_a_pass_leaves_room_under_airflows_own() -> None:
    assert 80 * MOST_RUNS < 1024
