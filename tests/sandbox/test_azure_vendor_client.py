"""The query API as Microsoft's own clients, azure-monitor-query and azure-identity, meet it over a socket."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential
from azure.monitor.query import LogsQueryClient, LogsQueryPartialResult, LogsQueryResult, LogsQueryStatus

from logferry_sandbox.azure_sandbox import AzureSandbox
from logferry_sandbox.entra import QUERY_AUDIENCE

pytestmark = pytest.mark.integration

DAY = (datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))
# The client refuses to send a token without TLS unless told that this is meant.
PLAIN: dict[str, Any] = {"enforce_https": False}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureSandbox]:
    with AzureSandbox(state_dir=tmp_path_factory.mktemp("azure")) as running:
        yield running


@pytest.fixture
def client(sandbox: AzureSandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogsQueryClient]:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    described = sandbox.describe()
    authority = urlsplit(described["authority"])
    credential = ClientSecretCredential(
        described["tenant_id"],
        described["client_id"],
        described["client_secret"],
        authority=f"{authority.scheme}://{authority.netloc}",
        disable_instance_discovery=True,
        connection_verify=described["ca_bundle"],
    )
    sandbox.plan.replace([])
    made = LogsQueryClient(
        credential, endpoint=described["query_endpoint"], audience=QUERY_AUDIENCE, retry_total=0
    )
    yield made
    made.close()


def ask(client: LogsQueryClient, sandbox: AzureSandbox, query: str, **options: Any) -> Any:
    options = {"timespan": None, **PLAIN, **options}
    return client.query_workspace(sandbox.describe()["workspace"], query, **options)


def test_the_client_signs_in_and_counts_a_day(client: LogsQueryClient, sandbox: AzureSandbox) -> None:
    answer = ask(
        client, sandbox, "AppRequests | where TimeGenerated < datetime(2026-11-21) | count", timespan=DAY
    )
    assert answer.status == LogsQueryStatus.SUCCESS
    assert answer.tables[0].rows[0][0] == 3000


def test_the_client_reads_every_type_it_knows(client: LogsQueryClient, sandbox: AzureSandbox) -> None:
    answer = ask(
        client, sandbox, "FerryTypes_CL | extend item = _ItemId", timespan=DAY, include_statistics=True
    )
    table = answer.tables[0]
    kinds = dict(zip(table.columns, table.columns_types, strict=True))
    assert kinds["Big"] == "long"
    assert {kinds[name] for name in ("Level", "level")} == {"string"}
    assert set(kinds.values()) == {
        "bool", "datetime", "decimal", "dynamic", "guid", "int", "long", "real", "string", "timespan",
    }  # fmt: skip
    big = table.columns.index("Big")
    assert {9223372036854775807, 9007199254740993} <= {row[big] for row in table.rows}
    assert answer.statistics["query"]["datasetStatistics"][0]["tableRowCount"] == len(table.rows)


def test_the_pipeline_of_an_export_runs(client: LogsQueryClient, sandbox: AzureSandbox) -> None:
    query = (
        "AppRequests | where TimeGenerated >= datetime(2026-11-20T00:00:00.0000000Z) and TimeGenerated <"
        " datetime(2026-11-20T01:00:00.0000000Z) | extend _lf_time = TimeGenerated, _lf_item = _ItemId"
        " | where Success == false | project-away Properties"
    )
    rows = ask(client, sandbox, f"{query} | project ['TimeGenerated'], ['Name'], _lf_time, _lf_item")
    counted = ask(client, sandbox, f"{query} | summarize rows = count() by bin = bin(_lf_time, 1h)")
    schema = ask(client, sandbox, f"{query} | getschema")
    assert rows.tables[0].columns == ["TimeGenerated", "Name", "_lf_time", "_lf_item"]
    assert counted.tables[0].rows[0]["rows"] == len(rows.tables[0].rows) > 0
    assert counted.tables[0].rows[0]["bin"] == DAY[0]
    names = [row["ColumnName"] for row in schema.tables[0].rows]
    assert names[-2:] == ["_lf_time", "_lf_item"]
    assert "Properties" not in names


def test_a_resource_answers_like_its_workspace(client: LogsQueryClient, sandbox: AzureSandbox) -> None:
    resource = sandbox.query.workspace.component_id
    answer = client.query_resource(resource, "AppTraces | count", timespan=DAY, **PLAIN)
    assert isinstance(answer, LogsQueryResult)
    assert answer.tables[0].rows[0][0] == 1501  # the client's end is one row on the edge of the next day


def test_a_partial_answer_reaches_the_client_as_one(client: LogsQueryClient, sandbox: AzureSandbox) -> None:
    sandbox.plan.replace([{"fault": "azure:partial_error", "params": {"variant": 2}, "times": 1}])
    answer = ask(client, sandbox, "AppTraces", timespan=DAY)
    assert isinstance(answer, LogsQueryPartialResult)
    assert answer.partial_error is not None
    assert answer.partial_error.code == "PartialError"
    assert "64000000 bytes" in str(answer.partial_error.details)
    assert 0 < len(answer.partial_data[0].rows) < 1500


@pytest.mark.parametrize(
    ("query", "inner"), [("Nope | take 1", "SEM0100"), ("AppRequests | where", "SYN0002")]
)
def test_a_bad_query_raises_with_its_inner_code(
    client: LogsQueryClient, sandbox: AzureSandbox, query: str, inner: str
) -> None:
    with pytest.raises(HttpResponseError) as caught:
        ask(client, sandbox, query)
    assert caught.value.status_code == 400
    assert caught.value.error is not None
    assert caught.value.error.code == "BadArgumentError"
    assert inner in str(caught.value.error.innererror)


def test_the_server_timeout_is_sent_as_a_preference_and_echoed(
    client: LogsQueryClient, sandbox: AzureSandbox
) -> None:
    seen: list[str] = []
    ask(
        client,
        sandbox,
        "AppRequests | take 1",
        timespan=timedelta(days=3),
        server_timeout=600,
        raw_response_hook=lambda response: seen.append(response.http_response.headers["Preference-Applied"]),
    )
    assert seen == ["wait=600"]


def test_the_wrong_audience_is_refused(sandbox: AzureSandbox, client: LogsQueryClient) -> None:
    described = sandbox.describe()
    token = sandbox.tokens.issue("https://api.loganalytics.us", described["client_id"], 3600)
    answer = requests.post(
        f"{described['query_endpoint']}/v1/workspaces/{described['workspace']}/query",
        json={"query": "AppRequests | count"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "InvalidAuthenticationTokenAudience")


def test_faults_and_truth_are_reached_over_http(sandbox: AzureSandbox, client: LogsQueryClient) -> None:
    base = sandbox.describe()["query_endpoint"]
    rule = {"fault": "azure:drop_row", "match": {"body_contains": "AppTraces"}, "times": 1}
    assert requests.post(f"{base}/_sandbox/faults", json=[rule], timeout=30).status_code == 200
    window = (
        "AppTraces | where TimeGenerated >= datetime(2026-11-20) and TimeGenerated < datetime(2026-11-21)"
    )
    assert len(ask(client, sandbox, window).tables[0].rows) == 1499
    from_tick = int(DAY[0].timestamp()) * 10_000_000
    query = {"table": "AppTraces", "from_tick": from_tick, "to_tick": from_tick + 864_000_000_000}
    truth = requests.get(
        f"{base}/_sandbox/truth", params={k: str(v) for k, v in query.items()}, timeout=30
    ).json()
    assert truth["rows"] == 1500
    assert requests.get(f"{base}/_sandbox/stats", timeout=30).json()["faults"]["azure:drop_row"] >= 1


def test_a_big_answer_arrives_compressed_and_whole(sandbox: AzureSandbox, client: LogsQueryClient) -> None:
    answer = ask(client, sandbox, "FerryTypes_CL | where strlen(Body) > 1000 | project Body", timespan=DAY)
    assert [len(row[0]) for row in answer.tables[0].rows] == [65_536]


def test_two_sandboxes_with_one_seed_agree(sandbox: AzureSandbox, tmp_path: Path) -> None:
    other = AzureSandbox(state_dir=tmp_path, seed=7)
    other.stop()
    start, stop = 639_200_000_000_000_000, 639_200_864_000_000_000
    assert [batch.columns["_ItemId"].values() for batch in other.tables["AppRequests"].scan(start, stop)] == [
        batch.columns["_ItemId"].values() for batch in sandbox.tables["AppRequests"].scan(start, stop)
    ]
