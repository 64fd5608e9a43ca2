"""The app as a whole: nobody gets in without a login or sees what they may not, and every answer is well formed."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow import settings
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from airflow.models.backfill import Backfill
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event
from tests.plugins.page.conftest import Permissions, define, mounted, publish

from logferry.clock import SystemClock
from logferry.errors import CredentialsError, StoreError
from logferry.view.archives import Archives
from logferry.window import TICK_PER_MINUTE
from logferry_airflow.hooks.connections import connect
from logferry_airflow.page.airflow_state import existing_runs
from logferry_airflow.page.answers import HEADERS, Envelope
from logferry_airflow.page.app import create_app
from logferry_airflow.page.definitions import Definitions
from logferry_airflow.page.lane import Lane

pytestmark = [pytest.mark.airflow, pytest.mark.integration]

RANGE = "from=2026-03-02T00:00:00Z&to=2026-03-03T00:00:00Z"
ADDRESSES = (
    "/logferry/",
    "/logferry/static/index.html",
    "/logferry/api/exports",
    "/logferry/api/exports/shop",
    f"/logferry/api/exports/shop/cells?{RANGE}",
    f"/logferry/api/exports/shop/series?{RANGE}",
    "/logferry/api/exports/shop/slices/2026-03-02T00:00:00Z",
    "/logferry/api/exports/shop/records",
    "/logferry/api/exports/shop/records/2",
    f"/logferry/api/exports/shop/fill?{RANGE}",
)
OF_ONE = tuple(address for address in ADDRESSES if "/shop" in address)


def sentence(answer: Any) -> str:
    """Of an answer that is an error."""
    assert answer.status_code >= 400, answer.text[:500]
    assert answer.headers["content-type"] == "application/json"
    (key,) = answer.json()
    assert key == "error"
    said: str = answer.json()["error"]
    assert said
    assert "\n" not in said
    return said


def has_the_headers(answer: Any) -> bool:
    return all(value == answer.headers.get(name) for name, value in HEADERS.items())


# --- who gets in -------------------------------------------------------------------------------------------------


def test_no_route_answers_anybody_who_is_not_logged_in(app: FastAPI, anonymous: TestClient) -> None:
    paths = [route.path for route in app.routes]  # type: ignore[attr-defined]
    assert {"/", "/static/{path:path}", "/api/exports", "/api/exports/{name}/fill"} <= set(paths)
    for path in paths:
        for given in ("shop", "x/y.js", "1"):
            for name in ("name", "start", "seq", "path:path"):
                path = path.replace(f"{{{name}}}", given)
            answer = anonymous.get(f"/logferry{path}")
            assert answer.status_code == 401, path
            assert has_the_headers(answer)


def test_every_address_of_these_tests_is_a_route_and_every_route_is_among_them(app: FastAPI) -> None:
    reached = set()
    for address in ADDRESSES:
        scope = {"type": "http", "method": "GET", "path": address.removeprefix("/logferry").partition("?")[0]}
        reached.add(next(route.path for route in app.routes if route.matches(scope)[0].value == 2))  # type: ignore[attr-defined]
    # The rows of all exports have tests of their own: it is the one answer without an ETag.
    assert reached == {route.path for route in app.routes} - {"/{path:path}", "/api/rows"}  # type: ignore[attr-defined]


def test_there_is_no_documentation_to_read(admin: TestClient) -> None:
    for path in ("docs", "redoc", "openapi.json"):
        assert admin.get(f"/logferry/{path}").status_code == 404


def test_the_page_leads_to_airflows_login_and_the_api_says_it_in_json(
    anonymous: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = anonymous.get("/logferry/")
    assert page.status_code == 401
    assert page.headers["content-type"].startswith("text/html")
    link = "/api/v2/auth/login?next=%2Fplugin%2Flogferry"
    assert f'<a href="{link}">' in page.text
    monkeypatch.setattr("logferry_airflow.page.app.API_ROOT_PATH", "/air/flow/")
    page = anonymous.get("/logferry/", headers={"Host": "elsewhere.example"})
    assert 'href="/air/flow/api/v2/auth/login?next=%2Fair%2Fflow%2Fplugin%2Flogferry"' in page.text
    assert "elsewhere" not in page.text
    for address in ("/logferry/api/exports", "/logferry/static/index.html"):
        assert "log in" in sentence(anonymous.get(address))


def test_a_token_that_is_none_is_no_login(anonymous: TestClient, permissions: Permissions) -> None:
    permissions.init()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow.api_fastapi.core_api.security.get_auth_manager", lambda: permissions)
        for headers in ({"Authorization": "Bearer nonsense"}, {"Cookie": "_token=nonsense"}):
            assert anonymous.get("/logferry/api/exports", headers=headers).status_code == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_the_app_changes_nothing(method: str, admin: TestClient) -> None:
    for address in ADDRESSES:
        answer = admin.request(method, address)
        assert answer.status_code == 405
        assert "only answers GET" in sentence(answer)
        assert answer.headers["allow"] == "GET, HEAD"


def test_head_is_get_without_the_body(admin: TestClient, anonymous: TestClient, published: None) -> None:
    for address in (*ADDRESSES, "/logferry/api/exports/nobody", "/logferry/nothing"):
        # The answer may become another one at any moment, as hours pass.
        whole, head, later = admin.get(address), admin.head(address), admin.get(address)
        assert head.content == b""
        assert head.status_code == whole.status_code
        assert {**head.headers} in ({**whole.headers}, {**later.headers})


# --- who sees what -----------------------------------------------------------------------------------------------


def names(answer: Any) -> list[str]:
    return [one["name"] for one in answer.json()["exports"]]


def test_the_list_leaves_out_what_may_not_be_read_broken_definitions_too(
    admin: TestClient, permissions: Permissions
) -> None:
    shown = admin.get("/logferry/api/exports")
    assert names(shown) == ["shop", "till"]
    (broken,) = shown.json()["broken"]
    assert "bent.yaml" in broken["file"]
    assert "shedule" in broken["reason"]
    permissions.hidden |= {"export_shop", "export_bent"}
    fewer = admin.get("/logferry/api/exports").json()
    assert [one["name"] for one in fewer["exports"]] == ["till"]
    assert fewer["total"] == 1
    assert fewer["broken"] == []


def test_a_hidden_export_is_refused_whether_it_exists_or_not(
    admin: TestClient, permissions: Permissions
) -> None:
    permissions.hidden |= {"export_shop", "export_nobody"}
    for address in OF_ONE:
        hidden = admin.get(address)
        absent = admin.get(address.replace("/shop", "/nobody"))
        assert hidden.status_code == absent.status_code == 403
        assert sentence(hidden).replace("shop", "nobody") == sentence(absent)


def test_a_dag_that_airflow_does_not_know_yet_needs_its_permission_all_the_same(
    admin: TestClient, permissions: Permissions, published: None
) -> None:
    assert admin.get("/logferry/api/exports/shop").status_code == 200
    assert permissions.asked == ["export_shop"]


@pytest.mark.parametrize(
    "name", ["nobody", "Shop", "shop.yaml", "..", "%2e%2e%2fshop", "%00", "<b>", "x" * 3_000, "shop%0a"]
)
def test_an_export_that_is_not_there_is_said_to_be_so(name: str, admin: TestClient) -> None:
    answer = admin.get(f"/logferry/api/exports/{name}")
    assert answer.status_code == 404
    assert len(sentence(answer)) < 300


def test_no_body_of_an_answer_to_head_reaches_the_server() -> None:
    """Which would leave it out, too, or take it for the next answer."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": scope["method"].encode()})

    async def keep(message: Any) -> None:
        sent.append(message)

    for method in ("GET", "HEAD"):
        asyncio.run(Envelope(app)({"type": "http", "method": method, "path": "/"}, keep, keep))
    assert [message["body"] for message in sent if "body" in message] == [b"GET", b""]
    assert [(b"content-length", b"3") in message["headers"] for message in sent if "headers" in message] == [
        True
    ] * 2


