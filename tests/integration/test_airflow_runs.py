"""Whole DAG runs with Airflow's own loop (``dag.test``) against local APIs: the shipped definitions, end to end.

One database for the module; a fresh DagBag per scenario, because a DAG object keeps the conf of its last run.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.asset import AssetEvent
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.errors import ParseImportError
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.xcom import XComModel
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import func, select

from logferry.budget import Budget
from logferry.clock import SystemClock
from logferry.opening import open_ferry
from logferry.spec import load_export
from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_SECOND,
    Window,
    format_compact,
    format_instant,
)
from logferry_airflow import waiting
from logferry_airflow.hooks.connections import connect
from logferry_airflow.operators.export import ExportChunkOperator
from logferry_airflow.task_progress import TaskProgress
from logferry_sandbox.azure_sandbox import AzureSandbox
from logferry_sandbox.datadog_sandbox import DatadogSandbox

pytestmark = [pytest.mark.airflow, pytest.mark.integration]

PROJECT = Path(__file__).resolve().parents[2]
DAGS = PROJECT / "dags"
DAY = datetime(2026, 3, 3, tzinfo=UTC)
"""As a logical date: the run is about the day before."""
MORNING = {"from": "2026-03-02T06:00:00Z", "to": "2026-03-02T09:00:00Z"}
NAMES = ("web_errors", "app_requests", "legacy_events")


@pytest.fixture(scope="module", autouse=True)
def database() -> None:
    initdb()
    DagBundlesManager().sync_bundles_to_db()


@pytest.fixture(scope="module")
def datadog() -> Iterator[DatadogSandbox]:
    sandbox = DatadogSandbox(events_per_day=600, burst=20)
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureSandbox]:
    with AzureSandbox(state_dir=tmp_path_factory.mktemp("azure"), rows_per_day=600) as sandbox:
        yield sandbox


@pytest.fixture
def lake(
    tmp_path: Path, datadog: DatadogSandbox, azure: AzureSandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """An empty lake, the shipped definitions pointed at it, and connections to the local APIs."""
    lake, exports = tmp_path / "lake", tmp_path / "exports"
    exports.mkdir()
    for name in NAMES:
        shipped = (PROJECT / "include" / "exports" / f"{name}.yaml").read_text()
        (exports / f"{name}.yaml").write_text(f"{shipped}\ndestination: {{url: {lake.as_uri()}}}\n")
    monkeypatch.setenv("LOGFERRY_EXPORTS_DIR", str(exports))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow.example/base/")
    # One request at a time, so that tests can count them in order.
    _connect(monkeypatch, "datadog_default", _datadog_connection(datadog, in_flight=1))
    _connect(monkeypatch, "azure_default", _azure_connection(azure.describe()))
    datadog.api.plan.replace([])
    yield lake
    datadog.api.plan.replace([])


def _connect(monkeypatch: pytest.MonkeyPatch, conn_id: str, connection: dict[str, Any]) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))


def _datadog_connection(datadog: DatadogSandbox, **keys: str | int) -> dict[str, Any]:
    told = datadog.describe()
    extra = {"api_key": told["api_key"], "app_key": told["app_key"], "sandbox": True, **keys}
    return {"conn_type": "datadog_logs", "host": told["base_url"], "extra": extra}


def _azure_connection(told: dict[str, Any]) -> dict[str, Any]:
    extra = {key: told[key] for key in ("query_endpoint", "arm_endpoint", "authority", "ca_bundle")}
    return {
        "conn_type": "azure_log_analytics",
        "login": told["client_id"],
        "password": told["client_secret"],
        "extra": {**extra, "tenantId": told["tenant_id"], "sandbox": True},
    }


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What was posted to the webhook of the connection ``hook``, in order."""
    posted: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _connect(
            monkeypatch,
            "hook",
            {"conn_type": "http", "host": f"http://127.0.0.1:{server.server_port}/services/T/B"},
        )
        yield posted
        server.shutdown()


Run = Callable[..., DagRun]


