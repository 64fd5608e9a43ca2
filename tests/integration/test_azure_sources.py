"""The Azure sources against the sandbox, over real sockets and through the engine's own client."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from logferry.budget import Budget
from logferry.errors import CredentialsError, FailedAnswer, QueryRejected, SourceError, TooMuch
from logferry.fetching.fetch import fetch_slice
from logferry.http import Client
from logferry.sources.azure_adhoc import run_kql, run_log_search
from logferry.sources.azure_log_search import AzureLogSearchSource
from logferry.sources.azure_monitor import AzureMonitorSource
from logferry.sources.azure_search_job import LegacyWorkspace
from logferry.sources.base import Page, Share
from logferry.spec import AzureLogSearchSourceSpec, AzureMonitorSourceSpec
from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_MS,
    TICK_PER_SECOND,
    Window,
    from_datetime,
    parse_instant,
)
from logferry_sandbox.azure_sandbox import CLIENT_ID, AzureSandbox
from logferry_sandbox.entra import QUERY_AUDIENCE
from logferry_sandbox.kql_values import UNIX_EPOCH_TICKS, format_timespan
from logferry_sandbox.log_search_data import matching

pytestmark = pytest.mark.integration

ARM_AUDIENCE = "https://management.core.windows.net/"
DAY = Window(parse_instant("2026-11-20T00:00:00Z"), parse_instant("2026-11-21T00:00:00Z"))
HOUR = Window(DAY.start + 9 * TICK_PER_HOUR, DAY.start + 10 * TICK_PER_HOUR)
HOT = "2026-11-19T12:00:00.1234567Z"
BUSY = date(2026, 11, 19)


class Bearer:
    """A token from the sandbox's register, renewed on refusal."""

    def __init__(self, sandbox: AzureSandbox, audience: str) -> None:
        self._sandbox, self._audience = sandbox, audience
        self._text = ""
        self.refresh()

    @property
    def key(self) -> str:
        return f"test-{self._audience}"

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._text}"}

    def refresh(self) -> bool:
        self._text = self._sandbox.tokens.issue(self._audience, CLIENT_ID, 3600)
        return True

    def secrets(self) -> tuple[str, ...]:
        return (self._text,)


class Impatient:
    """A clock whose sleeps are only counted."""

    def __init__(self) -> None:
        self.slept = 0.0

    def now(self) -> int:
        return from_datetime(datetime.now(UTC)) + int(self.slept * 10_000_000)

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureSandbox]:
    started = AzureSandbox(
        state_dir=tmp_path_factory.mktemp("azure"), rows_per_day=6000, hot_tick=(HOT, 700), busy_days=[BUSY]
    )
    with started:
        yield started


@pytest.fixture
def clean(sandbox: AzureSandbox) -> Iterator[AzureSandbox]:
    """The sandbox with its usual knobs, no faults and an idle minute behind it."""
    yield sandbox
    sandbox.plan.replace([])
    sandbox.arm_plan.replace([])
    sandbox.query.knobs.update(
        {"max_rows": 500_000, "max_bytes": 64_000_000, "rate_limit": 200, "scan_limit": 5_000_000}
    )
    sandbox.log_search.knobs.end_inclusive = True
    sandbox.log_search.knobs.retired = False


def client_for(sandbox: AzureSandbox, audience: str, tmp_path: Path) -> Client:
    clock = Impatient()
    bearer = Bearer(sandbox, audience)
    return Client(bearer, clock=clock, budget=Budget(bearer.key, clock=clock, folder=tmp_path))


@pytest.fixture
def client(clean: AzureSandbox, tmp_path: Path) -> Iterator[Client]:
    clean.query.knobs.update({"rate_limit": 100_000})
    made = client_for(clean, QUERY_AUDIENCE, tmp_path)
    yield made
    made.close()


@pytest.fixture
def arm_client(clean: AzureSandbox, tmp_path: Path) -> Iterator[Client]:
    made = client_for(clean, ARM_AUDIENCE, tmp_path)
    yield made
    made.close()