NAMELESS = {
    "nul.yaml": 'name: "a\\0b"\n',
    "half.yaml": 'name: "\\ud800"\nsource: 1\n',
    "My-Export.yaml": "source: 1\n",
    "sh\udcffop.yaml": "source: 1\n",
}


def test_a_definition_whose_name_is_none_takes_nobodys_page_down(
    admin: TestClient, exports: Path, permissions: Permissions, airflow_rows: Callable[..., None]
) -> None:
    for file, text in NAMELESS.items():
        (exports / file).write_text(text)
    define(exports, "odd", destination={"url": "file:///x"}, pool='"\ud800"')
    asked: list[str] = []

    def note(ids: Any, **more: Any) -> Any:
        asked.extend(ids)
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DagModel, "get_dag_id_to_team_name_mapping", note)
        answer = admin.get("/logferry/api/exports")
        for name in ("%00", "a%00b", "%ED%A0%80", "sh%FFop", "My-Export"):
            assert admin.get(f"/logferry/api/exports/{name}").status_code == 404
    assert answer.status_code == 200
    assert names(answer)[-2:] == ["shop", "till"]
    listed = {one["file"] for one in answer.json()["broken"]}
    assert listed >= {"nul.yaml", "half.yaml", "My-Export.yaml", "sh\\udcffop.yaml", "bent.yaml"}
    assert set(asked) <= {f"export_{name}" for name in ("shop", "till", "bent", "odd", "")} | {
        "archive_verify"
    }


