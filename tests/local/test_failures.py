from __future__ import annotations

from typing import Any

import pytest
from tests.local.scripted_api import ScriptedApi

from logferry_local.failures import failure_of

LOGS = "/dags/export_shop/dagRuns/r1/taskInstances/{}/logs/2"


def a_task(name: str, state: str) -> dict[str, Any]:
    return {
        "dag_id": "export_shop",
        "dag_run_id": "r1",
        "task_id": name,
        "state": state,
        "map_index": -1,
        "try_number": 2,
    }


def error(*details: tuple[str, str]) -> dict[str, Any]:
    described = [{"exc_type": name, "exc_value": text} for name, text in details]
    return {"level": "error", "event": "Task failed with exception", "error_detail": described}


@pytest.mark.parametrize(
    ("exception", "exit_code"),
    [
        ("CredentialsError", 4),
        ("DefinitionError", 2),
        ("QueryRejected", 2),
        ("Unavailable", 5),
        ("CursorLost", 5),
        ("StoreError", 6),
        ("ShortError", 3),
        ("KeyError", 1),
    ],
)
def test_the_exit_code_is_that_of_the_error_in_the_log(exception: str, exit_code: int) -> None:
    api = ScriptedApi()
    info = {"level": "info", "event": "DAG bundles loaded"}
    api.answers[LOGS.format("plan")] = {
        "content": [info, error((exception, "what and where and what to do"))]
    }
    failure = failure_of(api, [a_task("publish", "upstream_failed"), a_task("plan", "failed")])
    assert failure.sentence == "task plan: what and where and what to do"
    assert failure.exit_code == exit_code


def test_an_engine_error_that_airflow_wrapped_keeps_its_exit_code() -> None:
    api = ScriptedApi()
    wrapped = error(("AirflowFailException", "the keys were refused"), ("CredentialsError", "403"))
    api.answers[LOGS.format("plan")] = {"content": [wrapped]}
    failure = failure_of(api, [a_task("plan", "failed")])
    assert (failure.sentence, failure.exit_code) == ("task plan: the keys were refused", 4)


def test_the_last_error_of_a_log_counts() -> None:
    api = ScriptedApi()
    api.answers[LOGS.format("plan")] = {
        "content": [error(("Unavailable", "first")), error(("StoreError", "last"))]
    }
    assert failure_of(api, [a_task("plan", "failed")]).exit_code == 6


def test_an_error_line_without_an_exception_is_shown_as_it_is() -> None:
    api = ScriptedApi()
    api.answers[LOGS.format("plan")] = {"content": ["::group::", {"level": "ERROR", "event": "killed"}]}
    assert failure_of(api, [a_task("plan", "failed")]).sentence == "task plan: killed"


@pytest.mark.parametrize("answer", [None, {"content": []}, {"content": [{"level": "info", "event": "x"}]}])
def test_a_log_that_says_nothing_sends_to_the_ui(answer: dict[str, Any] | None) -> None:
    api = ScriptedApi()
    api.answers[LOGS.format("plan")] = answer
    assert failure_of(api, [a_task("plan", "failed")]).sentence == "task plan: see its log in the UI"


def test_a_run_that_failed_without_a_failed_task_says_so() -> None:
    failure = failure_of(ScriptedApi(), [a_task("plan", "success")])
    assert (failure.sentence, failure.exit_code) == ("no task failed; see the run in the UI", 1)
