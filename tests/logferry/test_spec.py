"""The export definition: what it takes, and one clear line for everything it refuses."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logferry import project
from logferry.errors import DefinitionError
from logferry.spec import (
    DATADOG_COLUMNS,
    AzureMonitorSourceSpec,
    DatadogSourceSpec,
    ExportSpec,
    SmtpNotifySpec,
    WebhookNotifySpec,
    export_from,
    fingerprint,
    lake_url,
    load_export,
    load_exports,
    source_from,
)
from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_MINUTE,
    TICK_PER_SECOND,
    Window,
    parse_instant,
)

GUID = "11111111-2222-3333-4444-555555555555"
DATADOG = """\
name: web_errors
source:
  kind: datadog
  connection: datadog_default
schedule: "@daily"
start: 2026-01-01T00:00:00Z
"""
MONITOR = f"""\
name: app_requests
source:
  kind: azure_monitor
  connection: azure_default
  workspace: {GUID}
  table: AppRequests
schedule: "@daily"
start: 2026-01-01T00:00:00Z
"""
LEGACY = f"""\
name: legacy_events
source:
  kind: azure_log_search
  connection: azure_default
  subscription: {GUID}
  resource_group: logs
  workspace: my-workspace
  query: Type=Event
schedule: "@daily"
start: 2026-01-01T00:00:00Z
"""


@pytest.fixture
def refusal(tmp_path: Path) -> Any:
    """A function that loads a text and gives the lines of its refusal, without the file's path."""

    def load(text: str | bytes) -> list[str]:
        path = tmp_path / "one.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(DefinitionError) as caught:
            load_export(path)
        lines = str(caught.value).split("\n")
        assert all(line.startswith(f"{path}: ") for line in lines)
        assert "pydantic" not in str(caught.value).lower()
        return [line.removeprefix(f"{path}: ") for line in lines]

    return load


def load(tmp_path: Path, text: str) -> ExportSpec:
    path = tmp_path / "one.yaml"
    path.write_text(text)
    return load_export(path)


def test_a_short_datadog_definition_gets_the_documented_defaults(tmp_path: Path) -> None:
    spec = load(tmp_path, DATADOG)
    assert isinstance(spec.source, DatadogSourceSpec)
    assert (spec.source.query, spec.source.indexes, spec.source.storage_tier) == ("*", ("*",), "indexes")
    assert spec.start == parse_instant("2026-01-01T00:00:00Z")
    assert (spec.slice, spec.settle) == (TICK_PER_HOUR, 30 * TICK_PER_MINUTE)
    assert (spec.horizon, spec.pool) == (24 * TICK_PER_HOUR, "default_pool")
    assert spec.columns == {}
    assert spec.file == tmp_path / "one.yaml"


@pytest.mark.parametrize("text", [MONITOR, LEGACY])
def test_azure_rows_may_be_two_days_late(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).horizon == 49 * TICK_PER_HOUR


def test_every_field_of_a_definition_is_read(tmp_path: Path) -> None:
    text = DATADOG.replace(
        "connection: datadog_default",
        "connection: dd\n  query: 'service:web status:error'\n  indexes: [main, retail]\n"
        "  storage_tier: flex\n  retention: 15d",
    )
    text += (
        "slice: 15m\nsettle: 0m\nhorizon: 0m\npool: logs\n"
        "destination: {url: s3://acme-lake/logs/, connection: aws_default}\n"
        "columns:\n  http_status: {path: http.status_code, type: int64}\n"
    )
    spec = load(tmp_path, text)
    assert isinstance(spec.source, DatadogSourceSpec)
    assert spec.source.indexes == ("main", "retail")
    assert spec.source.retention == 15 * TICK_PER_DAY
    assert (spec.slice, spec.settle, spec.horizon, spec.pool) == (15 * TICK_PER_MINUTE, 0, 0, "logs")
    assert spec.destination.url == "s3://acme-lake/logs"
    assert spec.columns["http_status"].path == "http.status_code"