@pytest.mark.parametrize("hidden", ["export_shop", "export_bent", "export_"])
def test_a_broken_file_of_no_name_is_shown_to_those_alone_who_may_read_every_export(
    hidden: str, admin: TestClient, exports: Path, permissions: Permissions
) -> None:
    (exports / "My-Export.yaml").write_text("source: secret\n")
    assert "My-Export.yaml" in admin.get("/logferry/api/exports").text
    permissions.hidden.add(hidden)
    assert "My-Export.yaml" not in admin.get("/logferry/api/exports").text


def test_the_reason_of_another_exports_broken_file_is_not_told(
    admin: TestClient, exports: Path, permissions: Permissions
) -> None:
    (exports / "aaa.yaml").write_text("name: secret\nhidden_key: 1\n")
    (exports / "bbb.yaml").write_text("name: aaa\nshown_key: 1\n")
    permissions.hidden.add("export_secret")
    said = sentence(admin.get("/logferry/api/exports/aaa"))
    assert "shown_key" in said
    assert "hidden_key" not in said
    assert "aaa.yaml" not in said


def test_what_an_editor_leaves_in_the_folder_takes_nothing_down(admin: TestClient, exports: Path) -> None:
    (exports / ".#shop.yaml").symlink_to("me@host.1234:1")
    (exports / "gone.yaml").symlink_to("nowhere")
    answer = admin.get("/logferry/api/exports")
    assert names(answer) == ["shop", "till"]
    assert [one["file"] for one in answer.json()["broken"]] == ["bent.yaml", "gone.yaml"]
    (exports / "gone.yaml").unlink()
    define(exports, "gone")
    assert names(admin.get("/logferry/api/exports")) == ["gone", "shop", "till"]


def test_the_definitions_are_not_parsed_again_for_files_that_are_none(exports: Path) -> None:
    definitions = Definitions()
    before = definitions.current()
    (exports / ".shop.yaml.swp").write_text("x")
    (exports / ".hidden.yaml").write_text("x")
    (exports / "notes.txt").write_text("x")
    assert definitions.current() is before
    define(exports, "more")
    assert "more" in definitions.current().exports


