"""Survey, gather and audit, driven by hand: a local Datadog, a lake in a folder, and an Airflow of two dicts."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowFailException, AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from logferry.audit.upkeep import AUDIT_WHOLE, MOST_RUNS
from logferry.clock import SystemClock
from logferry.errors import CredentialsError, StoreError
from logferry.ferry import open_ferry
from logferry.spec import ExportSpec, load_export
from logferry.stores.local import LocalStore
from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_SECOND,
    Window,
    format_compact,
    format_instant,
    parse_instant,
    to_datetime,
)
from logferry_airflow.assets import export_asset
from logferry_airflow.hooks.connections import connect
from logferry_airflow.operators.upkeep import AuditOperator, GatherRunsOperator, SurveyOperator
from logferry_airflow.webhook import WebhookNotifier
from logferry_sandbox.datadog_sandbox import DatadogSandbox

pytestmark = [pytest.mark.airflow, pytest.mark.integration]

NOW = SystemClock().now()
"""One time for all tests: a survey after midnight would find a day more to be missed."""
TODAY = NOW // TICK_PER_DAY * TICK_PER_DAY
AGGREGATE = "POST /api/v2/logs/analytics/aggregate"


class FakeAirflow:
    """What a task asks of Airflow: DAGs by id (paused or not), and runs."""

    try_number = 1

    def __init__(self) -> None:
        self.dags = {"export_shop": False}
        self.runs: list[tuple[str, datetime | None, str]] = []
        self.ended_hours_ago = 3
        self.cleared = 0

    def get_dag(self, dag_id: str) -> Any:
        if dag_id not in self.dags:
            detail = {"status_code": 404, "message": "not found"}
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))
        return SimpleNamespace(is_paused=self.dags[dag_id])

    def get_dr_count(
        self,
        dag_id: str,
        logical_dates: list[datetime] | None = None,
        run_ids: list[str] | None = None,
        states: list[str] | None = None,
    ) -> int:
        return sum(
            (run_ids is None or run_id in run_ids)
            and (logical_dates is None or logical_date in logical_dates)
            and (states is None or state in states)
            for run_id, logical_date, state in self.runs
        )

    def send(self, msg: Any) -> Any:
        """What Airflow's supervisor answers to a task that asks for a run in full."""
        assert msg.type == "GetDagRun"
        (state,) = (state for run_id, _, state in self.runs if run_id == msg.run_id)
        at = to_datetime(NOW - self.ended_hours_ago * TICK_PER_HOUR)
        return SimpleNamespace(state=state, end_date=at, run_after=at, clear_number=self.cleared)


class FakeEvents:
    """Events of one asset, newest first."""

    def __init__(self, extras: list[dict[str, Any]]) -> None:
        self.extras = extras

    def __getitem__(self, asset: Any) -> FakeEvents:
        assert asset.name == "shop"
        return self

    def ascending(self, ascending: bool) -> FakeEvents:
        assert ascending is False
        return self

    def limit(self, limit: int) -> FakeEvents:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(SimpleNamespace(extra=extra) for extra in self.extras)


class At:
    """A clock of another time; waiting costs none."""

    def __init__(self, tick: int) -> None:
        self.tick = tick

    def now(self) -> int:
        return self.tick

    def sleep(self, seconds: float) -> None:
        self.tick += int(seconds * TICK_PER_SECOND) + 1


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> FakeAirflow:
    airflow = FakeAirflow()
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", airflow, raising=False)
    return airflow


@pytest.fixture
def context(airflow: FakeAirflow) -> Any:
    return {"run_id": "manual__upkeep", "ti": airflow, "inlet_events": FakeEvents([])}


@pytest.fixture
def shop(
    tmp_path: Path, lake: Path, datadog: DatadogSandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ExportSpec]:
    """The project's only export, a daily one with slices of six hours that began five days ago."""
    folder = tmp_path / "exports"
    folder.mkdir()
    definition = {
        "name": "shop",
        "source": {"kind": "datadog", "connection": "dd_test", "query": "*"},
        "schedule": "@daily",
        "start": format_instant(TODAY - 5 * TICK_PER_DAY),
        "slice": "6h",
        "settle": "0m",
        "horizon": "30d",
        "destination": {"url": lake.as_uri()},
    }
    (folder / "shop.yaml").write_text(yaml.safe_dump(definition))
    monkeypatch.setenv("LOGFERRY_EXPORTS_DIR", str(folder))
    monkeypatch.setattr("logferry_airflow.operators.upkeep.SystemClock", lambda: At(NOW))
    settings = datadog.api.settings
    yield load_export(folder / "shop.yaml")
    datadog.api.settings = settings