def test_a_workspace_guid_is_one_whatever_its_case(tmp_path: Path) -> None:
    spec = load(tmp_path, MONITOR.replace(GUID, "AAAAAAAA-2222-3333-4444-555555555555"))
    assert isinstance(spec.source, AzureMonitorSourceSpec)
    assert spec.source.workspace == "aaaaaaaa-2222-3333-4444-555555555555"


NAME = "name: web_errors"
REFUSED = [
    ("name: web_errors", "name: Web-errors", "name", "use small letters"),
    ("name: web_errors", "name: 2026-01-01", "name", "use small letters"),
    ("name: web_errors", "pool: p", "name", "is missing"),
    (NAME, "name: web_errors\nsettel: 1h", "settel", "did you mean settle?"),
    (NAME, "name: web_errors\nretention: 1d", "retention", "it belongs below source"),
    (NAME, "name: web_errors\nwindow: 1d", "window", "use one of name, source, schedule"),
    (NAME, "name: web_errors\npool:", "pool", "is empty"),
    ("kind: datadog\n", "kind: splunk\n", "source.kind", "one of datadog, azure_monitor, azure_log_search"),
    ("  kind: datadog\n", "", "source.kind", "is missing"),
    ("kind: datadog\n", "kind: [datadog]\n", "source.kind", "a list is not known"),
    ("connection: datadog_default", "query: x", "source.connection", "is missing"),
    ("connection: datadog_default", "connection: ''", "source.connection", "is empty"),
    ("connection: datadog_default", "connection: d\n  schedule: x", "source.schedule", "at the top of the file"),
    ("connection: datadog_default", "connection: d\n  query: 404", "source.query", "put it in quotes"),
    ("connection: datadog_default", "connection: d\n  query: ''", "source.query", "for every log"),
    ("connection: datadog_default", "connection: d\n  indexes: main", "source.indexes", "is not a list"),
    ("connection: datadog_default", "connection: d\n  indexes: []", "source.indexes", "the list is empty"),
    ("connection: datadog_default", "connection: d\n  indexes: [a, 5]", "source.indexes", "name of an index"),
    ("connection: datadog_default", "connection: d\n  indexes: [a, a]", "source.indexes", "named twice"),
    ("connection: datadog_default", "connection: d\n  storage_tier: cold", "source.storage_tier", "'flex'"),
    ("connection: datadog_default", "connection: d\n  retention: 0d", "source.retention", "out of bounds"),
    ("connection: datadog_default", "connection: d\n  retention: 15", "source.retention", "has no unit"),
    ('"@daily"', "hourly", "schedule", "is not a cron expression"),
    ('"@daily"', '"@never"', "schedule", "is not a preset"),
    ('"@daily"', '"0 0 30 2 *"', "schedule", "is not a schedule that fires"),
    ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "start", "not an absolute time with a zone"),
    ("2026-01-01T00:00:00Z", "2026-01-01", "start", "not an absolute time with a zone"),
    ("2026-01-01T00:00:00Z", "now-1d", "start", "not an absolute time with a zone"),
    ("2026-01-01T00:00:00Z", "1767225600000", "start", "no time with a zone"),
    ("2026-01-01T00:00:00Z", "1969-12-31T23:00:00Z", "start", "between 1970 and 2200"),
    ("2026-01-01T00:00:00Z", "9999-12-31T00:00:00Z", "start", "between 1970 and 2200"),
    ("2026-01-01T00:00:00Z", "2200-01-01T00:00:00Z", "start", "between 1970 and 2200; correct the year"),
    ("2026-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "start", "years 1 to 9999 of UTC; correct the year"),
    ("2026-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00", "start", "years 1 to 9999 of UTC; correct the year"),
    ("2026-01-01T00:00:00Z", "2026-01-01T00:20:00Z", "start", "2026-01-01T00:00:00Z or 2026-01-01T01:00:00Z"),
    (NAME, "name: web_errors\nslice: 60", "slice", "has no unit"),
    (NAME, "name: web_errors\nslice: 1:00", "slice", "has no unit"),
    (NAME, "name: web_errors\nslice: 30s", "slice", "between 1m and 1d"),
    (NAME, "name: web_errors\nslice: 25h", "slice", "between 1m and 1d"),
    (NAME, "name: web_errors\nslice: true", "slice", "is no text"),
    (NAME, "name: web_errors\nslice:", "slice", "is empty; write it like 30m"),
    (NAME, "name: web_errors\nsettle: -1h", "settle", "is not a duration"),
    (NAME, "name: web_errors\nhorizon: 999999999d", "horizon", "between 0m and 366d"),
    (NAME, "name: web_errors\ncolumns: [a]", "columns", "no block of 'key: value'"),
    (NAME, "name: web_errors\ncolumns: {a: {path: b, type: int}}", "columns.a.type", "'int64'"),
    (NAME, "name: web_errors\ncolumns: {a: {type: int64}}", "columns.a.path", "is missing"),
    (NAME, "name: web_errors\ncolumns: {a: {path: '@b', type: bool}}", "columns.a.path", "without it: 'b'"),
    (NAME, "name: web_errors\ncolumns: {a-b: {path: b, type: bool}}", "columns.a-b", "not a column name"),
    (NAME, "name: web_errors\ncolumns: {__id: {path: b, type: bool}}", "columns.__id", "begins with '__'"),
    (NAME, "name: web_errors\ncolumns: {Status: {path: b, type: bool}}", "columns.Status", "fixed column"),
    (NAME, "name: web_errors\ncolumns: {dt: {path: b, type: bool}}", "columns.dt", "partition column"),
    (NAME, "name: web_errors\ndestination: s3://x", "destination", "no block of 'key: value'"),
    (NAME, "name: web_errors\ndestination: {url: 'gs://x'}", "destination.url", "s3://bucket/prefix"),
    (NAME, "name: web_errors\ndestination: {url: /srv/lake}", "destination.url", "write file:///srv/lake"),
    (NAME, "name: web_errors\ndestination: {url: 'file://srv/lake'}", "destination.url", "three slashes"),
    (NAME, "name: web_errors\ndestination: {url: 's3://A_b/x'}", "destination.url", "name of a bucket"),
    (NAME, "name: web_errors\ndestination: {url: 's3://abc/../x'}", "destination.url", "plain path"),
    (NAME, "name: web_errors\ndestination: {connection: a}", "destination.connection", "only an s3:// url"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "wrong", "key", "reason"), REFUSED)
