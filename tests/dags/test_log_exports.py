"""The generated DAGs: one per definition, none hidden by a broken one, cheap to parse."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pendulum
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, CronDataIntervalTimetable
from airflow.serialization.serialized_objects import DagSerialization

from logferry.spec import load_exports
from logferry.window import Window, from_datetime

pytestmark = pytest.mark.airflow

PROJECT = Path(__file__).resolve().parents[2]
DAGS = PROJECT / "dags"
SHIPPED = PROJECT / "include" / "exports"

DEFINITION = """
name: {name}
source:
  kind: datadog
  connection: dd_test
  query: "service:web | `status`:error"
schedule: "@hourly"
start: 2026-01-01T00:00:00Z
pool: datadog
"""


def parse(folder: Path, monkeypatch: pytest.MonkeyPatch) -> DagBag:
    monkeypatch.setenv("LOGFERRY_EXPORTS_DIR", str(folder))
    return DagBag(DAGS)


def define(folder: Path, name: str, text: str | None = None) -> None:
    (folder / f"{name}.yaml").write_text(DEFINITION.format(name=name) if text is None else text)


@pytest.fixture(scope="module")
def shipped() -> dict[str, DAG]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        bag = parse(SHIPPED, monkeypatch)
    assert bag.import_errors == {}
    assert "archive_upkeep" in bag.dags
    return {name: dag for name, dag in bag.dags.items() if name.startswith("export_")}


def test_every_shipped_definition_is_one_dag(shipped: dict[str, DAG]) -> None:
    assert set(shipped) == {f"export_{name}" for name in load_exports(SHIPPED).exports}
    assert len(shipped) == 3


def test_a_window_is_planned_exported_in_chunks_and_published(shipped: dict[str, DAG]) -> None:
    for dag in shipped.values():
        assert dag.task_dict["plan"].downstream_task_ids == {"export"}
        assert dag.task_dict["export"].is_mapped
        assert dag.task_dict["export"].downstream_task_ids == {"publish"}
        assert dag.task_dict["publish"].downstream_task_ids == set()


def test_every_dag_has_real_data_intervals_and_no_catchup(shipped: dict[str, DAG]) -> None:
    for dag in shipped.values():
        assert isinstance(dag.timetable, CronDataIntervalTimetable)
        assert dag.catchup is False
        assert "logferry" in dag.tags


def test_every_task_has_retries_and_the_policy_that_honours_the_sources_wait(
    shipped: dict[str, DAG],
) -> None:
    for dag in shipped.values():
        for task in dag.tasks:
            assert task.retries == 3
            assert task.has_retry_policy


def test_publications_of_one_export_never_run_side_by_side(shipped: dict[str, DAG]) -> None:
    for dag in shipped.values():
        assert dag.task_dict["publish"].max_active_tis_per_dag == 1


def test_the_params_are_empty_by_default_and_the_outlet_is_the_table(shipped: dict[str, DAG]) -> None:
    for name, dag in shipped.items():
        assert dict(dag.params) == {"from": None, "to": None, "only_moved": False, "allow_shrink": False}
        (asset,) = dag.task_dict["publish"].outlets
        assert asset.name == name.removeprefix("export_")
        assert asset.uri == f"x-logferry://exports/{asset.name}"


def test_every_dag_survives_serialization(shipped: dict[str, DAG]) -> None:
    for dag in shipped.values():
        again = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
        assert set(again.task_dict) == {"plan", "export", "publish"}


def test_the_definition_decides_schedule_start_pool_and_documentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(tmp_path, "errors")
    dag = parse(tmp_path, monkeypatch).dags["export_errors"]
    assert dag.start_date == datetime(2026, 1, 1, tzinfo=UTC)
    assert {task.pool for task in dag.tasks} == {"datadog"}
    assert dag.doc_md is not None
    assert "service:web \\| 'status':error" in dag.doc_md
    assert "| slice | 1h |" in dag.doc_md
    assert all(f"`{param}`" in dag.doc_md for param in dag.params)


@pytest.mark.parametrize(
    ("schedule", "length"),
    [
        ("@hourly", timedelta(hours=1)),
        ("@daily", timedelta(days=1)),
        ("@weekly", timedelta(days=7)),
        ("0 */6 * * *", timedelta(hours=6)),
    ],
)
def test_airflow_and_the_engine_agree_on_what_a_window_of_the_schedule_is(
    schedule: str, length: timedelta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(tmp_path, "errors", DEFINITION.format(name="errors").replace("@hourly", schedule))
    dag = parse(tmp_path, monkeypatch).dags["export_errors"]
    core = DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))
    interval = core.timetable.infer_manual_data_interval(run_after=pendulum.datetime(2026, 3, 8, 13, 7))
    assert interval.end - interval.start == length
    (window,) = (
        load_exports(tmp_path).exports["errors"].schedule_windows(_window(interval.start, interval.end))
    )
    assert window == _window(interval.start, interval.end)


def test_a_broken_definition_is_one_import_error_and_hides_no_other_dag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(tmp_path, "good")
    define(tmp_path, "also_good")
    define(tmp_path, "no_schedule", "name: no_schedule\n")
    define(tmp_path, "no_yaml", "name: [")
    bag = parse(tmp_path, monkeypatch)
    assert set(bag.dags) == {"archive_upkeep", "archive_verify", "export_good", "export_also_good"}
    ((file, text),) = bag.import_errors.items()
    assert Path(file).name == "broken_exports.py"
    assert str(tmp_path / "no_schedule.yaml") in text
    assert "schedule" in text
    assert str(tmp_path / "no_yaml.yaml") in text
    assert "good.yaml" not in text


def test_two_definitions_of_one_name_break_both_and_no_third(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(tmp_path, "good")
    for file in ("one", "two"):
        define(tmp_path, file, DEFINITION.format(name="same"))
    bag = parse(tmp_path, monkeypatch)
    assert set(bag.dags) == {"archive_upkeep", "archive_verify", "export_good"}
    ((_, text),) = bag.import_errors.items()
    assert "one.yaml" in text
    assert "two.yaml" in text


def test_a_changed_definition_is_read_at_the_next_parse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(tmp_path, "errors")
    assert parse(tmp_path, monkeypatch).dags["export_errors"].task_dict["plan"].pool == "datadog"
    define(tmp_path, "errors", DEFINITION.format(name="errors").replace("pool: datadog", "pool: other"))
    assert parse(tmp_path, monkeypatch).dags["export_errors"].task_dict["plan"].pool == "other"


HEAVY = (
    "pyarrow", "numpy", "pandas", "boto3", "botocore", "requests", "urllib3", "msal", "azure", "logferry.ferry",
    "logferry.http", "logferry_airflow.ferries",
)  # fmt: skip


def test_parsing_loads_no_library_that_only_a_task_needs(tmp_path: Path) -> None:
    """In a process of its own: this one has long imported them."""
    for number in range(5):
        define(tmp_path, f"export_{number}")
    program = (
        "import sys\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        "before = set(sys.modules)\n"
        f"bag = DagBag({str(DAGS)!r})\n"
        "assert len(bag.dags) == 7 and not bag.import_errors, bag.import_errors\n"
        f"heavy = set({HEAVY!r}) & (set(sys.modules) - before)\n"
        "assert not heavy, heavy\n"
    )
    done = in_a_process(program, tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_a_tasks_process_reads_the_definition_of_its_own_dag_only(tmp_path: Path) -> None:
    for name in ("web", "web_errors", "other"):
        define(tmp_path, name)
    define(tmp_path, "odd", DEFINITION.format(name='"web"').replace("web |", "shop |"))
    program = (
        "import os\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        "found = []\n"
        "for name in ('web', 'web_errors', 'gone'):\n"
        "    os.environ['_AIRFLOW_PARSING_CONTEXT_DAG_ID'] = f'export_{name}'\n"
        f"    found.append(sorted(DagBag({str(DAGS / 'log_exports.py')!r}).dags))\n"
        "assert found == [[], ['export_web_errors'], []], found\n"
    )
    done = in_a_process(program, tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def in_a_process(program: str, exports: Path) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(PROJECT / "include"), str(PROJECT / "plugins")])
    environment = {**os.environ, "PYTHONPATH": paths, "LOGFERRY_EXPORTS_DIR": str(exports)}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )


def _window(start: datetime, end: datetime) -> Window:
    return Window(from_datetime(start), from_datetime(end))