@pytest.fixture
def run(lake: Path) -> Run:
    """Run an export's DAG once, as the scheduler would; retries, should any come, are not waited for."""

    def start(
        name: str, *, logical_date: datetime | None = None, conf: dict[str, Any] | None = None
    ) -> DagRun:
        dag = DagBag(DAGS).dags[f"export_{name}"]
        for task in dag.tasks:
            task.retry_delay, task.retry_exponential_backoff = timedelta(0), 0
        finished: DagRun = dag.test(logical_date=logical_date, run_conf=conf)
        return finished

    return start


def states(run: DagRun) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


def manifest(lake: Path, name: str, window: str = "20260302T000000Z-20260303T000000Z") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((lake / f"_manifests/{name}/{window}.json").read_text())
    return found


def rows_in(lake: Path, name: str) -> int:
    return sum(pq.read_metadata(path).num_rows for path in (lake / name).rglob("*.parquet"))


def events(name: str) -> list[AssetEvent]:
    query = select(AssetEvent).where(AssetEvent.source_dag_id == f"export_{name}").order_by(AssetEvent.id)
    with create_session() as session:
        return list(session.scalars(query))


@pytest.mark.parametrize("name", NAMES)
def test_a_scheduled_run_carries_the_window_before_it(name: str, run: Run, lake: Path) -> None:
    finished = run(name, logical_date=DAY)
    assert finished.state == "success", states(finished)
    published = manifest(lake, name)
    assert published["window"] == {"from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z"}
    assert published["status"] == "proven"
    assert published["rows"] == published["source_rows"] == rows_in(lake, name) > 0
    assert len(published["slices"]) == len(list((lake / name).rglob("*.parquet")))
    assert published["run"]["id"] == finished.run_id


def test_the_asset_event_reaches_airflow_with_the_proof_and_the_partition(run: Run, lake: Path) -> None:
    before = len(events("web_errors"))
    run("web_errors", logical_date=DAY)
    (event,) = events("web_errors")[before:]
    published = manifest(lake, "web_errors")
    assert event.extra["rows"] == published["rows"]
    assert event.extra["status"] == "proven"
    assert event.extra["manifest"] == "_manifests/web_errors/20260302T000000Z-20260303T000000Z.json"
    assert event.partition_key == "2026-03-02T00:00:00"


def test_a_run_by_hand_over_two_days_is_an_event_for_each_of_them(run: Run) -> None:
    before = len(events("web_errors"))
    assert (
        run("web_errors", conf={"from": "2026-03-01T00:00:00Z", "to": "2026-03-03T00:00:00Z"}).state
        == "success"
    )
    told = events("web_errors")[before:]
    assert {event.partition_key for event in told} == {"2026-03-01T00:00:00", "2026-03-02T00:00:00"}
    assert len(told) == 2
    assert told[0].extra == told[1].extra


def test_the_mapped_tasks_are_labelled_with_their_slices(run: Run) -> None:
    finished = run("web_errors", conf=MORNING)
    (chunk,) = [ti for ti in finished.get_task_instances() if ti.task_id == "export"]
    assert chunk.map_index == 0
    assert chunk.rendered_map_index == "2026-03-02T06:00:00Z … 2026-03-02T09:00:00Z"


def test_a_manual_run_carries_the_window_of_its_params(run: Run, lake: Path) -> None:
    finished = run("web_errors", conf=MORNING)
    assert finished.state == "success", states(finished)
    assert len(list((lake / "web_errors").rglob("*.parquet"))) == 3
    assert manifest(lake, "web_errors", "20260302T060000Z-20260302T090000Z")["status"] == "proven"


def test_a_window_that_runs_again_leaves_the_same_files(run: Run, lake: Path) -> None:
    run("web_errors", logical_date=DAY)
    before = {path: path.read_bytes() for path in (lake / "web_errors").rglob("*.parquet")}
    first = manifest(lake, "web_errors")
    run("web_errors", logical_date=DAY)
    assert {path: path.read_bytes() for path in (lake / "web_errors").rglob("*.parquet")} == before
    second = manifest(lake, "web_errors")
    assert (second["rows"], second["status"]) == (first["rows"], "proven")
    assert second["seq"] > first["seq"]
    assert not list(lake.glob("_staging/**/*.staged"))