def test_a_wrong_value_is_refused_with_its_key_and_the_remedy(
    refusal: Any, part: str, wrong: str, key: str, reason: str
) -> None:
    assert part in DATADOG
    lines = refusal(DATADOG.replace(part, wrong))
    assert len(lines) == 1
    assert lines[0].startswith(f"{key}: ")
    assert reason in lines[0]


@pytest.mark.parametrize(
    ("part", "wrong", "key", "reason"),
    [
        (GUID, "my-workspace", "source.workspace", "a workspace's name does not work here"),
        ("table: AppRequests", "table: App Requests", "source.table", "is not a KQL name"),
        ("table: AppRequests", "table: T\n  time_column: 1x", "source.time_column", "is not a KQL name"),
        ("table: AppRequests", "table: T\n  pipeline: take 5", "source.pipeline", "the operator 'take'"),
        ("table: AppRequests", "table: T\n  query: x", "source.query", "is not a key that this block knows"),
        ("name: app_requests", "name: a\ncolumns: {a: {path: b, type: bool}}", "columns", "source.pipeline"),
    ],
)
def test_an_azure_monitor_definition_is_refused_likewise(
    refusal: Any, part: str, wrong: str, key: str, reason: str
) -> None:
    lines = refusal(MONITOR.replace(part, wrong))
    assert len(lines) == 1
    assert lines[0].startswith(f"{key}: ")
    assert reason in lines[0]