def test_a_run_of_an_impossible_name_is_one_that_airflow_does_not_have(
    airflow_rows: Callable[..., None],
) -> None:
    airflow_rows(
        DagModel(dag_id="export_shop", bundle_name="dags-folder", is_paused=False, is_stale=False),
        a_run("manual__1", DagRunState.SUCCESS, 1),
    )
    sent: list[object] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *more: Any) -> None:
        sent.extend(parameters)

    event.listen(settings.engine, "before_cursor_execute", note)
    try:
        with create_session() as session:
            found = existing_runs(session, "export_shop", ["manual__1", "a\0b", "\ud800", "x" * 10_000])
    finally:
        event.remove(settings.engine, "before_cursor_execute", note)
    assert found == {"manual__1"}
    assert not {"a\0b", "\ud800"} & set(map(str, sent))


def test_a_broken_definition_says_why(admin: TestClient) -> None:
    answer = admin.get("/logferry/api/exports/bent")
    assert answer.status_code == 404
    assert "shedule" in sentence(answer)


def test_a_viewer_sees_and_may_start_nothing(log_in: Callable[[str], TestClient]) -> None:
    def may(role: str) -> set[bool]:
        first = log_in(role).get("/logferry/api/exports").json()["exports"][0]["airflow"]
        return {first["can_trigger"], first["can_unpause"], first["can_verify"]}

    assert may("VIEWER") == {False}
    assert may("USER") == {True}


def test_who_may_not_trigger_the_verifying_dag_may_not_verify(
    admin: TestClient, permissions: Permissions
) -> None:
    permissions.hidden.add("archive_verify")
    for one in admin.get("/logferry/api/exports").json()["exports"]:
        assert one["airflow"]["can_verify"] is False
        assert one["airflow"]["can_trigger"] is True


# --- what Airflow knows ------------------------------------------------------------------------------------------


def moment(hour: int) -> datetime:
    return datetime(2026, 3, 2, hour, tzinfo=UTC)


def a_run(run_id: str, state: DagRunState, hour: int, **more: Any) -> DagRun:
    return DagRun(
        dag_id="export_shop",
        run_id=run_id,
        run_type=DagRunType.MANUAL,
        triggered_by=DagRunTriggeredByType.REST_API,
        logical_date=moment(hour),
        run_after=moment(hour),
        data_interval=(moment(hour), moment(hour + 1)),
        state=state,
        **more,
    )


def test_the_state_of_a_dag_and_its_runs_is_told_in_utc(
    admin: TestClient, airflow_rows: Callable[..., None]
) -> None:
    ended = [a_run("old", DagRunState.SUCCESS, 1), a_run("last", DagRunState.FAILED, 2)]
    for number, run in enumerate(ended):
        run.end_date = moment(10 + number)
    airflow_rows(
        DagModel(
            dag_id="export_shop",
            bundle_name="dags-folder",
            is_paused=True,
            is_stale=False,
            next_dagrun_create_after=moment(20),
            next_dagrun_data_interval_start=moment(19),
            next_dagrun_data_interval_end=moment(20),
        ),
        *ended,
        *(a_run(f"queued{hour}", DagRunState.QUEUED, hour) for hour in (3, 4)),
        a_run("running", DagRunState.RUNNING, 5),
    )
    shop, till = (one["airflow"] for one in admin.get("/logferry/api/exports").json()["exports"])
    assert shop["known"] is True
    assert shop["paused"] is True
    assert shop["next_run"] == {
        "at": "2026-03-02T20:00:00Z",
        "from": "2026-03-02T19:00:00Z",
        "to": "2026-03-02T20:00:00Z",
    }
    assert (shop["running"], shop["queued"]) == (1, 2)
    assert shop["last_run"] == {
        "id": "last",
        "state": "failed",
        "from": "2026-03-02T02:00:00Z",
        "to": "2026-03-02T03:00:00Z",
        "ended": "2026-03-02T11:00:00Z",
    }
    assert {key: till[key] for key in ("known", "paused", "next_run", "running", "queued", "last_run")} == {
        "known": False, "paused": None, "next_run": None, "running": 0, "queued": 0, "last_run": None,
    }  # fmt: skip


