"""Numbers as StatsD gets them, and no task that fails for want of it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from logferry.spec import ExportSpec
from logferry_airflow import metrics
from logferry_airflow.metrics import count_publication
from logferry_airflow.operators.datadog import DatadogLogsToParquetOperator
from logferry_sandbox.datadog_sandbox import DatadogSandbox

pytestmark = [pytest.mark.airflow, pytest.mark.integration]


def parsed(packet: bytes) -> tuple[str, str, dict[str, str]]:
    """Name, value and tags of one counter in InfluxDB's form of StatsD: ``name,tag=a:1|c``."""
    named, _, value = packet.decode().rpartition(":")
    name, *tags = named.split(",")
    return name, value, dict(tag.split("=", 1) for tag in tags)


@pytest.fixture
def statsd() -> Iterator[Callable[[], list[tuple[str, str, dict[str, str]]]]]:
    """A StatsD server, and Airflow sending to it: what came so far."""
    pytest.importorskip("statsd")
    from airflow.sdk._shared.observability.metrics.statsd_logger import SafeStatsdLogger
    from airflow.sdk._shared.observability.metrics.validators import PatternAllowListValidator
    from airflow.sdk.observability import stats
    from statsd import StatsClient

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(20)
        client = StatsClient("127.0.0.1", server.getsockname()[1], prefix="airflow")
        stats.initialize(
            factory=lambda: SafeStatsdLogger(
                client,
                PatternAllowListValidator(),
                influxdb_tags_enabled=True,
                statsd_influxdb_enabled=True,
            ),
            export_legacy_names=False,
        )

        def came() -> list[tuple[str, str, dict[str, str]]]:
            # The last one that is awaited: what was sent before lies in the socket already.
            client.incr("end")
            found = []
            while not (packet := server.recv(4096)).startswith(b"airflow.end"):
                found.append(parsed(packet))
            return [one for one in found if one[0].startswith("airflow.logferry.")]

        yield came
        from airflow.sdk._shared.observability.metrics.base_stats_logger import NoStatsLogger

        stats.initialize(factory=NoStatsLogger, export_legacy_names=False)


def carry(lake: Path, context: dict[str, Any]) -> dict[str, Any]:
    task = DatadogLogsToParquetOperator(
        task_id="carry", name="counted", datadog_conn_id="dd_test", destination_url=lake.as_uri()
    )
    return task.execute(context)


def test_a_publication_and_its_requests_are_counted_with_export_and_source(
    datadog: DatadogSandbox,
    lake: Path,
    run_context: Callable[..., dict[str, Any]],
    statsd: Callable[[], list[tuple[str, str, dict[str, str]]]],
) -> None:
    summary = carry(lake, run_context())
    came = statsd()
    tags = {"export": "counted", "source": "datadog"}
    values = {(name.removeprefix("airflow.logferry."), told.get("kind")): value for name, value, told in came}
    assert values[("rows", None)] == f"{summary['rows']}|c"
    assert values[("bytes", None)] == f"{summary['bytes']}|c"
    assert values[("short", None)] == values[("late_rows", None)] == "0|c"
    assert values[("throttled_seconds", None)].endswith("|c")
    assert values[("requests", "count")] == "2|c", "the plan's, and the proof's"
    assert int(values[("requests", "search")].removesuffix("|c")) > 0
    assert all(tags.items() <= told.items() for _, _, told in came)


def test_requests_of_a_task_that_fails_are_counted_too(
    datadog: DatadogSandbox,
    lake: Path,
    run_context: Callable[..., dict[str, Any]],
    statsd: Callable[[], list[tuple[str, str, dict[str, str]]]],
) -> None:
    datadog.api.plan.replace([{"fault": "datadog:drop_row"}])
    with pytest.raises(Exception, match="is short"):
        carry(lake, run_context())
    values = {(name, told.get("kind")): value for name, value, told in statsd()}
    assert int(values[("airflow.logferry.short", None)].removesuffix("|c")) > 0
    assert int(values[("airflow.logferry.requests", "search")].removesuffix("|c")) > 0


def test_metrics_that_break_fail_no_task(
    datadog: DatadogSandbox,
    lake: Path,
    run_context: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise OSError("no buffer space")

    monkeypatch.setattr(metrics.stats, "incr", broken)
    assert carry(lake, run_context())["status"] == "proven"
    assert "the metric logferry.rows could not be sent: no buffer space" in caplog.messages


def test_late_rows_are_those_beyond_the_publication_before(
    make_spec: Callable[..., ExportSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    from logferry.records.manifest import FileEntry, Manifest, RunEntry, SliceEntry, Span

    def entry(hour: int, rows: int, previous: int | None) -> SliceEntry:
        file = FileEntry(key="k", rows=rows, bytes=7, sha256="", row_hash="", min_time=None, max_time=None)
        return SliceEntry(
            start=f"2026-11-20T{hour:02}:00:00Z", end=f"2026-11-20T{hour + 1:02}:00:00Z", status="proven", rows=rows,
            source_rows=rows, counted_at=None, file=file, previous_rows=previous,
        )  # fmt: skip

    at = "2026-11-21T00:00:00Z"
    manifest = Manifest(
        export="everything", seq=2, previous=None, fingerprint="f", source={},
        window=Span(start="2026-11-20T00:00:00Z", end="2026-11-20T03:00:00Z"), status="proven", rows=30,
        source_rows=30, columns=[], slices=[entry(0, 12, 5), entry(1, 3, 9), entry(2, 15, None)], requests={},
        run=RunEntry(id="r", attempt=1, started_at=at, finished_at=at, engine="logferry"),
    )  # fmt: skip
    sent: dict[str, int] = {}
    monkeypatch.setattr(metrics.stats, "incr", lambda name, count, tags: sent.update({name: count}))
    count_publication(make_spec(), manifest)
    assert sent == {
        "logferry.rows": 30,
        "logferry.bytes": 21,
        "logferry.short": 0,
        "logferry.late_rows": 7,
    }