@pytest.mark.parametrize(
    ("part", "wrong", "key", "reason"),
    [
        (GUID, "my-subscription", "source.subscription", "not a subscription GUID"),
        ("resource_group: logs", "resource_group: a/b", "source.resource_group", "name of a resource group"),
        ("workspace: my-workspace", "workspace: ab/c", "source.workspace", "name of a workspace"),
        ("query: Type=Event", "query: Type=Event\n  top: 5001", "source.top", "1 to 5000"),
        ("query: Type=Event", "query: Type=Event\n  top: '10'", "source.top", "without quotes"),
        ("query: Type=Event", "query: 'Type=Event | measure count()'", "source.query", "'measure'"),
        (
            "query: Type=Event",
            "query: 'Type=Event TimeGenerated>NOW-1DAY'",
            "source.query",
            "moves with the clock",
        ),
        (
            "name: legacy_events",
            "name: a\ncolumns: {a: {path: b, type: bool}}",
            "columns",
            "JSON in the column 'row'",
        ),
    ],
)
def test_a_legacy_definition_is_refused_likewise(
    refusal: Any, part: str, wrong: str, key: str, reason: str
) -> None:
    lines = refusal(LEGACY.replace(part, wrong))
    assert len(lines) == 1
    assert lines[0].startswith(f"{key}: ")
    assert reason in lines[0]


def test_a_legacy_query_may_filter_and_quote_what_it_likes(tmp_path: Path) -> None:
    text = LEGACY.replace("Type=Event", "'Type=Event \"a | measure NOW\" | where x=1'")
    assert load(tmp_path, text).source.kind == "azure_log_search"


def test_all_errors_of_a_file_are_listed_one_per_line(refusal: Any) -> None:
    text = DATADOG.replace("web_errors", "Web").replace("T00:00:00Z", "").replace("@daily", "@never")
    keys = [line.split(":")[0] for line in refusal(text + "slice: 5\nfoo: 1\n")]
    assert sorted(keys) == ["foo", "name", "schedule", "slice", "start"]


@pytest.mark.parametrize(
    ("schedule", "asked", "fits"),
    [("30 * * * *", "1h", "30m"), ("@hourly", "45m", "30m"), ("@hourly", "1d", "1h"), ("*/7 * * * *", "1h", "1m"),
     ("15 3 * * *", "1h", "15m"), ("@daily", "7h", "6h"), ("@weekly", "25m", "24m"), ("@monthly", "23h", "12h")],
)  # fmt: skip
def test_a_slice_off_the_schedule_is_told_the_slice_that_fits(
    refusal: Any, tmp_path: Path, schedule: str, asked: str, fits: str
) -> None:
    text = DATADOG.replace("@daily", schedule)
    (line,) = refusal(text + f"slice: {asked}\n")
    assert line.startswith("slice: ")
    assert line.endswith(f"the slice that fits is {fits}")
    assert load(tmp_path, text + f"slice: {fits}\n").slice > 0


@pytest.mark.parametrize(
    ("schedule", "asked", "fits"),
    [("@daily", "432s", ["6m", "8m"]), ("@daily", "75s", ["1m", "2m"]), ("@daily", "100s", ["1m", "2m"]),
     ("@hourly", "144s", ["2m", "3m"]), ("*/7 * * * *", "75s", None)],
)  # fmt: skip
def test_a_slice_that_datadog_could_count_by_seconds_only_is_told_the_nearest_that_fit(
    refusal: Any, tmp_path: Path, schedule: str, asked: str, fits: list[str] | None
) -> None:
    text = DATADOG.replace("@daily", schedule)
    (line,) = refusal(text + f"slice: {asked}\n")
    if fits is None:
        assert line.endswith("the slice that fits is 1m")
        return
    assert line.endswith(f"write {' or '.join(fits)}")
    assert [load(tmp_path, text + f"slice: {fit}\n").slice // TICK_PER_MINUTE for fit in fits] == [
        int(fit[:-1]) for fit in fits
    ]