def test_a_dag_that_is_gone_is_unknown(admin: TestClient, airflow_rows: Callable[..., None]) -> None:
    airflow_rows(DagModel(dag_id="export_shop", bundle_name="dags-folder", is_stale=True, is_paused=False))
    assert admin.get("/logferry/api/exports").json()["exports"][0]["airflow"]["known"] is False


def test_the_number_of_queries_does_not_grow_with_the_exports(admin: TestClient, exports: Path) -> None:
    said: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        said.append(statement)

    event.listen(settings.engine, "before_cursor_execute", note)
    try:
        admin.get("/logferry/api/exports")
        few = len(said)
        for number in range(20):
            define(exports, f"more_{number}")
        said.clear()
        assert len(names(admin.get("/logferry/api/exports"))) == 22
    finally:
        event.remove(settings.engine, "before_cursor_execute", note)
    assert len(said) == few
    assert few <= 4


def test_what_airflows_runs_failed_to_bring_is_not_called_from_before_the_first_publication(
    admin: TestClient, published: None, airflow_rows: Callable[..., None]
) -> None:
    summary, cells = (f"/logferry/api/exports/shop{rest}" for rest in ("", f"/cells?{RANGE}"))
    before = admin.get(summary)
    assert before.json()["before_first"] == {
        "from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z", "slices": 4,
    }  # fmt: skip
    assert admin.get(cells).json()["begun_at"] == "2026-03-02T00:00:00Z"
    by_conf = a_run("asked_for_by_conf", DagRunState.FAILED, 0)
    by_conf.logical_date = by_conf.data_interval_start = by_conf.data_interval_end = None
    airflow_rows(
        DagModel(dag_id="export_shop", bundle_name="dags-folder", is_paused=False, is_stale=False),
        a_run("later", DagRunState.SUCCESS, 0),
        by_conf,
    )
    assert admin.get(summary).json()["before_first"] == before.json()["before_first"]

    failed = a_run("first_night", DagRunState.FAILED, 0)
    failed.logical_date = failed.data_interval_start = datetime(2026, 3, 1, tzinfo=UTC)
    airflow_rows(failed)
    after = admin.get(summary)
    assert after.json()["before_first"] is None
    assert after.headers["etag"] != before.headers["etag"]
    assert admin.get(cells).json()["begun_at"] == "2026-03-01T00:00:00Z"
    line = next(one for one in admin.get("/logferry/api/rows").text.splitlines() if '"shop"' in one)
    assert json.loads(line) == {"name": "shop", "etag": after.headers["etag"], "row": after.json()}


def test_a_run_that_airflow_still_has_is_told_from_one_that_is_gone(
    admin: TestClient, published: None, airflow_rows: Callable[..., None]
) -> None:
    slice_, record = (address for address in OF_ONE if "slices/" in address or "records/" in address)
    for address in (slice_, record):
        run = admin.get(address).json()["run"]
        assert (run["id"], run["dag_run"], run["dag_id"]) == ("manual__1", False, "export_shop")
    before = admin.get(slice_).headers["etag"]
    airflow_rows(
        DagModel(dag_id="export_shop", bundle_name="dags-folder", is_paused=False, is_stale=False),
        a_run("manual__1", DagRunState.SUCCESS, 1),
    )
    for address in (slice_, record):
        assert admin.get(address).json()["run"]["dag_run"] is True
    assert admin.get(slice_).headers["etag"] != before


def test_what_stands_in_the_way_of_a_fill_is_said_before_it_is_started(
    admin: TestClient, published: None, airflow_rows: Callable[..., None]
) -> None:
    address = f"/logferry/api/exports/till/fill?{RANGE}"
    assert any("does not know export_till" in one for one in admin.get(address).json()["warnings"])
    airflow_rows(
        DagModel(dag_id="export_till", bundle_name="dags-folder", is_paused=True, is_stale=False),
        Backfill(dag_id="export_till", from_date=moment(1), to_date=moment(2), max_active_runs=1, dag_run_conf={}),
    )  # fmt: skip
    warnings = " ".join(admin.get(address).json()["warnings"])
    assert "export_till is paused" in warnings
    assert "a backfill of export_till is under way" in warnings