def day(number: int) -> Window:
    """The day so many days before today."""
    return Window(TODAY - number * TICK_PER_DAY, TODAY - (number - 1) * TICK_PER_DAY)


def publish(spec: ExportSpec, window: Window) -> Any:
    """As a run would have, an hour after the window, which for the last one may not be over yet."""
    at = min(window.end + TICK_PER_HOUR, NOW)
    with open_ferry(spec, connect, run_id="past", clock=At(at)) as ferry:
        return ferry.carry(window)


def survey(context: Any) -> list[dict[str, Any]]:
    return SurveyOperator(task_id="survey", export="shop").execute(context)


def audit(context: Any) -> None:
    AuditOperator(task_id="audit", export="shop").execute(context)


def run_id(window: Window, seq: int) -> str:
    return f"upkeep__{format_compact(window.start)}-{format_compact(window.end)}__{seq}"


def test_windows_missed_since_the_first_publication_are_started_oldest_first(
    shop: ExportSpec, context: Any
) -> None:
    publish(shop, day(4))
    assert survey(context) == [
        {
            "trigger_dag_id": "export_shop",
            "trigger_run_id": run_id(day(number), 0),
            "conf": {"from": format_instant(day(number).start), "to": format_instant(day(number).end)},
            "reset_dag_run": False,
            "note": "missed: all 4 slices not published",
        }
        for number in (3, 2, 1)
    ]


def test_rows_that_came_late_bring_a_run_of_only_what_moved_after_one_count(
    shop: ExportSpec, context: Any, datadog: DatadogSandbox
) -> None:
    datadog.api.settings = datadog.api.settings.updated({"late_every": 5})
    for number in (3, 2, 1):
        manifest = publish(shop, day(number))
    assert survey(context) == []
    datadog.api.settings = datadog.api.settings.updated({"late_every": 0})
    before = datadog.api.plan.stats()["requests"][AGGREGATE]["200"]
    runs = survey(context)
    # One series; an hour without rows in it takes a total to be believed.
    assert datadog.api.plan.stats()["requests"][AGGREGATE]["200"] - before <= 2
    assert [run["conf"] for run in runs] == [
        {"from": format_instant(day(number).start), "to": format_instant(day(number).end), "only_moved": True}
        for number in (3, 2, 1)
    ]
    assert runs[-1]["trigger_run_id"] == run_id(day(1), manifest.seq)
    assert runs[-1]["note"].startswith("moved: ")


def carry_out(spec: ExportSpec, run: dict[str, Any]) -> Any:
    """What the export's DAG makes of a run that the survey asked for."""
    conf = run["conf"]
    window = Window(parse_instant(conf["from"]), parse_instant(conf["to"]))
    with open_ferry(spec, connect, run_id=run["trigger_run_id"]) as ferry:
        return ferry.carry(window, only_moved=conf.get("only_moved", False))


def test_rows_that_were_away_for_a_while_are_proven_anew(
    shop: ExportSpec, context: Any, datadog: DatadogSandbox
) -> None:
    publish(shop, day(1))
    datadog.api.settings = datadog.api.settings.updated({"late_every": 5})
    (dipped,) = survey(context)
    kept = carry_out(shop, dipped)
    assert all(entry.source_now < entry.rows for entry in kept.slices)
    assert all(entry.counted_at < entry.source_now_at for entry in kept.slices)
    assert survey(context) == []
    datadog.api.settings = datadog.api.settings.updated({"late_every": 0})
    (back,) = survey(context)
    assert back["note"].startswith("moved: 4 slices")
    again = carry_out(shop, back)
    assert all(entry.source_now is None for entry in again.slices)
    assert all(one.counted_at > two.source_now_at for one, two in zip(again.slices, kept.slices, strict=True))
    assert survey(context) == []


def test_a_window_that_could_not_be_counted_is_proven_by_one_run_once_it_can(
    shop: ExportSpec, context: Any, datadog: DatadogSandbox
) -> None:
    refused = {"fault": "http_error", "params": {"status": 403}, "match": {"path_contains": "aggregate"}}
    datadog.api.plan.replace([refused])
    assert publish(shop, day(1)).status == "unproven"
    assert survey(context) == []
    datadog.api.plan.replace([])
    (run,) = survey(context)
    assert run["note"].startswith("uncounted: 4 slices")
    manifest = carry_out(shop, run)
    assert manifest.status == "proven"
    assert survey(context) == []