def test_log_analytics_counts_a_slice_of_any_length_in_one_query(tmp_path: Path) -> None:
    assert load(tmp_path, MONITOR + "slice: 432s\n").slice == 432 * TICK_PER_SECOND


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"# only a comment\n", "the file is empty"),
        (b"- a\n- b\n", "no 'key: value' lines but one list"),
        (b"just words", "no 'key: value' lines but one value"),
        (b"name: caf\xe9\n", "line 1: the file is not UTF-8"),
        ("name: a".encode("utf-16"), "the file is not UTF-8"),
        (b"a: \x00", "is not readable YAML"),
        (b"#" * 1_000_001, "larger than 1 MB"),
        (b"a: " + b"[" * 5000, "cannot be read"),
        (b"name: a\nname: b\n", "line 2: 'name' is already in line 1"),
        (b"a: {b: 1, b: 2}\n", "'b' is already in line 1"),
        (b"name: a\nschedule: @daily\n", 'line 2, column 11: .* put the value in quotes'),
        (b"query: *\n", "put the value in quotes"),
        (b"query: *a\n", "put the value in quotes"),
        (b"a: &x 1\nb: *x\n", "read as a YAML alias"),
        (b"a: 1\n\tb: 2\n", "indent with spaces"),
        (b"query: a: b\n", "contains ': ' in quotes"),
        (b"a:\n  b: 1\n c: 2\n", "begin all keys of a block in the same column"),
        (b"a: [1,\n", "close the bracket"),
        (b'a: "x\n', "close the quote"),
        (b"1: 2\n", "put the key in quotes"),
        (b"? [a, b]\n: 2\n", "put the key in quotes"),
        (b"a: 1\n---\nb: 2\n", "each export in its own file"),
        (b"a: !!python/object:os.system x\n", "without a '!' tag"),
        (b"a: [1,\n", "line 2"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_a_mapping_of_text_is_refused(refusal: Any, content: bytes, reason: str) -> None:
    import re

    (line,) = refusal(content)
    assert re.search(reason, line)


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="cannot be read"):
        load_export(tmp_path / "none.yaml")


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_a_start_beyond_the_calendar_hides_no_other_export(tmp_path: Path, start: str) -> None:
    (tmp_path / "bad.yaml").write_text(DATADOG.replace("2026-01-01T00:00:00Z", start))
    (tmp_path / "good.yaml").write_text(MONITOR)
    loaded = load_exports(tmp_path)
    assert list(loaded.exports) == ["app_requests"]
    assert "correct the year" in loaded.broken[tmp_path / "bad.yaml"]


@pytest.mark.parametrize("start", [-1, 10**30, -(10**30)])
def test_a_start_in_ticks_has_the_same_bounds(start: int) -> None:
    source = {"kind": "datadog", "connection": "d"}
    with pytest.raises(DefinitionError, match=r"start: .*correct the"):
        export_from({"name": "a", "source": source, "schedule": "@daily", "start": start}, where="x")