# --- answers -----------------------------------------------------------------------------------------------------


def test_the_headers_are_on_every_answer(admin: TestClient, published: None) -> None:
    wrong = (
        "/logferry/nothing",
        "/logferry/static/no.js",
        "/logferry/api/exports/nobody",
        "/logferry/api/exports?limit=x",
    )
    for address in (*ADDRESSES, *wrong):
        assert has_the_headers(admin.get(address)), address
        assert has_the_headers(admin.post(address)), address


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_answer_is_not_sent_twice(address: str, admin: TestClient, published: None) -> None:
    first = admin.get(address)
    assert first.status_code == 200
    tag = first.headers["etag"]
    assert tag.startswith('"')
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = admin.get(address, headers={"If-None-Match": known})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == tag
        assert has_the_headers(again)
    assert admin.get(address, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_new_publication_changes_the_tag(
    exports: Path, permissions: Permissions, database: None, datadog: Any
) -> None:
    reader = _of(Archives(connect, Hurried()))
    address = f"/logferry/api/exports/shop/cells?{RANGE}"
    before = reader.get(address)
    assert before.json()["cells"] == "MMMM"
    publish(exports)
    after = reader.get(address, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.json()["cells"] == "PPPP"


@pytest.mark.parametrize("address", ["/logferry/api/exports", "/logferry/static/vendor/uplot/uPlot.esm.js"])
def test_large_answers_are_compressed_for_those_who_take_it(address: str, admin: TestClient) -> None:
    plain = admin.get(address, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert (
        admin.get(address, headers={"Accept-Encoding": "gzip;q=0"}).headers["etag"] == plain.headers["etag"]
    )
    with admin.stream("GET", address, headers={"Accept-Encoding": "br, gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content
    assert answer.headers["etag"] != plain.headers["etag"]


@pytest.mark.parametrize(
    "path",
    ["../app.py", "%2e%2e/app.py", "..%2fapp.py", "%2e%2e%2f%2e%2e%2flogferry_airflow%2fpage%2fapp.py", "/etc/passwd",
     "%2fetc%2fpasswd", "vendor", "vendor/", "app.py", "..%5capp.py", "index.html%00.js", ""],
)  # fmt: skip
def test_no_path_leads_out_of_the_static_folder(path: str, admin: TestClient) -> None:
    answer = admin.get(f"/logferry/static/{path}")
    assert answer.status_code == 404
    assert "def create_app" not in answer.text


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/logferry/api/exports?offset=-1", "offset"),
        ("/logferry/api/exports?limit=a", "limit"),
        ("/logferry/api/exports/shop/cells?from=yesterday", "is not an absolute time"),
        ("/logferry/api/exports/shop/cells?from=2026-03-03T00:00:00Z&to=2026-03-02T00:00:00Z", "reversed"),
        ("/logferry/api/exports/shop/cells?from=2026-03-02T00:00:00", "is not an absolute time"),
        (
            "/logferry/api/exports/shop/fill?from=2026-03-02T00:30:00Z&to=2026-03-03T00:00:00Z",
            "the neighbours are 2026-03-02T00:00:00Z and 2026-03-02T06:00:00Z",
        ),
        ("/logferry/api/exports/shop/slices/2026-03-02T01:00:00Z", "does not lie on the slice grid of 6h"),
        ("/logferry/api/exports/shop/slices/now", "is not an absolute time"),
        ("/logferry/api/exports/shop/slices/2500-01-01T00:00:00Z", "correct the year"),
        ("/logferry/api/exports/shop/records?before=x", "before"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_sentence(
    address: str, said: str, admin: TestClient, published: None
) -> None:
    answer = admin.get(address)
    assert answer.status_code == 400
    assert said in sentence(answer)


def test_a_record_that_is_not_there_is_not_found(admin: TestClient, published: None) -> None:
    assert admin.get("/logferry/api/exports/shop/records/99").status_code == 404


def test_without_a_folder_of_definitions_the_list_says_where_it_was_looked_for(
    admin: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOGFERRY_EXPORTS_DIR", str(tmp_path / "none"))
    for address in ("/logferry/api/exports", "/logferry/api/exports/shop"):
        answer = admin.get(address)
        assert answer.status_code == 503
        assert "LOGFERRY_EXPORTS_DIR" in sentence(answer)


def test_a_new_definition_is_there_at_once(admin: TestClient, exports: Path) -> None:
    define(exports, "added")
    assert names(admin.get("/logferry/api/exports")) == ["added", "shop", "till"]


def test_a_lake_that_cannot_be_reached_is_shown_with_the_reason_and_no_secret(
    admin: TestClient, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    define(exports, "far", destination={"url": "s3://logs/far", "connection": "lake_far"})
    secret = "verysecretverysecret"
    extra = '{"endpoint_url": "http://127.0.0.1:9", "region_name": "eu-west-1"}'
    monkeypatch.setenv(
        "AIRFLOW_CONN_LAKE_FAR",
        f'{{"conn_type": "aws", "login": "AKIAVERYSECRET", "password": "{secret}", "extra": {extra}}}',
    )
    answer = admin.get("/logferry/api/exports/far")
    assert answer.status_code == 200
    lake = answer.json()["lake"]
    assert lake["reachable"] is False
    assert lake["reason"]
    assert secret not in answer.text
    assert "AKIAVERYSECRET" not in answer.text


class Hurried:
    """A clock by which a minute goes by between two looks at it; waiting costs none."""

    def __init__(self) -> None:
        self.tick = SystemClock().now()

    def now(self) -> int:
        self.tick += TICK_PER_MINUTE
        return self.tick

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


class Failing:
    """Archives that fail in a way of their own."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def state(self, spec: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    "error", [StoreError("the lake is away"), CredentialsError("the lake refuses the key")]
)
def test_what_the_engine_says_of_a_lake_is_passed_on_as_unavailable(
    error: Exception, exports: Path, permissions: Permissions, database: None
) -> None:
    answer = _of(Failing(error)).get("/logferry/api/exports/shop")
    assert answer.status_code == 503
    assert sentence(answer) == str(error)


def test_a_lake_that_does_not_answer_in_time_is_unavailable_and_the_list_goes_on(
    exports: Path, permissions: Permissions, database: None
) -> None:
    asked, answered = threading.Event(), threading.Event()
    lane = Lane(limit_s=60)

    class Hanging:
        def state(self, spec: Any) -> None:
            asked.set()
            answered.wait(60)

    with _of(Hanging(), lane) as reader:
        first = threading.Thread(target=lambda: reader.get("/logferry/api/exports/shop"))
        first.start()
        try:
            assert asked.wait(60)  # The limit counts from before a thread takes it up.
            lane._limit_s = 0.05
            answer = reader.get("/logferry/api/exports/shop")
            assert answer.status_code == 503
            assert "the lake of shop has not answered for" in sentence(answer)
            assert names(reader.get("/logferry/api/exports")) == ["shop", "till"]
        finally:
            answered.set()
            first.join(60)


def test_the_log_names_the_address_in_one_line(
    exports: Path, permissions: Permissions, database: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        _of(Failing(RuntimeError("no"))).get("/logferry/api/exports/shop/slices/x%0D%1B[2KERROR forged")
    (message,) = (one for one in caplog.messages if "could not answer" in one)
    assert message.isprintable()


def test_an_error_that_nobody_foresaw_is_logged_and_not_told(
    exports: Path, permissions: Permissions, database: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = _of(Failing(RuntimeError("password=hunter2"))).get("/logferry/api/exports/shop")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "the log of Airflow's API server" in sentence(answer)
    assert has_the_headers(answer)
    assert "hunter2" in caplog.text


def _of(archives: Any, lane: Lane | None = None) -> TestClient:
    app = create_app(archives=archives, lane=lane)
    app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="admin", role="ADMIN")
    return TestClient(mounted(app), base_url="http://airflow")