def monitor(sandbox: AzureSandbox, **changes: Any) -> AzureMonitorSource:
    described = sandbox.describe()
    given = {"connection": "azure", "workspace": described["workspace"], "table": "AppRequests", **changes}
    return AzureMonitorSource(AzureMonitorSourceSpec(**given), query_endpoint=described["query_endpoint"])


def log_search(sandbox: AzureSandbox, **changes: Any) -> AzureLogSearchSource:
    described = sandbox.describe()
    spec = AzureLogSearchSourceSpec(
        **{
            "connection": "azure",
            "subscription": described["subscription"],
            "resource_group": described["resource_group"],
            "workspace": described["workspace_name"],
            "query": "Type=Event",
            **changes,
        }
    )
    return AzureLogSearchSource(spec, arm_endpoint=described["arm_endpoint"])


def held(sandbox: AzureSandbox, table: str, window: Window) -> dict[str, list[Any]]:
    """What the sandbox's table really holds: ``{column: values}``."""
    values: dict[str, list[Any]] = {}
    for batch in sandbox.tables[table].scan(window.start + UNIX_EPOCH_TICKS, window.end + UNIX_EPOCH_TICKS):
        for name, vector in batch.columns.items():
            values.setdefault(name, []).extend(vector.values())
    return values


def held_events(sandbox: AzureSandbox, window: Window, kind: str = "Event") -> Counter[str]:
    rows = matching(
        sandbox.log_search._seed,
        sandbox.log_search.knobs.busy_days,
        window.start // TICK_PER_MS,
        window.end // TICK_PER_MS,
        lambda row: row["Type"] == kind,
    )
    return Counter(row["id"] for row in rows)


def one_page(client: Client, source: Any, window: Window) -> Page:
    schema = client.run(lambda: source.schema(window))
    page: Page = client.run(lambda: source.page(window, None, schema))
    return page


def shares_of(
    client: Client, source: Any, span: Window, count: int, column: str = "_ItemId"
) -> list[list[Any]]:
    schema = client.run(lambda: source.schema(span))
    pages = [
        client.run(partial(source.page, span, None, schema, share=Share(index, count)))
        for index in range(count)
    ]
    return [page.rows.column(column).to_pylist() for page in pages]


def fetched(
    client: Client, source: Any, window: Window, planned: int | None = None
) -> tuple[pa.Table, list[int]]:
    schema = client.run(lambda: source.schema(window))
    notes: dict[str, int] = {}
    pages: list[int] = []
    tables = fetch_slice(
        client,
        source,
        window,
        schema,
        planned=planned,
        notes=notes,
        on_page=lambda rows, size: pages.append(rows),
    )
    return pa.concat_tables(list(tables)), pages