def test_a_run_under_way_is_not_started_again_and_one_that_failed_is(
    shop: ExportSpec, context: Any, airflow: FakeAirflow
) -> None:
    publish(shop, day(5))
    airflow.runs = [
        (run_id(day(4), 0), None, "queued"),
        (run_id(day(3), 0), None, "failed"),
        (f"scheduled__{day(2)}", to_datetime(day(2).start), "running"),
        (f"scheduled__{day(1)}", to_datetime(day(1).start), "failed"),
    ]
    started = {run["trigger_run_id"]: run["reset_dag_run"] for run in survey(context)}
    assert started == {run_id(day(3), 0): True, run_id(day(1), 0): False}


@pytest.mark.parametrize(("cleared", "again"), [(0, True), (1, True), (2, False)])
def test_a_run_that_keeps_failing_is_started_ever_more_rarely(
    cleared: int, again: bool, shop: ExportSpec, context: Any, airflow: FakeAirflow
) -> None:
    publish(shop, day(2))
    airflow.runs = [(run_id(day(1), 0), None, "failed")]
    airflow.cleared = cleared
    assert [run["trigger_run_id"] for run in survey(context)] == [run_id(day(1), 0)] * again


@pytest.mark.parametrize("dags", [{"export_shop": True}, {}], ids=["paused", "unknown"])
def test_a_paused_export_is_left_alone_and_asked_nothing(
    dags: dict[str, bool], shop: ExportSpec, context: Any, airflow: FakeAirflow, datadog: DatadogSandbox
) -> None:
    publish(shop, day(4))
    airflow.dags = dags
    before = datadog.api.plan.stats()["requests"]
    assert survey(context) == []
    assert datadog.api.plan.stats()["requests"] == before


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, shop: ExportSpec, context: Any) -> list[str]:
    """The texts that went to the channel of ``shop``, whose asset is an inlet of the tasks."""
    assert shop.file is not None
    with shop.file.open("a") as file:
        file.write("notify:\n- {kind: webhook, connection: hook}\n")
    texts: list[str] = []
    monkeypatch.setattr(WebhookNotifier, "notify", lambda self, context: texts.append(self.text))
    context["asset_state_store"] = {export_asset("shop"): Kept()}
    return texts