def test_one_bad_file_never_hides_the_others(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(DATADOG)
    (tmp_path / "bad.yml").write_text("name: [")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "link.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".hidden.yaml").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    loaded = load_exports(tmp_path)
    assert set(loaded.exports) == {"web_errors"}
    assert {path.name for path in loaded.broken} == {"bad.yml", "folder.yaml", "link.yaml"}
    assert all(reason.startswith(str(path)) for path, reason in loaded.broken.items())


def test_two_files_with_one_name_are_both_named_and_both_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(DATADOG)
    (tmp_path / "b.yaml").write_text(DATADOG)
    (tmp_path / "c.yaml").write_text(MONITOR)
    loaded = load_exports(tmp_path)
    assert set(loaded.exports) == {"app_requests"}
    assert set(loaded.broken) == {tmp_path / "a.yaml", tmp_path / "b.yaml"}
    for reason in loaded.broken.values():
        assert str(tmp_path / "a.yaml") in reason
        assert str(tmp_path / "b.yaml") in reason


def test_an_unknown_export_is_told_which_there_are(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(DATADOG)
    (tmp_path / "bad.yaml").write_text("name: web")
    loaded = load_exports(tmp_path)
    assert loaded.get("web_errors").name == "web_errors"
    with pytest.raises(
        DefinitionError, match=r"no export 'nope' in .*there are: web_errors(.|\n)*bad\.yaml: source"
    ):
        loaded.get("nope")


@pytest.mark.parametrize("asked", ["web", "bad"])
def test_a_broken_export_asked_for_by_its_name_or_its_file_is_told_its_own_lines_only(
    tmp_path: Path, asked: str
) -> None:
    (tmp_path / "good.yaml").write_text(DATADOG)
    (tmp_path / "bad.yaml").write_text("name: web")
    (tmp_path / "worse.yaml").write_text("name: another")
    (tmp_path / "worst.yaml").write_text("- no mapping")
    with pytest.raises(DefinitionError) as caught:
        load_exports(tmp_path).get(asked)
    lines = str(caught.value).split("\n")
    assert len(lines) == 3
    assert all(line.startswith(f"{tmp_path / 'bad.yaml'}: ") for line in lines)


def test_a_name_that_two_files_give_is_told_both_files_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(DATADOG)
    (tmp_path / "c.yaml").write_text("name: another")
    with pytest.raises(DefinitionError) as caught:
        load_exports(tmp_path).get("web_errors")
    assert str(caught.value).count("rename all but one") == 2
    assert "c.yaml" not in str(caught.value)


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="LOGFERRY_EXPORTS_DIR"):
        load_exports(tmp_path / "none")


def test_the_exports_folder_comes_from_the_environment(tmp_path: Path) -> None:
    assert project.exports_folder({"LOGFERRY_EXPORTS_DIR": str(tmp_path)}) == tmp_path
    assert project.exports_folder({}).parts[-2:] == ("include", "exports")


def test_the_shipped_examples_load_one_of_each_kind() -> None:
    loaded = load_exports(Path(project.__file__).parents[1] / "exports")
    assert loaded.broken == {}
    kinds = {name: spec.source.kind for name, spec in loaded.exports.items()}
    assert kinds == {
        "web_errors": "datadog",
        "app_requests": "azure_monitor",
        "legacy_events": "azure_log_search",
    }


@pytest.mark.parametrize(
    ("url", "sandbox", "expected"),
    [("s3://acme/logs", True, "s3://acme/logs"), ("file:///srv/lake", True, "file:///srv/lake"),
     (None, False, "{root}/lake"), (None, True, "{root}/lake-sandbox"), ("./data/lake", False, "{root}/data/lake")],
)  # fmt: skip
def test_the_lake_is_where_the_destination_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str | None, sandbox: bool, expected: str
) -> None:
    monkeypatch.setattr("logferry.spec.project_root", lambda: tmp_path)
    spec = load(tmp_path, DATADOG + (f"destination: {{url: '{url}'}}\n" if url else ""))
    assert lake_url(spec, sandbox=sandbox) == expected.format(root=tmp_path.as_uri())


IDENTITY = {"kind": "datadog", "endpoint": "https://api.datadoghq.com", "query": "é", "indexes": ["*"]}


def test_the_fingerprint_ignores_what_does_not_change_the_rows(tmp_path: Path) -> None:
    one = load(tmp_path, DATADOG)
    other = load(
        tmp_path,
        DATADOG.replace("datadog_default", "other").replace("@daily", "@hourly")
        + "settle: 1h\nhorizon: 2h\npool: p\ndestination: {url: ./x}\n",
    )
    assert fingerprint(IDENTITY, one) == fingerprint(dict(reversed(IDENTITY.items())), other)
    assert fingerprint(IDENTITY, one).startswith("sha256:")


@pytest.mark.parametrize("change", ["slice: 30m\n", "columns: {a: {path: b, type: bool}}\n"])
def test_the_fingerprint_changes_with_slice_and_columns(tmp_path: Path, change: str) -> None:
    before = fingerprint(IDENTITY, load(tmp_path, DATADOG))
    assert fingerprint(IDENTITY, load(tmp_path, DATADOG + change)) != before


def test_the_fingerprint_changes_with_the_identity(tmp_path: Path) -> None:
    spec = load(tmp_path, DATADOG)
    assert fingerprint(IDENTITY, spec) != fingerprint({**IDENTITY, "query": "e"}, spec)


