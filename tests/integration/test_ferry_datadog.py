"""The whole ferry against the sandbox's Datadog, over real sockets, into a folder and into S3."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from tests.integration.datadog_port import DAY, HOURS, DatadogPort, assert_is_the_truth
from tests.integration.s3_server import S3Server

from logferry.connection import Connection
from logferry.credentials.aws import s3_client, s3_settings
from logferry.errors import CredentialsError, DefinitionError
from logferry.plan import Plan
from logferry.publishing.results import ChunkResult
from logferry.window import TICK_PER_HOUR, TICK_PER_MS, Window
from logferry_sandbox.datadog_settings import PAGE_ENDS
from logferry_sandbox.datadog_store import DatadogStore

pytestmark = pytest.mark.integration


MakePort = Callable[..., DatadogPort]


def test_a_day_with_more_events_in_a_millisecond_than_a_page_is_carried_whole(
    port: DatadogPort, tmp_path: Path
) -> None:
    manifest = port.carry(DAY)
    assert_is_the_truth(port, manifest, DAY)
    assert len(manifest.slices) == 24
    assert manifest.requests["count"] >= 2
    read = ds.dataset(tmp_path / "lake" / "web", partitioning="hive", format="parquet").to_table()
    assert read.num_rows == manifest.rows
    assert set(read["dt"].to_pylist()) == {"2026-11-20"}


def test_what_was_carried_is_what_the_events_say_to_the_last_byte(make_port: MakePort) -> None:
    events = [
        (
            b'{"id":"one","type":"log","attributes":{"timestamp":"2026-11-20T09:00:00.000Z",'
            b'"message":"na\xc3\xafve \\ud83d\\ude00\\n","tags":["a"],'
            b'"attributes":{ "n": 9007199254740993, "x":1e400,"http":{"status_code":200} }}}'
        ),
        b'{"id":"two","type":"log","new":[1],"attributes":{"timestamp":"2026-11-20T09:59:59.999Z","message":null,"status":5}}',
    ]
    port = make_port(store=DatadogStore(events=events))
    manifest = port.carry()
    assert (manifest.status, manifest.rows) == ("proven", 2)
    one, two = port.table(manifest).to_pylist()
    assert one["message"] == "naïve 😀\n"
    assert one["attributes"] == '{ "n": 9007199254740993, "x":1e400,"http":{"status_code":200} }'
    assert (one["http_status"], one["extra"], one["service"]) == (200, None, None)
    assert two["extra"] == '{"new":[1],"attributes":{"status":5}}'


def test_bounds_that_include_or_exclude_either_end_give_the_same_files(
    make_port: MakePort, tmp_path: Path
) -> None:
    on_the_edges = [
        {"id": f"{at}-{number}", "attributes": {"timestamp": f"2026-11-20T{at}Z"}}
        for at in (
            "08:59:59.999",
            "09:00:00.000",
            "09:59:59.999",
            "10:00:00.000",
            "11:59:59.999",
            "12:00:00.000",
        )
        for number in range(3)
    ]
    found = set()
    for number, (low, high) in enumerate([(False, False), (False, True), (True, False), (True, True)]):
        port = make_port(url=(tmp_path / f"lake-{number}").as_uri(), store=DatadogStore(events=on_the_edges))
        port.settings(inclusive_from=low, inclusive_to=high)
        manifest = port.carry()
        assert_is_the_truth(port, manifest, HOURS)
        found.add(tuple(port.hashes(manifest)))
    assert len(found) == 1


@pytest.mark.parametrize("page_end", sorted(PAGE_ENDS))
@pytest.mark.parametrize("final_cursor", [True, False])
def test_every_end_of_pagination_gives_the_same_rows(
    port: DatadogPort, page_end: str, final_cursor: bool
) -> None:
    port.settings(page_end=page_end, final_cursor=final_cursor, short_pages=70)
    assert_is_the_truth(port, port.carry(), HOURS)


@pytest.mark.parametrize("page_end", sorted(PAGE_ENDS))
@pytest.mark.parametrize("rules", [[], [{"fault": "datadog:duplicate_rows"}]], ids=["healthy", "duplicates"])
def test_a_chain_that_is_followed_to_its_own_end_loses_nothing(
    port: DatadogPort, page_end: str, rules: list[dict[str, Any]]
) -> None:
    """Without a planned count nothing but the source itself says that a chain has ended."""
    port.settings(page_end=page_end, short_pages=70)
    port.faults(*rules)
    with port.ferry() as ferry:
        plan = ferry.plan(HOURS).to_json()
        blind = Plan.from_json({**plan, "slices": [{**slice_, "rows": None} for slice_ in plan["slices"]]})
        assert_is_the_truth(port, ferry.carry(HOURS, plan=blind), HOURS)


def test_a_small_allowance_is_kept_and_nothing_is_refused(port: DatadogPort) -> None:
    # One by one: where a lane's pause moves the time of all, what another has just sent would arrive in a later period.
    port.in_flight = 1
    port.settings(search_limit=3, aggregate_limit=2, short_pages=40)
    assert_is_the_truth(port, port.carry(), HOURS)
    assert port.sandbox.api.plan.stats()["throttled"] == 0


def test_a_key_that_may_not_count_leaves_a_complete_but_unproven_window(port: DatadogPort) -> None:
    port.faults({"fault": "http_error", "params": {"status": 403}, "match": {"path_contains": "aggregate"}})
    manifest = port.carry()
    assert (manifest.status, manifest.source_rows) == ("unproven", None)
    assert port.table(manifest)["id"].to_pylist() == port.truth(HOURS)


def test_a_key_that_may_not_read_is_refused_and_publishes_nothing(port: DatadogPort) -> None:
    port.app_key = "app_key_without_logs"
    with pytest.raises(CredentialsError, match="logs_read_data"):
        port.carry()
    assert list(port.store().list("")) == []


def test_a_restricted_key_does_not_lower_what_is_proven(port: DatadogPort) -> None:
    full = port.carry()
    port.app_key = "app_key_restricted"
    again = port.carry()
    assert (again.status, again.rows) == ("proven", full.rows)
    assert port.hashes(again) == port.hashes(full)
    assert sum(entry.source_now or 0 for entry in again.slices) < full.rows


def test_rows_that_arrive_late_are_found_by_the_next_run(port: DatadogPort) -> None:
    port.settings(late_every=10)
    early = port.carry()
    assert early.status == "proven"
    port.settings(late_every=0)
    late = port.carry()
    assert late.rows > early.rows
    assert_is_the_truth(port, late, HOURS)


def test_an_older_slice_than_the_retention_is_unproven(port: DatadogPort) -> None:
    assert port.carry(retention="2d").status == "unproven"


@pytest.mark.parametrize("shift", [1, TICK_PER_MS, TICK_PER_HOUR // 2])
def test_a_window_off_the_grid_asks_for_nothing(port: DatadogPort, shift: int) -> None:
    with pytest.raises(DefinitionError, match="slice grid"):
        port.carry(Window(HOURS.start + shift, HOURS.end))
    assert port.sandbox.api.plan.stats()["requests"] == {}


def test_a_query_carries_what_it_matches_and_no_more(port: DatadogPort) -> None:
    assert_is_the_truth(port, port.carry(DAY, query="status:error"), DAY, "status:error")


def test_a_second_run_uploads_nothing(port: DatadogPort) -> None:
    first = port.carry()
    before = {info.key: info.etag for info in port.store().list("web/")}
    second = port.carry()
    assert {info.key: info.etag for info in port.store().list("web/")} == before
    assert second.files == first.files


def test_a_healthy_window_costs_one_count_for_the_plan_one_for_the_proof_and_full_pages(
    port: DatadogPort,
) -> None:
    manifest = port.carry()
    pages = sum(-(-entry.rows // 1000) for entry in manifest.slices)
    assert manifest.requests == {"search": pages, "count": 2, "retried": 0, "throttled": 0}


@pytest.fixture
def s3_port(make_port: MakePort, s3_server: S3Server) -> DatadogPort:
    bucket = f"ferry-{uuid.uuid4().hex[:12]}"
    connection = Connection(
        "s3",
        "aws",
        login=s3_server.access_key,
        password=s3_server.secret,
        extra={"endpoint_url": s3_server.endpoint_url, "region_name": "us-east-1"},
    )
    s3_client(s3_settings(connection)).create_bucket(Bucket=bucket)
    return make_port(url=f"s3://{bucket}/logs", s3=connection)


def test_into_s3_whole_twice_and_unchanged(s3_port: DatadogPort) -> None:
    first = s3_port.carry()
    assert_is_the_truth(s3_port, first, HOURS)
    store = s3_port.store()
    before = {info.key: info.etag for info in store.list("web/")}
    info = store.head(first.files[0].key)
    assert info is not None
    assert info.metadata["row-hash"] == first.files[0].row_hash
    second = s3_port.carry()
    assert {info.key: info.etag for info in store.list("web/")} == before
    assert second.seq > first.seq
    assert second.files == first.files
    assert list(store.list("_staging/")) == []


def test_tasks_that_hand_each_other_json_end_in_the_same_files_as_one_process(s3_port: DatadogPort) -> None:
    carried = s3_port.carry()

    def again(value: Any) -> Any:
        return type(value).from_json(json.loads(json.dumps(value.to_json())))

    with s3_port.ferry() as planner:
        plan = again(planner.plan(HOURS))
    results: list[ChunkResult] = []
    for chunk in plan.chunks(3, 1):
        with s3_port.ferry() as worker:
            results.append(again(worker.export(again(chunk))))
    with s3_port.ferry() as publisher:
        published = publisher.publish(HOURS, results)
    assert len(results) > 1
    assert published.files == carried.files
    assert_is_the_truth(s3_port, published, HOURS)