class Kept(dict[str, Any]):
    """The state store of one asset."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


def at_hour(hour: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("logferry_airflow.operators.upkeep", "logferry_airflow.notify"):
        monkeypatch.setattr(f"{module}.SystemClock", lambda: At(TODAY + hour * TICK_PER_HOUR))


def test_an_export_that_never_publishes_its_first_window_is_told_and_a_pause_begins_anew(
    told: list[str], context: Any, airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour, paused, texts in (
        (12, False, 0),
        (24, False, 0),
        (24, True, 0),
        (26, False, 0),
        (49, False, 1),
    ):
        airflow.dags["export_shop"] = paused
        at_hour(hour, monkeypatch)
        assert survey(context) == []
        assert len(told) == texts, hour
    assert told[0].startswith("shop is behind: 1 window of its schedule '@daily' not published")


def test_an_export_that_has_published_is_no_longer_one_that_never_did(
    told: list[str], shop: ExportSpec, context: Any
) -> None:
    survey(context)
    (values,) = context["asset_state_store"].values()
    assert values
    publish(shop, day(1))
    survey(context)
    assert not values


def test_a_lake_that_could_not_be_read_before_a_pause_is_no_news_after_it(
    told: list[str], context: Any, airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*given: Any, **more: Any) -> Any:
        raise StoreError("the lake is away")

    monkeypatch.setattr("logferry.audit.archive.open_archive", away)
    for hour, paused in ((0, False), (1, True), (4, False)):
        airflow.dags["export_shop"] = paused
        at_hour(hour, monkeypatch)
        with contextlib.nullcontext() if paused else pytest.raises(StoreError):
            survey(context)
        assert not told
    at_hour(7, monkeypatch)
    with pytest.raises(StoreError):
        survey(context)
    assert "cannot be looked after" in told[0]


def test_an_audit_that_cannot_read_the_lake_for_hours_is_told(
    told: list[str], shop: ExportSpec, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shop.file is not None
    shop.file.write_text(
        shop.file.read_text().replace("connection: hook}", "connection: hook, on: [verification]}")
    )
    with monkeypatch.context() as patch:

        def away(*given: Any, **more: Any) -> Any:
            raise StoreError("the lake is away")

        patch.setattr("logferry.audit.archive.open_archive", away)
        for hour in (0, 3, 4):
            at_hour(hour, patch)
            with pytest.raises(StoreError):
                audit(context)
            assert len(told) == (hour >= 3)
    assert told == [told[0]]
    assert told[0].startswith("shop could not be verified: the lake is away")
    (values,) = context["asset_state_store"].values()
    assert values
    audit(context)
    assert not values


def test_an_export_that_has_never_run_needs_neither_keys_nor_a_lake(
    shop: ExportSpec, context: Any, monkeypatch: pytest.MonkeyPatch, lake: Path
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_DD_TEST")
    assert survey(context) == []
    audit(context)
    assert not lake.exists()


def test_only_counting_needs_the_keys(
    shop: ExportSpec, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(shop, day(4))
    connection = json.loads(os.environ["AIRFLOW_CONN_DD_TEST"])
    connection["extra"]["app_key"] = "not-the-right-key"
    monkeypatch.setenv("AIRFLOW_CONN_DD_TEST", json.dumps(connection))
    audit(context)
    with pytest.raises(CredentialsError):
        survey(context)


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


def test_an_intact_archive_passes_its_audit(shop: ExportSpec, context: Any, lake: Path) -> None:
    manifest = publish(shop, day(4))
    files = {path: path.read_bytes() for path in lake.rglob("*") if path.is_file()}
    context["inlet_events"] = FakeEvents([witness(lake, manifest)])
    audit(context)
    assert {path: path.read_bytes() for path in lake.rglob("*") if path.is_file()} == files


def witness(lake: Path, manifest: Any, **replaced: Any) -> dict[str, Any]:
    head = json.loads((lake / "_manifests/shop/HEAD.json").read_text())
    assert head["seq"] == manifest.seq
    window = {"from": manifest.window.start, "to": manifest.window.end}
    return {"seq": manifest.seq, "hash": head["hash"], "lake": lake.as_uri(), "window": window, **replaced}


def test_a_flipped_byte_fails_the_audit_with_a_sentence_that_names_the_file(
    shop: ExportSpec, context: Any, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = publish(shop, day(4))
    key = manifest.slices[1].file.key
    data = bytearray((lake / key).read_bytes())
    data[len(data) // 2] ^= 1
    (lake / key).write_bytes(data)
    # One of so many turns looks at this slice; each looks at some.
    for hour in range(30):
        monkeypatch.setattr(
            "logferry_airflow.operators.upkeep.SystemClock",
            lambda hour=hour: At(TODAY + hour * TICK_PER_HOUR),
        )
        try:
            audit(context)
        except AirflowFailException as error:
            found = str(error)
            break
    assert "the archive of shop is not what was published, 1 finding:" in found
    assert key in found


def test_a_journal_that_was_cut_is_told_by_the_events_of_the_asset(
    shop: ExportSpec, context: Any, lake: Path
) -> None:
    publish(shop, day(4))
    before = {path: path.read_bytes() for path in (lake / "_manifests/shop").rglob("*") if path.is_file()}
    manifest = publish(shop, day(3))
    told = witness(lake, manifest)
    for path in (lake / "_manifests/shop").rglob("*"):
        if path.is_file():
            path.unlink()
    for path, data in before.items():
        path.write_bytes(data)
    for path in (lake / "shop").glob(f"dt={to_datetime(day(3).start):%Y-%m-%d}/*"):
        path.unlink()
    audit(context)  # without a witness everything agrees
    context["inlet_events"] = FakeEvents([told])
    with pytest.raises(AirflowFailException, match="the archive of shop is not what was published"):
        audit(context)


def test_a_journal_that_lost_its_end_is_believed_again_once_the_lost_window_was_exported_again(
    shop: ExportSpec, context: Any, lake: Path
) -> None:
    kept = witness(lake, publish(shop, day(4)))
    head = (lake / "_manifests/shop/HEAD.json").read_bytes()
    lost = publish(shop, day(3))
    told = witness(lake, lost)
    for seq in (lost.seq, lost.seq - 1):
        (lake / f"_manifests/shop/journal/{seq:012}.json").unlink()
    (lake / "_manifests/shop/HEAD.json").write_bytes(head)
    context["inlet_events"] = FakeEvents([told, kept])
    with pytest.raises(AirflowFailException, match="its tail was cut off"):
        audit(context)
    again = witness(lake, publish(shop, day(3)))
    assert again["seq"] == told["seq"]
    assert again["hash"] != told["hash"]
    context["inlet_events"] = FakeEvents([again, told, kept])
    audit(context)
    # Of another window it still tells that the journal was rewritten.
    context["inlet_events"] = FakeEvents([again, {**told, "window": kept["window"]}])
    with pytest.raises(AirflowFailException, match="the journal was rewritten"):
        audit(context)


def test_an_audit_reads_the_end_of_the_journal_and_in_its_turn_all_of_it(
    shop: ExportSpec, context: Any, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (5, 4, 3, 2):
        for window in day(number).slices(shop.slice):
            newest = publish(shop, window)
    context["inlet_events"] = FakeEvents([witness(lake, newest)])
    operations: list[str] = []

    def counted(name: str) -> None:
        plain = getattr(LocalStore, name)

        def counting(store: LocalStore, key: str, **more: Any) -> Any:
            operations.append(key)
            return plain(store, key, **more)

        monkeypatch.setattr(LocalStore, name, counting)

    for name in ("read", "head", "list"):
        counted(name)

    def cost(turn: int) -> tuple[int, set[int]]:
        operations.clear()
        monkeypatch.setattr(
            "logferry_airflow.operators.upkeep.SystemClock", lambda: At(TODAY + turn * TICK_PER_HOUR)
        )
        audit(context)
        small = [key for key in operations if not key.startswith("shop/")]
        return len(small), {int(Path(key).stem) for key in small if "/journal/0" in key}

    costs = [cost(turn) for turn in range(AUDIT_WHOLE)]
    (whole,) = [one for one in costs if one[1] >= set(range(1, newest.seq + 1))]
    others = [one for one in costs if one != whole]
    assert len(others) == AUDIT_WHOLE - 1
    # The ledger is read twice (HEAD, a checkpoint, up to 16 records), the journal once from the witness on.
    assert max(most for most, _ in others) <= 60
    assert all(min(records) >= newest.seq - 16 for _, records in others)


def test_damage_far_back_in_the_journal_is_told_within_a_day_and_remembered_meanwhile(
    shop: ExportSpec, context: Any, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (5, 4, 3):
        for window in day(number).slices(shop.slice):
            newest = publish(shop, window)
    context["inlet_events"] = FakeEvents([witness(lake, newest)])
    record = lake / "_manifests/shop/journal/000000000002.json"
    record.write_bytes(record.read_bytes().replace(b"proven", b"prOven", 1))
    failed: list[str] = []
    for turn in range(2 * AUDIT_WHOLE):
        monkeypatch.setattr(
            "logferry_airflow.operators.upkeep.SystemClock",
            lambda turn=turn: At(TODAY + turn * TICK_PER_HOUR),
        )
        try:
            audit(context)
        except AirflowFailException as error:
            failed.append(str(error))
        if failed:
            assert record.name in (lake / "_manifests/shop/findings.json").read_text()
    assert len(failed) == 2
    assert all(record.name in sentence for sentence in failed)


@pytest.mark.parametrize("replaced", [{"lake": "s3://elsewhere/logs"}, {"lake": None}, {"seq": None}])
def test_events_of_another_lake_or_without_a_proof_are_no_witnesses(
    replaced: dict[str, Any], shop: ExportSpec, context: Any, lake: Path
) -> None:
    manifest = publish(shop, day(4))
    told = witness(lake, manifest, hash="sha256:" + "0" * 64)
    context["inlet_events"] = FakeEvents([{**told, **replaced}])
    audit(context)
    context["inlet_events"] = FakeEvents([told])
    with pytest.raises(AirflowFailException):
        audit(context)


def test_an_emptied_lake_is_no_quiet_success(shop: ExportSpec, context: Any, lake: Path) -> None:
    told = {"seq": 2, "hash": "sha256:" + "1" * 64, "lake": lake.as_uri()}
    context["inlet_events"] = FakeEvents([told])
    with pytest.raises(AirflowFailException):
        audit(context)


def test_the_log_says_what_was_done(
    shop: ExportSpec, context: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    publish(shop, day(2))
    with caplog.at_level(logging.INFO):
        survey(context)
    text = capsys.readouterr().out + caplog.text
    assert f"starting {run_id(day(1), 0)}: missed: all 4 slices not published" in text
    assert "shop: 1 window due, 1 run to start, 0 under way, pausing or left for a later pass" in text