def test_a_definition_made_in_code_takes_ticks_and_survives_a_round_trip(tmp_path: Path) -> None:
    spec = load(tmp_path, DATADOG + "columns: {a: {path: b, type: bool}}\n")
    again = export_from(spec.model_dump(mode="json"), where="code")
    assert again == ExportSpec.model_validate(spec.model_dump())
    assert pickle.loads(pickle.dumps(spec)) == spec
    with pytest.raises(DefinitionError, match=r"^code: slice: "):
        export_from({**spec.model_dump(), "slice": "2d"}, where="code")


def test_a_loaded_definition_cannot_be_changed(tmp_path: Path) -> None:
    spec = load(tmp_path, DATADOG)
    with pytest.raises(ValueError, match="frozen"):
        spec.slice = 5


def test_the_fixed_columns_are_those_of_the_lake() -> None:
    assert DATADOG_COLUMNS[:2] == ("id", "timestamp")
    assert len(DATADOG_COLUMNS) == 9


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["@hourly", "@daily", "@weekly", "0 3 * * *", "0 */6 * * *"]),
    st.integers(0, 20_000),
    st.integers(1, 400),
)
def test_windows_of_a_schedule_tile_the_range_on_the_slice_grid(cron: str, first: int, count: int) -> None:
    source = DatadogSourceSpec(connection="c")
    spec = ExportSpec(name="x", source=source, schedule=cron, start=0, slice=TICK_PER_HOUR, horizon=0)
    window = Window(first * TICK_PER_HOUR, (first + count) * TICK_PER_HOUR)
    pieces = spec.schedule_windows(window)
    assert (pieces[0].start, pieces[-1].end) == (window.start, window.end)
    assert all(a.end == b.start for a, b in pairwise(pieces))
    assert all(piece.on_grid(spec.slice) for piece in pieces)


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        (
            MONITOR.replace("  table:", "  query: x\n  table:"),
            "source.query",
            (
                "it is for kind datadog and azure_log_search; azure_monitor has kind, connection, workspace, "
                "table, time_column, pipeline, retention"
            ),
        ),
        (
            DATADOG.replace("  kind: datadog", "  kind: datadog\n  table: T"),
            "source.table",
            "it is for kind azure_monitor; datadog has kind, connection, query, indexes, storage_tier, retention",
        ),
        (f"{DATADOG}query: x\n", "query", "it belongs below source"),
        (
            DATADOG.replace("  kind: datadog", "  kind: datadog\n  slice: 1h"),
            "source.slice",
            "it belongs at the top of the file",
        ),
    ],
)
def test_a_key_in_the_wrong_place_is_told_where_it_belongs(
    refusal: Any, text: str, key: str, hint: str
) -> None:
    assert f"{key}: is not a key that this block knows; {hint}" in refusal(text)


def test_a_source_alone_names_the_kind_that_a_key_is_for() -> None:
    base = {"kind": "azure_monitor", "connection": "az", "workspace": GUID, "table": "T", "indexes": ["a"]}
    with pytest.raises(
        DefinitionError, match=r"^search: indexes: .*for kind datadog; azure_monitor has kind"
    ):
        source_from(base, where="search")


@pytest.mark.parametrize("key", ["slice", "settle"])
def test_a_bare_number_that_a_person_wrote_is_no_ticks(key: str) -> None:
    written = {
        "name": "web",
        "source": {"kind": "datadog", "connection": "dd"},
        "schedule": "@daily",
        "start": "2026-01-01T00:00:00Z",
        key: 36_000_000_000,
    }
    assert getattr(export_from(written, where="task t"), key) == TICK_PER_HOUR
    with pytest.raises(DefinitionError, match=rf"^task t: {key}: 36000000000 has no unit"):
        export_from(written, where="task t", written=True)


NOTIFY = DATADOG + "notify:\n"


