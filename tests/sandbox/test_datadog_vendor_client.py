"""Datadog's own Python client against the sandbox (https://github.com/DataDog/datadog-api-client-python)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.exceptions import ApiException
from datadog_api_client.v2.api.logs_api import LogsApi
from datadog_api_client.v2.model.logs_aggregate_request import LogsAggregateRequest
from datadog_api_client.v2.model.logs_aggregation_function import LogsAggregationFunction
from datadog_api_client.v2.model.logs_compute import LogsCompute
from datadog_api_client.v2.model.logs_compute_type import LogsComputeType
from datadog_api_client.v2.model.logs_group_by import LogsGroupBy
from datadog_api_client.v2.model.logs_list_request import LogsListRequest
from datadog_api_client.v2.model.logs_list_request_page import LogsListRequestPage
from datadog_api_client.v2.model.logs_query_filter import LogsQueryFilter
from datadog_api_client.v2.model.logs_sort import LogsSort

from .conftest import NOON_MS, Org, StartOrg

pytestmark = pytest.mark.integration

FROM = datetime(2026, 11, 20, tzinfo=UTC)
TO = FROM + timedelta(days=1)
DAY_FILTER = LogsQueryFilter(query="*", indexes=["main", "retail"], _from=FROM.isoformat(), to=TO.isoformat())


@pytest.fixture
def org(start_org: StartOrg) -> Org:
    return start_org(events_per_day=400, burst=150)


@pytest.fixture(params=["keys", "bearer"])
def logs(org: Org, request: pytest.FixtureRequest) -> Iterator[LogsApi]:
    described = org.sandbox.describe()
    configuration = Configuration(host=described["base_url"])  # type: ignore[no-untyped-call]
    if request.param == "bearer":
        configuration.access_token = described["bearer_token"]
    else:
        configuration.api_key["apiKeyAuth"] = described["api_key"]
        configuration.api_key["appKeyAuth"] = described["app_key"]
    with ApiClient(configuration) as client:
        yield LogsApi(client)  # type: ignore[no-untyped-call]


def test_it_lists_a_page(logs: LogsApi, org: Org) -> None:
    body = LogsListRequest(
        filter=DAY_FILTER, sort=LogsSort.TIMESTAMP_ASCENDING, page=LogsListRequestPage(limit=5)
    )
    answer = logs.list_logs(body=body)
    truth = org.sandbox.store.truth(int(FROM.timestamp()) * 1000, int(TO.timestamp()) * 1000)
    assert [log.id for log in answer.data] == truth[:5]
    assert answer.meta.status.value == "done"
    assert answer.meta.page.after


def test_its_pagination_finds_every_log_once_and_stops(logs: LogsApi, org: Org) -> None:
    body = LogsListRequest(
        filter=DAY_FILTER, sort=LogsSort.TIMESTAMP_ASCENDING, page=LogsListRequestPage(limit=70)
    )
    truth = org.sandbox.store.truth(int(FROM.timestamp()) * 1000, int(TO.timestamp()) * 1000)
    assert [log.id for log in logs.list_logs_with_pagination(body=body)] == truth


@pytest.mark.parametrize("page_end", ["no_page", "no_meta", "empty_with_cursor"])
def test_its_pagination_understands_the_ends_it_can(logs: LogsApi, org: Org, page_end: str) -> None:
    org.set(page_end=page_end, short_pages=130)
    body = LogsListRequest(filter=DAY_FILTER, page=LogsListRequestPage(limit=1000))
    assert len({log.id for log in logs.list_logs_with_pagination(body=body)}) == 400


def test_it_lists_by_get(logs: LogsApi, org: Org) -> None:
    found = logs.list_logs_get_with_pagination(
        filter_query="service:auth",
        filter_indexes=["main"],
        filter_from=FROM,
        filter_to=TO,
        sort=LogsSort.TIMESTAMP_DESCENDING,
        page_limit=20,
    )
    truth = org.sandbox.store.truth(int(FROM.timestamp()) * 1000, int(TO.timestamp()) * 1000, "service:auth")
    assert [log.id for log in found] == truth[::-1]


def test_it_aggregates(logs: LogsApi) -> None:
    hourly = LogsCompute(
        aggregation=LogsAggregationFunction.COUNT, type=LogsComputeType.TIMESERIES, interval="1h"
    )
    total = LogsCompute(aggregation=LogsAggregationFunction.COUNT)
    answer = logs.aggregate_logs(body=LogsAggregateRequest(compute=[hourly, total], filter=DAY_FILTER))
    (bucket,) = answer.data.buckets
    assert sum(point.value for point in bucket.computes["c0"].value) == 400
    assert bucket.computes["c1"] == 400
    grouped = logs.aggregate_logs(
        body=LogsAggregateRequest(
            compute=[total], filter=DAY_FILTER, group_by=[LogsGroupBy(facet="service", missing="(none)")]
        )
    )
    assert sum(bucket.computes["c0"] for bucket in grouped.data.buckets) == 400


def test_it_raises_the_documented_errors(logs: LogsApi, org: Org) -> None:
    with pytest.raises(ApiException) as refused:
        logs.list_logs(body=LogsListRequest(filter=LogsQueryFilter(query="(")))
    assert refused.value.status == 400
    org.clock[0] = NOON_MS
    org.set(search_limit=0)
    with pytest.raises(ApiException) as throttled:
        logs.list_logs()
    assert throttled.value.status == 429
    org.set(search_limit=300, credentials=[])
    with pytest.raises(ApiException) as unauthorized:
        logs.list_logs()
    assert unauthorized.value.status == 401