@pytest.mark.parametrize(
    "conf", [None, {"from": "2026-03-02T06:00:00", "to": MORNING["to"]}], ids=["no window", "naive"]
)
def test_a_bad_window_fails_the_first_task_at_once_and_leaves_nothing(
    conf: dict[str, str] | None, run: Run, lake: Path
) -> None:
    finished = run("web_errors", conf=conf)
    assert finished.state == "failed"
    assert states(finished)["plan"] == "failed"
    assert {ti.try_number for ti in finished.get_task_instances() if ti.task_id == "plan"} == {1}
    assert not lake.exists()


def test_refused_keys_fail_at_once_without_retries(
    run: Run, lake: Path, datadog: DatadogSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    _connect(monkeypatch, "datadog_default", _datadog_connection(datadog, app_key="not-the-right-key"))
    finished = run("web_errors", conf=MORNING)
    assert finished.state == "failed"
    assert {ti.try_number for ti in finished.get_task_instances() if ti.state == "failed"} == {1}
    assert not (lake / "_manifests").exists()


def test_a_short_window_is_published_marked_and_fails_the_run(
    run: Run, lake: Path, datadog: DatadogSandbox
) -> None:
    before = len(events("web_errors"))
    datadog.api.plan.replace([{"fault": "datadog:drop_row"}])
    finished = run("web_errors", conf=MORNING)
    assert finished.state == "failed"
    assert states(finished) == {"plan": "success", "export": "success", "publish": "failed"}
    published = manifest(lake, "web_errors", "20260302T060000Z-20260302T090000Z")
    assert published["status"] == "short"
    assert published["rows"] < published["source_rows"]
    assert len(events("web_errors")) == before


def links(run: DagRun, task_id: str) -> dict[str, str]:
    query = select(XComModel).where(
        XComModel.run_id == run.run_id, XComModel.task_id == task_id, XComModel.key.startswith("_link_")
    )
    with create_session() as session:
        return {found.key: XComModel.deserialize_value(found) for found in session.scalars(query)}


def test_every_task_links_to_the_page_and_publish_to_what_it_published(run: Run, lake: Path) -> None:
    finished = run("web_errors", conf=MORNING)
    page = "http://airflow.example/base/plugin/logferry#/export/web_errors"
    coverage = {"_link_CoverageLink": f"{page}?from=2026-03-02T06:00:00Z&to=2026-03-02T09:00:00Z"}
    assert links(finished, "plan") == links(finished, "export") == coverage
    seq = manifest(lake, "web_errors", "20260302T060000Z-20260302T090000Z")["seq"]
    assert links(finished, "publish") == {**coverage, "_link_PartitionLink": f"{page}/record/{seq}"}
    stored = SerializedDagModel.get_dag("export_web_errors")
    assert stored is not None
    assert set(stored.get_task("publish").operator_extra_link_dict) == {"Coverage", "Published partition"}
    assert set(stored.get_task("export").operator_extra_link_dict) == {"Coverage"}


def test_a_short_window_is_told_once_and_not_again_by_the_next_run(
    run: Run,
    lake: Path,
    datadog: DatadogSandbox,
    webhook: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    define(lake, "web_errors", notify=[{"kind": "webhook", "connection": "hook"}])
    datadog.api.plan.replace([{"fault": "datadog:drop_row"}])
    assert run("web_errors", conf=MORNING).state == "failed"
    published = manifest(lake, "web_errors", "20260302T060000Z-20260302T090000Z")
    (told,) = webhook
    first, *_ = told["text"].splitlines()
    assert first == (
        f"web_errors is short: {published['rows']:,} rows are written, the source counts "
        f"{published['source_rows']:,}, in the window 2026-03-02T06:00:00Z to 2026-03-02T09:00:00Z."
    )
    assert (
        "Next: logferry export web_errors --from 2026-03-02T06:00:00Z --to 2026-03-02T09:00:00Z"
        in told["text"]
    )
    assert "See: http://airflow.example/base/plugin/logferry#/export/web_errors?from=" in told["text"]

    assert run("web_errors", conf=MORNING).state == "failed"
    again = manifest(lake, "web_errors", "20260302T060000Z-20260302T090000Z")
    assert (again["seq"] > published["seq"], again["rows"]) == (True, published["rows"])
    assert webhook == [told]


def test_a_webhook_that_is_gone_changes_no_run(
    run: Run, lake: Path, datadog: DatadogSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    _connect(monkeypatch, "hook", {"conn_type": "http", "host": "http://127.0.0.1:9/services/s3cr3t-path"})
    define(lake, "web_errors", notify=[{"kind": "webhook", "connection": "hook"}])
    assert run("web_errors", conf=MORNING).state == "success"
    datadog.api.plan.replace([{"fault": "datadog:drop_row"}])
    finished = run("web_errors", conf={"from": MORNING["to"], "to": "2026-03-02T12:00:00Z"})
    assert states(finished) == {"plan": "success", "export": "success", "publish": "failed"}


def searches(datadog: DatadogSandbox) -> int:
    return sum(datadog.api.plan.stats()["requests"].get("POST /api/v2/logs/events/search", {}).values())


def test_a_try_that_dies_midway_is_gone_on_with_by_the_next_one(
    run: Run, lake: Path, datadog: DatadogSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    asked_of_the_dead: list[int] = []
    save = TaskProgress.save

    def save_and_die(self: TaskProgress, progress: dict[str, Any]) -> None:
        save(self, progress)
        saved.append(len(progress["parts"]))
        if saved[-1] >= 4 and not asked_of_the_dead:
            asked_of_the_dead.append(searches(datadog) - before)
            raise SystemExit("the worker is gone")

    before = searches(datadog)
    assert run("web_errors", logical_date=DAY).state == "success"
    healthy = searches(datadog) - before
    assert healthy > 4

    monkeypatch.setattr(TaskProgress, "save", save_and_die)
    define(lake, "again", horizon="24h")
    before = searches(datadog)
    finished = run("again", logical_date=DAY)
    assert finished.state == "success", states(finished)
    tries = {ti.task_id: ti.try_number for ti in finished.get_task_instances()}
    assert tries == {"plan": 1, "export": 2, "publish": 1}
    # What had been asked for and was still on its way to the store is staged too, and not asked for again.
    assert searches(datadog) - before == healthy
    published = manifest(lake, "again")
    assert published["status"] == "proven"
    assert published["rows"] == rows_in(lake, "again") == manifest(lake, "web_errors")["rows"]
    assert published["run"]["id"] == finished.run_id


def test_a_task_that_the_allowance_holds_up_is_deferred_and_goes_on(
    run: Run, lake: Path, datadog: DatadogSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = searches(datadog)
    assert run("web_errors", logical_date=DAY).state == "success"
    healthy = searches(datadog) - before

    # Waits of a moment, as if they were of minutes: before the first slice, and before the fourth. Each is asked for
    # once more before the task defers.
    waits = [0.001, 0.001, 0.0, 0.0, 0.0, 0.001, 0.001]
    monkeypatch.setattr(waiting, "WORTH_DEFERRING_S", 0.0)
    monkeypatch.setattr(waiting, "_JITTER_S", 0.0)
    monkeypatch.setattr(Budget, "wait_s", lambda self, bucket: waits.pop(0) if waits else 0.0)
    stretches: list[int] = []
    resume = ExportChunkOperator.resume

    def noted(self: Any, context: Any, event: object = None, waited_s: float = 0.0) -> dict[str, Any]:
        stretches.append(searches(datadog) - before)
        return resume(self, context, event, waited_s)

    monkeypatch.setattr(ExportChunkOperator, "resume", noted)
    define(lake, "held_up", horizon="24h")
    before = searches(datadog)
    finished = run("held_up", logical_date=DAY)
    assert finished.state == "success", states(finished)
    assert stretches == [0, 0, 3]
    assert {ti.try_number for ti in finished.get_task_instances()} == {1}
    assert searches(datadog) - before == healthy
    published = manifest(lake, "held_up")
    assert published["status"] == "proven"
    assert published["rows"] == rows_in(lake, "held_up") == manifest(lake, "web_errors")["rows"]


def define(lake: Path, name: str, **replaced: Any) -> Path:
    """Another export beside the shipped ones: the web store's logs, day by day."""
    definition = {
        "name": name,
        "source": {"kind": "datadog", "connection": "datadog_default", "query": "service:web-store"},
        "schedule": "@daily",
        "start": "2026-01-01T00:00:00Z",
        "settle": "0m",
        "destination": {"url": lake.as_uri()},
        **replaced,
    }
    path = lake.parent / "exports" / f"{name}.yaml"
    path.write_text(yaml.safe_dump(definition))
    return path


class At:
    """A clock of another time; waiting costs none."""

    def __init__(self, tick: int) -> None:
        self.tick = tick

    def now(self) -> int:
        return self.tick

    def sleep(self, seconds: float) -> None:
        self.tick += int(seconds * TICK_PER_SECOND) + 1


def test_upkeep_runs_a_missed_day_and_a_day_whose_rows_came_late_and_then_nothing(
    run: Run, lake: Path, datadog: DatadogSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        (lake.parent / "exports" / f"{name}.yaml").unlink()
    today = SystemClock().now() // TICK_PER_DAY * TICK_PER_DAY
    first, missed, late = (
        Window(today - n * TICK_PER_DAY, today - (n - 1) * TICK_PER_DAY) for n in (3, 2, 1)
    )
    spec = load_export(define(lake, "shop", start=format_instant(first.start), horizon="30d", slice="6h"))
    settings = datadog.api.settings
    datadog.api.settings = settings.updated({"late_every": 7})
    for window in (first, late):
        with open_ferry(spec, connect, run_id="past", clock=At(window.end)) as ferry:
            past = ferry.carry(window)
    datadog.api.settings = settings.updated({"late_every": 0})
    before = rows_in(lake, "shop")
    sync_bag_to_db(DagBag(DAGS, bundle_path=DAGS, bundle_name="dags-folder"), "dags-folder", None)

    assert upkeep() == {"survey": "success", "gather": "success", "trigger": "success"}
    due = {dag_run.run_id: dag_run for dag_run in runs_of("export_shop")}
    assert [due[run_id(first, 2)].conf, due[run_id(missed, 0)].conf, due[run_id(late, past.seq)].conf] == [
        {**span(first), "only_moved": True},
        span(missed),
        {**span(late), "only_moved": True},
    ]
    assert len(due) == 3
    assert {dag_run.logical_date for dag_run in due.values()} == {None}
    assert {str(dag_run.state) for dag_run in due.values()} == {"queued"}

    # While they wait, a pass starts nothing.
    assert upkeep() == {"survey": "success", "gather": "success", "trigger": "skipped"}
    assert len(runs_of("export_shop")) == 3

    # One that failed is started again, under its id, after a pause.
    with create_session() as session:
        failed = session.get_one(DagRun, due[run_id(missed, 0)].id)
        failed.state = DagRunState.FAILED
    assert upkeep() == {"survey": "success", "gather": "success", "trigger": "skipped"}
    with create_session() as session:
        failed = session.get_one(DagRun, due[run_id(missed, 0)].id)
        assert failed.end_date is not None
        failed.end_date -= timedelta(hours=1)
    assert upkeep() == {"survey": "success", "gather": "success", "trigger": "success"}
    assert {str(dag_run.state) for dag_run in runs_of("export_shop")} == {"queued"}
    assert len(runs_of("export_shop")) == 3

    for dag_run in due.values():
        assert run("shop", conf=dag_run.conf).state == "success"
    whole = Window(first.start, late.end)
    truth = datadog.store.truth(whole.start // 10_000, whole.end // 10_000, "service:web-store")
    assert rows_in(lake, "shop") == len(truth) > before
    again = manifest(lake, "shop", f"{format_compact(late.start)}-{format_compact(late.end)}")
    moved = [entry for entry in again["slices"] if "previous_rows" in entry]
    assert moved
    assert all(entry["previous_rows"] < entry["rows"] for entry in moved)

    assert upkeep() == {"survey": "success", "gather": "success", "trigger": "skipped"}

    with create_session() as session:
        told = session.get_one(AssetEvent, events("shop")[-1].id)
        assert told.extra["lake"] == lake.as_uri()
        told.extra = {**told.extra, "hash": "sha256:" + "0" * 64}
    finished = upkeep_run()
    assert finished.state == "failed"
    assert states(finished)["audit"] == "failed"


def test_an_export_whose_survey_fails_holds_up_no_other_and_fails_the_pass(
    run: Run, lake: Path, datadog: DatadogSandbox
) -> None:
    for name in NAMES:
        (lake.parent / "exports" / f"{name}.yaml").unlink()
    today = SystemClock().now() // TICK_PER_DAY * TICK_PER_DAY
    first, missed = (Window(today - n * TICK_PER_DAY, today - (n - 1) * TICK_PER_DAY) for n in (2, 1))
    define(lake, "dark", destination={"url": "s3://a-bucket/logs", "connection": "aws_not_there"})
    spec = load_export(define(lake, "lit", start=format_instant(first.start), slice="1d", horizon="30d"))
    with open_ferry(spec, connect, run_id="past", clock=At(first.end)) as ferry:
        ferry.carry(first)
    sync_bag_to_db(DagBag(DAGS, bundle_path=DAGS, bundle_name="dags-folder"), "dags-folder", None)

    finished = upkeep_run()
    assert finished.state == "failed"
    assert {
        (ti.task_id, ti.rendered_map_index or ""): str(ti.state) for ti in finished.get_task_instances()
    } == {
        ("survey", "dark"): "failed",
        ("survey", "lit"): "success",
        ("all_surveyed", ""): "upstream_failed",
        ("gather", ""): "success",
        ("trigger", f"export_lit {run_id(missed, 0)}"): "success",
        ("audit", "dark"): "failed",
        ("audit", "lit"): "success",
    }
    assert run_id(missed, 0) in {dag_run.run_id for dag_run in runs_of("export_lit")}


def test_a_lake_that_upkeep_cannot_read_for_hours_is_told_once(
    lake: Path, webhook: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since when is kept in Airflow's own database, as the lake is what fails."""
    for name in NAMES:
        (lake.parent / "exports" / f"{name}.yaml").unlink()
    define(
        lake,
        "gone",
        destination={"url": "s3://a-bucket/logs", "connection": "aws_not_there"},
        notify=[{"kind": "webhook", "connection": "hook"}],
    )
    sync_bag_to_db(DagBag(DAGS, bundle_path=DAGS, bundle_name="dags-folder"), "dags-folder", None)
    with create_session() as session:
        session.get_one(DagModel, "export_gone").is_paused = False
    started = SystemClock().now()
    for hours in (0, 4, 5):
        monkeypatch.setattr(SystemClock, "now", lambda self, hours=hours: started + hours * TICK_PER_HOUR)
        assert states(upkeep_run())["survey"] == "failed"
        assert len(webhook) == (hours >= 4)
    (told,) = webhook
    assert told["text"].startswith("gone cannot be looked after since ")
    assert "aws_not_there" in told["text"]


def upkeep_run() -> DagRun:
    """One pass of ``archive_upkeep``."""
    finished: DagRun = DagBag(DAGS).dags["archive_upkeep"].test()
    return finished


def upkeep() -> dict[str, str]:
    """One pass that succeeds: what became of its tasks."""
    finished = upkeep_run()
    found = states(finished)
    assert finished.state == "success", found
    assert (found.pop("audit"), found.pop("all_surveyed")) == ("success", "success")
    return found


def runs_of(dag_id: str) -> list[DagRun]:
    with create_session() as session:
        query = select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id.startswith("upkeep__"))
        return list(session.scalars(query))


def run_id(window: Window, seq: int) -> str:
    return f"upkeep__{format_compact(window.start)}-{format_compact(window.end)}__{seq}"


def span(window: Window) -> dict[str, str]:
    return {"from": format_instant(window.start), "to": format_instant(window.end)}


def test_a_broken_definition_is_an_import_error_beside_running_dags(
    run: Run, lake: Path, tmp_path: Path
) -> None:
    (tmp_path / "exports" / "broken.yaml").write_text("name: broken\n")
    assert run("web_errors", conf=MORNING).state == "success"
    sync_bag_to_db(DagBag(DAGS, bundle_path=DAGS, bundle_name="dags-folder"), "dags-folder", None)
    with create_session() as session:
        (error,) = session.scalars(select(ParseImportError)).all()
        broken = select(func.count()).select_from(DagModel).where(DagModel.has_import_errors.is_(True))
        assert session.scalar(broken) == 0
    assert error.filename == "broken_exports.py"
    assert error.stacktrace is not None
    assert str(tmp_path / "exports" / "broken.yaml") in error.stacktrace
    assert "schedule" in error.stacktrace