class TestMonitor:
    def test_a_page_holds_the_windows_rows_each_once_to_the_tick(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        page = one_page(client, monitor(clean), HOUR)
        truth = held(clean, "AppRequests", HOUR)
        ticks = Counter(
            zip(page.rows.column("_ItemId").to_pylist(), page.rows.column("_ticks").to_pylist(), strict=True)
        )
        expected = Counter(
            zip(truth["_ItemId"], (tick - UNIX_EPOCH_TICKS for tick in truth["TimeGenerated"]), strict=True)
        )
        assert ticks == expected
        assert len(expected) > 50

    def test_one_count_query_tells_every_hour_and_the_hours_hold_as_many_rows(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        source = monitor(clean)
        counts = client.run(lambda: source.count(DAY, TICK_PER_HOUR))
        assert client.stats["count"] == 1
        assert sum(counts.values()) == 6000
        for start in range(DAY.start, DAY.end, TICK_PER_HOUR):
            truth = held(clean, "AppRequests", Window(start, start + TICK_PER_HOUR))
            assert counts.get(start, 0) == len(truth.get("_ItemId", []))

    def test_rows_are_cut_by_their_own_time_whenever_they_were_generated(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        source = monitor(clean, table="FerryLate_CL", time_column="EventTime")
        truth = held(clean, "FerryLate_CL", Window(DAY.start, DAY.end + 4 * TICK_PER_DAY))
        events = {
            item: tick - UNIX_EPOCH_TICKS
            for item, tick in zip(truth["_ItemId"], truth["EventTime"], strict=True)
            if tick - UNIX_EPOCH_TICKS in DAY
        }
        page = one_page(client, source, DAY)
        got = zip(
            page.rows.column("_ItemId").to_pylist(), page.rows.column("_ticks").to_pylist(), strict=True
        )
        assert dict(got) == events
        assert page.rows.num_rows == len(events) > 50
        assert sum(client.run(lambda: source.count(DAY, TICK_PER_HOUR)).values()) == len(events)
        # Most of them were generated after the day: a timespan would have taken them away.
        assert len(events.keys() & set(held(clean, "FerryLate_CL", DAY)["_ItemId"])) < len(events) / 2

    @pytest.mark.parametrize(
        "rule",
        [
            {"fault": "azure:gateway_timeout"},
            {"fault": "http_error", "params": {"status": 502, "body": "<html></html>"}},
            {"fault": "http_error", "params": {"status": 503, "body": "<html></html>"}},
            {"fault": "http_error", "params": {"status": 504, "body": "<html></html>"}},
        ],
    )
    def test_a_count_is_asked_again_whole_after_a_passing_fault_of_the_gateway(
        self, clean: AzureSandbox, client: Client, rule: dict[str, Any]
    ) -> None:
        clean.plan.replace([{**rule, "times": 2}])
        source = monitor(clean)
        assert sum(client.run(lambda: source.count(DAY, TICK_PER_HOUR)).values()) == 6000
        assert client.stats["count"] == 3

    def test_a_schema_is_asked_again_after_a_passing_fault_of_the_gateway(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        clean.plan.replace([{"fault": "http_error", "params": {"status": 504, "body": ""}, "times": 4}])
        source = monitor(clean)
        assert client.run(lambda: source.schema(HOUR)).has_id
        assert client.stats["schema"] == 5

    def test_a_day_whose_count_runs_out_of_time_is_counted_in_parts(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        source = monitor(clean)
        whole = client.run(lambda: source.count(DAY, TICK_PER_HOUR))
        asked = client.stats["count"]
        clean.query.knobs.update({"scan_limit": 2_000})
        assert client.run(lambda: source.count(DAY, TICK_PER_HOUR)) == whole
        assert client.stats["count"] - asked > 6

    def test_an_hour_whose_count_runs_out_of_time_is_an_error_that_names_it(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        clean.query.knobs.update({"scan_limit": 10})
        source = monitor(clean)
        with pytest.raises(TooMuch, match="choose a shorter slice: Log Analytics ran out of time"):
            client.run(lambda: source.count(DAY, TICK_PER_HOUR))

    def test_bins_of_any_length_are_counted_from_the_windows_start(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        seven = 7 * 60 * 10_000_000
        window = Window(HOUR.start, HOUR.start + 8 * seven)
        source = monitor(clean)
        counts = client.run(lambda: source.count(window, seven))
        assert sum(counts.values()) == len(held(clean, "AppRequests", window)["_ItemId"])

    def test_every_value_of_every_type_arrives_as_the_table_holds_it(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        page = one_page(client, monitor(clean, table="FerryTypes_CL"), DAY)
        truth = held(clean, "FerryTypes_CL", DAY)
        order = {item: n for n, item in enumerate(truth["_ItemId"])}
        rows = sorted(page.rows.to_pylist(), key=lambda row: order[row["_ItemId"]])
        assert len(rows) == len(order) == 240
        got = {name: [row[name] for row in rows] for name in page.rows.schema.names}
        for name in ("Flag", "Small", "Big", "Ident", "Note", "Body", "odd name", "Level"):
            assert got[name] == truth[name], name
        assert got["level_2"] == truth["level"]
        assert [str(value) for value in got["Ratio"]] == [str(value) for value in truth["Ratio"]]
        assert got["Amount"] == [None if value is None else str(value) for value in truth["Amount"]]
        assert got["Span"] == [None if value is None else format_timespan(value) for value in truth["Span"]]
        assert got["_ticks"] == [tick - UNIX_EPOCH_TICKS for tick in truth["TimeGenerated"]]
        micros = page.rows.column("When").cast(pa.int64()).to_pylist()
        assert Counter(micros) == Counter(
            None if tick is None else (tick - UNIX_EPOCH_TICKS) // 10 for tick in truth["When"]
        )
        for text, value in zip(got["Payload"], truth["Payload"], strict=True):
            assert (text if value is None or isinstance(value, str) else msgspec.json.decode(text)) == value

    def test_a_table_without_item_ids_is_read_without_them(self, clean: AzureSandbox, client: Client) -> None:
        page = one_page(client, monitor(clean, table="FerryPlain_CL"), DAY)
        assert page.rows.num_rows == 480
        assert "_ItemId" not in page.rows.schema.names
        assert client.stats["schema"] == 2

    def test_an_empty_table_has_its_columns_and_an_unknown_one_its_own_answer(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        page = one_page(client, monitor(clean, table="FerryEmpty_CL"), DAY)
        assert page.rows.num_rows == 0
        assert page.rows.schema.names[:3] == ["TenantId", "TimeGenerated", "Message"]
        with pytest.raises(QueryRejected, match="NoSuch_CL has never been filled"):
            one_page(client, monitor(clean, table="NoSuch_CL"), DAY)

    def test_a_pipeline_may_drop_the_time_and_multiply_rows_and_the_count_follows(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        source = monitor(
            clean,
            table="FerryTypes_CL",
            pipeline="where Level == 'Info' | extend P = dynamic([1,2,3]) | mv-expand P | project Note, P",
        )
        page = one_page(client, source, DAY)
        infos = held(clean, "FerryTypes_CL", DAY)["Level"].count("Info")
        assert page.rows.num_rows == 3 * infos > 0
        assert page.rows.schema.names == ["Note", "P", "_ItemId", "_ticks", "__tick", "__id"]
        assert sum(client.run(lambda: source.count(DAY, TICK_PER_HOUR)).values()) == 3 * infos

    def test_a_wrong_pipeline_shows_where(self, clean: AzureSandbox, client: Client) -> None:
        with pytest.raises(QueryRejected, match="NoColumn"):
            one_page(client, monitor(clean, pipeline="where NoColumn == 1"), HOUR)

    @pytest.mark.parametrize("knobs", [{"max_rows": 40}, {"max_bytes": 20_000, "partial_bytes": 2}])
    def test_an_answer_too_small_for_the_window_is_cut_up_until_every_row_is_there(
        self, clean: AzureSandbox, client: Client, knobs: dict[str, Any]
    ) -> None:
        clean.query.knobs.update(knobs)
        table, pages = fetched(client, monitor(clean), HOUR)
        assert Counter(table["_ItemId"].to_pylist()) == Counter(held(clean, "AppRequests", HOUR)["_ItemId"])
        assert len(pages) >= 3

    def test_a_day_is_counted_by_half_minutes_in_one_request(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        source = monitor(clean)
        fine = 30 * TICK_PER_SECOND
        assert DAY.ticks // fine <= source.most_bins
        counts = client.run(lambda: source.count(DAY, fine))
        assert client.stats["count"] == 1
        truth = held(clean, "AppRequests", DAY)["TimeGenerated"]
        assert counts == Counter((tick - UNIX_EPOCH_TICKS) // fine * fine for tick in truth)

    def test_bins_may_be_single_ticks(self, clean: AzureSandbox, client: Client) -> None:
        tick = parse_instant(HOT)
        span = Window(tick - 2_000, tick + 2_000)
        source = monitor(clean)
        counts = client.run(lambda: source.count(span, 1))
        truth = held(clean, "AppRequests", span)["TimeGenerated"]
        assert counts == Counter(at - UNIX_EPOCH_TICKS for at in truth)
        assert counts[tick] >= 700

    def test_the_shares_of_a_crowded_tick_are_its_rows_each_in_one_of_them(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        clean.query.knobs.update({"max_rows": 200})
        tick = parse_instant(HOT)
        span = Window(tick, tick + 1)
        source = monitor(clean)
        with pytest.raises(TooMuch):
            one_page(client, source, span)
        shares = shares_of(client, source, span, 8)
        assert Counter(item for share in shares for item in share) == Counter(
            held(clean, "AppRequests", span)["_ItemId"]
        )
        assert max(map(len, shares)) < 200

    @pytest.mark.parametrize(
        ("table", "pipeline", "column"),
        [
            ("FerryPlain_CL", None, "Message"),
            ("FerryPlain_CL", "project Code | extend Message = tostring(Code)", "Message"),
            ("AppRequests", "mv-expand Properties", "_ItemId"),
            ("FerryTypes_CL", "project-away Body", "_ItemId"),
        ],
    )
    def test_shares_of_any_table_are_together_what_one_answer_holds(
        self, clean: AzureSandbox, client: Client, table: str, pipeline: str | None, column: str
    ) -> None:
        source = monitor(clean, table=table, pipeline=pipeline)
        span = Window(HOUR.start, HOUR.start + 3 * TICK_PER_HOUR)
        whole = one_page(client, source, span).rows
        shares = shares_of(client, source, span, 3, column)
        assert Counter(value for share in shares for value in share) == Counter(
            whole.column(column).to_pylist()
        )
        assert all(len(share) < whole.num_rows for share in shares)

    def test_a_tick_that_holds_more_than_an_answer_is_fetched_in_shares(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        clean.query.knobs.update({"max_rows": 600})
        tick = parse_instant(HOT)
        span = Window(tick - 1000, tick + 1000)
        table, _ = fetched(client, monitor(clean), span)
        assert Counter(table["_ItemId"].to_pylist()) == Counter(held(clean, "AppRequests", span)["_ItemId"])

    @pytest.mark.parametrize(
        "rule",
        [
            {"fault": "cut_body", "params": {"whole_length": False}},
            {"fault": "cut_body"},
            {"fault": "empty_200"},
            {"fault": "non_json"},
            {"fault": "reset"},
            {"fault": "azure:no_content"},
            {"fault": "azure:partial_error", "params": {"variant": 6}},
            {"fault": "azure:warning"},
            {"fault": "azure:throttled", "params": {"retry_after": 3}},
            {"fault": "http_error", "params": {"status": 503, "body": "<html></html>"}},
            {"fault": "http_error", "params": {"status": 502, "body": ""}},
            {"fault": "azure:expired_token"},
        ],
    )
    def test_a_passing_fault_costs_a_request_and_no_row(
        self, clean: AzureSandbox, client: Client, rule: dict[str, Any]
    ) -> None:
        source = monitor(clean)
        schema = client.run(lambda: source.schema(HOUR))
        clean.plan.replace([{**rule, "times": 1}])
        page = client.run(lambda: source.page(HOUR, None, schema))
        assert Counter(page.rows.column("_ItemId").to_pylist()) == Counter(
            held(clean, "AppRequests", HOUR)["_ItemId"]
        )
        assert client.stats["search"] == 2

    @pytest.mark.parametrize("variant", [1, 2, 3, 4, 5])
    @pytest.mark.parametrize("rows", [True, False])
    def test_every_wording_of_a_cut_answer_is_cut_up(
        self, clean: AzureSandbox, client: Client, variant: int, rows: Any
    ) -> None:
        source = monitor(clean)
        schema = client.run(lambda: source.schema(HOUR))
        clean.plan.replace([{"fault": "azure:partial_error", "params": {"variant": variant, "rows": rows}}])
        with pytest.raises(TooMuch):
            client.run(lambda: source.page(HOUR, None, schema))

    def test_a_fault_that_stays_is_an_error(self, clean: AzureSandbox, client: Client) -> None:
        source = monitor(clean)
        schema = client.run(lambda: source.schema(HOUR))
        clean.plan.replace([{"fault": "empty_200"}])
        with pytest.raises(FailedAnswer, match="empty body"):
            client.run(lambda: source.page(HOUR, None, schema))

    def test_a_workspace_behind_a_private_link_says_so(self, clean: AzureSandbox, client: Client) -> None:
        clean.plan.replace([{"fault": "azure:network_denied"}])
        with pytest.raises(CredentialsError, match="Private Link"):
            one_page(client, monitor(clean), HOUR)

    def test_a_token_for_another_audience_says_so(self, clean: AzureSandbox, tmp_path: Path) -> None:
        stranger = client_for(clean, ARM_AUDIENCE, tmp_path)
        with pytest.raises(CredentialsError, match="audience"):
            one_page(stranger, monitor(clean), HOUR)
        stranger.close()

    def test_counts_are_never_taken_from_the_services_cache(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        source = monitor(clean)
        before = client.run(lambda: source.count(HOUR, TICK_PER_HOUR))[HOUR.start]
        clean.tables["AppRequests"].state.late_every = 10
        try:
            assert client.run(lambda: source.count(HOUR, TICK_PER_HOUR))[HOUR.start] < before
        finally:
            clean.tables["AppRequests"].state.late_every = 0

    def test_a_column_added_mid_run_does_not_appear_in_later_slices(
        self, clean: AzureSandbox, client: Client
    ) -> None:
        source = monitor(clean)
        schema = client.run(lambda: source.schema(HOUR))
        before = client.run(lambda: source.page(HOUR, None, schema)).rows.schema
        clean.tables["AppRequests"].state.added_column = "AddedColumn"
        try:
            assert client.run(lambda: source.page(HOUR, None, schema)).rows.schema == before
        finally:
            clean.tables["AppRequests"].state.added_column = None

    def test_an_ad_hoc_query_brings_its_columns_and_rows(self, clean: AzureSandbox, client: Client) -> None:
        described = clean.describe()
        answer = client.run(
            lambda: run_kql(described["query_endpoint"], described["workspace"], "AppRequests | count", HOUR)
        )
        assert answer.columns == (("Count", "long"),)
        assert answer.rows[0][0] > 0


class TestLogSearch:
    @pytest.mark.parametrize("end_inclusive", [True, False])
    def test_a_days_counts_and_rows_are_exact_whatever_the_end_bound_means(
        self, clean: AzureSandbox, arm_client: Client, end_inclusive: bool
    ) -> None:
        clean.log_search.knobs.end_inclusive = end_inclusive
        source = log_search(clean)
        window = Window(DAY.start, DAY.start + 4 * TICK_PER_HOUR)
        counts = arm_client.run(lambda: source.count(window, TICK_PER_HOUR))
        for start in range(window.start, window.end, TICK_PER_HOUR):
            slice_ = Window(start, start + TICK_PER_HOUR)
            table, _ = fetched(arm_client, source, slice_)
            truth = held_events(clean, slice_)
            assert Counter(table["id"].to_pylist()) == truth
            assert counts[start] == truth.total()

    def test_an_hour_with_more_rows_than_top_is_cut_up(self, clean: AzureSandbox, arm_client: Client) -> None:
        busy = Window(parse_instant("2026-11-19T13:00:00Z"), parse_instant("2026-11-19T14:00:00Z"))
        table, pages = fetched(arm_client, log_search(clean), busy)
        assert Counter(table["id"].to_pylist()) == held_events(clean, busy)
        assert table.num_rows > 5000
        assert len(pages) > 1

    @pytest.mark.parametrize("end_inclusive", [True, False])
    def test_hours_too_full_for_one_answer_are_counted_exactly_by_totals(
        self, clean: AzureSandbox, arm_client: Client, end_inclusive: bool
    ) -> None:
        clean.log_search.knobs.end_inclusive = end_inclusive
        source = log_search(clean)
        window = Window(parse_instant("2026-11-19T11:00:00Z"), parse_instant("2026-11-19T16:00:00Z"))
        counts = arm_client.run(lambda: source.count(window, TICK_PER_HOUR))
        for start in range(window.start, window.end, TICK_PER_HOUR):
            assert counts[start] == held_events(clean, Window(start, start + TICK_PER_HOUR)).total()
        assert sum(counts.values()) > 5000

    def test_the_row_is_whole_json(self, clean: AzureSandbox, arm_client: Client) -> None:
        table, _ = fetched(arm_client, log_search(clean, query="Type=Heartbeat"), HOUR)
        assert table.num_rows == 12
        row = msgspec.json.decode(table["row"][0].as_py())
        assert (row["id"], row["Type"]) == (table["id"][0].as_py(), "Heartbeat")
        assert (
            from_datetime(table["time"][0].as_py())
            == parse_instant(row["TimeGenerated"])
            == table["__tick"][0].as_py()
        )

    def test_a_result_dropped_before_it_was_fetched_is_searched_again(
        self, clean: AzureSandbox, arm_client: Client
    ) -> None:
        clean.arm_plan.replace([{"fault": "log_search:gone", "times": 2}])
        table, _ = fetched(arm_client, log_search(clean), HOUR)
        assert Counter(table["id"].to_pylist()) == held_events(clean, HOUR)

    def test_a_failed_search_is_asked_again(self, clean: AzureSandbox, arm_client: Client) -> None:
        clean.arm_plan.replace([{"fault": "log_search:error", "times": 1}])
        table, _ = fetched(arm_client, log_search(clean), HOUR)
        assert Counter(table["id"].to_pylist()) == held_events(clean, HOUR)

    @pytest.mark.parametrize(
        "rule",
        [
            {"fault": "cut_body"},
            {"fault": "cut_body", "params": {"whole_length": False}},
            {"fault": "reset"},
            {"fault": "reset", "params": {"fraction": 0.5}},
            {"fault": "empty_200"},
            {"fault": "non_json"},
            {"fault": "non_json", "params": {"status": 502}},
            {"fault": "http_error", "params": {"status": 503, "body": ""}},
            {"fault": "http_error", "params": {"status": 204, "body": ""}},
            {"fault": "http_error", "params": {"status": 429, "body": "", "headers": {"Retry-After": "2"}}},
            {"fault": "http_error", "params": {"status": 401, "body": ""}},
            {"fault": "headers", "params": {"headers": {"Retry-After": "0"}}},
        ],
        ids=str,
    )
    def test_a_passing_fault_costs_a_request_and_no_row(
        self, clean: AzureSandbox, arm_client: Client, rule: dict[str, Any]
    ) -> None:
        clean.arm_plan.replace([{**rule, "times": 1, "after": 1}])
        table, _ = fetched(arm_client, log_search(clean), HOUR)
        assert Counter(table["id"].to_pylist()) == held_events(clean, HOUR)
        assert clean.arm_plan.stats()["faults"][rule["fault"]] >= 1

    def test_a_retired_api_and_wrong_names_and_queries_say_what_to_do(
        self, clean: AzureSandbox, arm_client: Client
    ) -> None:
        with pytest.raises(QueryRejected, match="workspace"):
            fetched(arm_client, log_search(clean, workspace="other-logs"), HOUR)
        with pytest.raises(QueryRejected, match="refused the query"):
            fetched(arm_client, log_search(clean, query="Type=Event | where EventID=16"), HOUR)
        clean.log_search.knobs.retired = True
        with pytest.raises(SourceError, match="azure_monitor"):
            fetched(arm_client, log_search(clean), HOUR)

    def test_an_ad_hoc_search_tells_total_and_top_as_well_as_rows(
        self, clean: AzureSandbox, arm_client: Client
    ) -> None:
        described = clean.describe()
        names = (
            described[key] for key in ("arm_endpoint", "subscription", "resource_group", "workspace_name")
        )
        window = Window(DAY.start, DAY.start + TICK_PER_DAY // 2)
        answer = arm_client.run(
            lambda: run_log_search(LegacyWorkspace(*names), query="Type=Event", top=7, window=window)
        )
        assert answer.total > 7
        assert (answer.top, len(answer.rows)) == (7, 7)