def test_channels_are_told_of_everything_unless_they_say_otherwise(tmp_path: Path) -> None:
    spec = load(
        tmp_path,
        f"{NOTIFY}  - {{kind: smtp, connection: smtp_default, to: [oncall@example.org]}}\n"
        "  - {kind: webhook, connection: slack_webhook, on: [short]}\n",
    )
    mail, hook = spec.notify
    assert isinstance(mail, SmtpNotifySpec)
    assert (mail.to, mail.on) == (("oncall@example.org",), ("short", "verification", "behind"))
    assert isinstance(hook, WebhookNotifySpec)
    assert (hook.connection, hook.on) == ("slack_webhook", ("short",))
    assert fingerprint(IDENTITY, spec) == fingerprint(IDENTITY, load(tmp_path, DATADOG))
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_nobody_is_told_where_no_channel_is_given(tmp_path: Path) -> None:
    assert load(tmp_path, DATADOG).notify == ()


@pytest.mark.parametrize(
    ("channel", "line"),
    [
        ("{kind: pager, connection: x}", "notify[1].kind: 'pager' is not known; write one of smtp, webhook"),
        ("{connection: x}", "notify[1].kind: is missing; add it, one of smtp, webhook"),
        (
            "{kind: webhook}",
            "notify[1].connection: is missing; add it, for example 'connection: slack_webhook'",
        ),
        (
            "{kind: smtp, connection: x}",
            "notify[1].to: is missing; add it, for example 'to: [oncall@example.org]'",
        ),
        (
            "{kind: smtp, connection: x, to: a@b.c}",
            "notify[1].to: 'a@b.c' is not a list; write it in brackets, such as [oncall@example.org]",
        ),
        (
            '{kind: smtp, connection: x, to: ["a@b.c\\nBcc: d@e.f"]}',
            "notify[1].to: 'a@b.c\\nBcc: d@e.f' is not a mail address; write it like oncall@example.org",
        ),
        (
            "{kind: smtp, connection: x, to: []}",
            "notify[1].to: the list is empty; name who is written to, such as [oncall@example.org]",
        ),
        (
            "{kind: smtp, connection: x, to: [a@b.c, a@b.c]}",
            "notify[1].to: an address is named twice; name it once",
        ),
        (
            "{kind: webhook, connection: x, to: [a@b.c]}",
            "notify[1].to: is not a key that this block knows; it is for kind smtp; webhook has kind, connection, on",
        ),
        (
            "{kind: webhook, connection: x, on: [shot]}",
            "notify[1].on[1]: 'shot' is not allowed; write one of 'short', 'verification', 'behind'",
        ),
        (
            "{kind: webhook, connection: x, on: []}",
            "notify[1].on: the list is empty, so nothing would be told; name events, or leave `on` out for all of them",
        ),
        (
            "{kind: webhook, connection: x, on: short}",
            "notify[1].on: 'short' is not a list; write it in brackets, such as [short, behind]",
        ),
        (
            "{kind: webhook, connection: x, on: [short, short]}",
            "notify[1].on: an event is named twice; name it once",
        ),
        (
            "{kind: webhook, connection: 'https://hooks.example.org/T0/s3cr3t'}",
            (
                "notify[1].connection: is an address and not the ID of a connection; addresses are secrets: put this "
                "one into an Airflow connection, as its password or host, and write the connection's ID here"
            ),
        ),
        (
            "{kind: smtp, connection: ' smtp://user:s3cr3t@mail', to: [a@b.c]}",
            (
                "notify[1].connection: is an address and not the ID of a connection; addresses are secrets: put this "
                "one into an Airflow connection, as its password or host, and write the connection's ID here"
            ),
        ),
        ("slack", "notify[1]: 'slack' is no block of 'key: value' lines; indent its keys below it"),
    ],
)
def test_a_channel_that_is_not_right_is_refused_in_one_line(refusal: Any, channel: str, line: str) -> None:
    assert refusal(f"{NOTIFY}  - {channel}\n") == [line]


def test_channels_are_a_list(refusal: Any) -> None:
    (line,) = refusal(f"{DATADOG}notify: {{kind: webhook, connection: x}}\n")
    assert line == (
        "notify: a block of keys is not a list; begin each channel with '- kind: webhook' or '- kind: smtp'"
    )


def test_a_key_that_yaml_takes_for_a_truth_value_is_the_key_it_looks_like(refusal: Any) -> None:
    assert refusal(f"{DATADOG}on: [short]\n") == [
        "on: is not a key that this block knows; it belongs below notify"
    ]
