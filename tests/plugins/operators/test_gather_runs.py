"""The runs of all surveys in one list."""

from __future__ import annotations

from pathlib import Path

import pytest

from logferry.audit.starts import MOST_RUNS
from logferry.spec import ExportSpec
from logferry_airflow.operators.gather_runs import GatherRunsOperator

pytestmark = [pytest.mark.airflow, pytest.mark.integration]


def test_runs_of_all_exports_take_turns_up_to_airflows_limit(
    shop: ExportSpec, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = [[{"trigger_run_id": f"{name}{number}"} for number in range(MOST_RUNS)] for name in ("a", "b")]
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "5")
    gathered = GatherRunsOperator(task_id="gather", found=[*found, None, []]).execute({})
    assert [run["trigger_run_id"] for run in gathered] == ["a0", "b0", "a1", "b1", "a2"]


def test_an_empty_folder_is_a_quiet_success_and_a_broken_definition_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOGFERRY_EXPORTS_DIR", str(tmp_path))
    assert GatherRunsOperator(task_id="gather", found=[]).execute({}) == []
    assert "there is no export in" in capsys.readouterr().out
    (tmp_path / "bad.yaml").write_text("name: bad\n")
    assert GatherRunsOperator(task_id="gather", found=[]).execute({}) == []
    assert "its definition is broken" in capsys.readouterr().out
