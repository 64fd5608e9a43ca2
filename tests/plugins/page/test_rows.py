"""The rows of the overview come in one answer, each when it is ready."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import threading
import zlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from tests.plugins.page.conftest import Permissions, define

from logferry.clock import SystemClock
from logferry.connection import Connection, connection_for
from logferry.spec import ExportSpec, load_exports
from logferry.view.archive_state import ArchiveState
from logferry.view.archives import Archives, Look
from logferry.window import TICK_PER_SECOND
from logferry_airflow.page import rows as rows_module
from logferry_airflow.page.exports import Exports
from logferry_airflow.page.lane import Lane
from logferry_airflow.page.rows import Rows

pytestmark = [pytest.mark.airflow, pytest.mark.integration]

ADMIN = SimpleAuthManagerUser(username="ADMIN", role="ADMIN")


def lines(text: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in map(json.loads, text.splitlines())}


def test_one_answer_has_the_row_of_every_export(admin: TestClient, published: None) -> None:
    answer = admin.get("/logferry/api/rows")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["cache-control"] == "private, no-cache"
    found = lines(answer.text)
    assert set(found) == {"shop", "till"}
    for name, line in found.items():
        single = admin.get(f"/logferry/api/exports/{name}")
        assert line == {"name": name, "etag": single.headers["etag"], "row": single.json()}
    assert found["shop"]["row"]["cells"]["P"] == 4


def test_a_row_that_the_reader_has_is_only_named(admin: TestClient, published: None) -> None:
    etag = lines(admin.get("/logferry/api/rows").text)["shop"]["etag"]
    found = lines(admin.get("/logferry/api/rows", headers={"If-None-Match": f'"other", {etag}'}).text)
    assert found["shop"] == {"name": "shop", "etag": etag}
    assert "row" in found["till"]
    alone = admin.get("/logferry/api/exports/shop", headers={"If-None-Match": etag})
    assert alone.status_code == 304


def test_an_export_that_is_hidden_has_no_row(admin: TestClient, permissions: Permissions) -> None:
    permissions.hidden.add("export_till")
    assert set(lines(admin.get("/logferry/api/rows").text)) == {"shop"}


def test_without_a_folder_of_definitions_it_is_said_at_once(admin: TestClient, exports: Path) -> None:
    for file in exports.iterdir():
        file.unlink()
    exports.rmdir()
    answer = admin.get("/logferry/api/rows")
    assert answer.status_code == 503
    assert "cannot be read" in answer.json()["error"]


class Hanging:
    """Connections, of which one is not looked up before ``answers`` is set."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = threading.Event()

    def connect(self, conn_id: str, kind: str) -> Connection:
        if conn_id == "dd_slow":
            self.asked.set()
            self.answers.wait()
        return connection_for("dd_test", kind)


def rows_of(connect: Callable[[str, str], Connection], *, patience_s: float) -> Rows:
    return Rows(Exports(), Archives(connect, SystemClock(), patience_s=patience_s), Lane())


async def body(rows: Rows, *accepted: str) -> AsyncIterator[bytes]:
    headers = [(b"accept-encoding", one.encode()) for one in accepted]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/logferry/api/rows",
        "query_string": b"",
        "headers": headers,
    }
    answer: Any = await rows.answer(Request({**scope, "server": ("airflow", 80), "scheme": "http"}), ADMIN)
    return answer.body_iterator  # type: ignore[no-any-return]


def test_lakes_that_hang_hold_up_no_other_row(app: FastAPI, exports: Path, published: None) -> None:
    for number in range(9):
        define(exports, f"a_slow_{number}", source={"kind": "datadog", "connection": "dd_slow", "query": "*"})
    slow = Hanging()

    async def scenario() -> None:
        parts = await body(rows_of(slow.connect, patience_s=120))
        # Those that hang are first by name, and more than there are turns and threads.
        first, second = [json.loads(await anext(parts)) for _ in range(2)]
        assert {first["name"], second["name"]} == {"shop", "till"}
        assert first["row"]["lake"]["reachable"]
        slow.answers.set()
        rest = [json.loads(one) async for one in parts]
        assert sorted(one["name"] for one in rest) == [f"a_slow_{number}" for number in range(9)]
        assert all(one["row"]["lake"]["reachable"] for one in rest)

    try:
        asyncio.run(scenario())
    finally:
        slow.answers.set()


def test_a_lake_that_does_not_answer_in_time_is_told_of_and_then_not_waited_for(
    app: FastAPI, exports: Path
) -> None:
    define(exports, "till", source={"kind": "datadog", "connection": "dd_slow", "query": "*"})
    slow = Hanging()
    rows = rows_of(slow.connect, patience_s=0.05)

    async def scenario() -> None:
        found = lines(b"".join([one async for one in await body(rows)]).decode())
        lake = found["till"]["row"]["lake"]
        assert not lake["reachable"]
        assert lake["since"]
        assert "read for the first time" in lake["reason"]

    try:
        asyncio.run(scenario())
    finally:
        slow.answers.set()


def test_a_lake_that_was_away_before_is_not_waited_for(app: FastAPI, exports: Path) -> None:
    define(exports, "till", destination={"url": "s3://acme", "connection": "lake"})
    answers, second = threading.Event(), threading.Event()

    def connect(conn_id: str, kind: str) -> Connection:
        if conn_id == "lake":
            if second.is_set():
                answers.wait()
            raise OSError("refused")
        return connection_for("dd_test", kind)

    clock = Later()
    rows = Rows(Exports(), Archives(connect, clock, patience_s=3_600), Lane())

    async def scenario() -> None:
        found = lines(b"".join([one async for one in await body(rows)]).decode())
        before = found["till"]["row"]["lake"]
        assert not before["reachable"]
        second.set()
        clock.ahead += 60 * TICK_PER_SECOND
        # Its second reading hangs; with so much patience this would not end.
        found = lines(b"".join([one async for one in await body(rows)]).decode())
        assert found["till"]["row"]["lake"] == before

    try:
        asyncio.run(scenario())
    finally:
        answers.set()


class Later:
    """The system's clock, moved ahead by ticks."""

    ahead = 0

    def now(self) -> int:
        return SystemClock().now() + self.ahead

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits here")


def test_an_archive_that_is_worked_at_keeps_its_turn_and_one_that_waits_for_its_lake_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows_module, "_IDLE_S", 0.001)

    async def scenario() -> None:
        waiting = Look(Future(), 60, unasked, worked_s=lambda: 7.0)
        await rows_module._worked_at(waiting)
        answered: Future[None] = Future()
        seconds = itertools.count()

        def work() -> float:
            # It is read when it was looked at for the fifth time.
            worked = next(seconds)
            if worked == 10:
                answered.set_result(None)
            return float(worked)

        await rows_module._worked_at(Look(answered, 60, unasked, worked_s=work))
        assert answered.done()

    asyncio.run(scenario())


class Dead(Archives):
    """Lakes that were never read; one that was waited for in vain before."""

    def is_known(self, spec: ExportSpec) -> bool:
        return False

    def look(self, spec: ExportSpec) -> Look:
        return Look(Future(), 0.0, unasked)


def test_a_lake_that_was_waited_for_in_vain_holds_up_no_other(
    app: FastAPI, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "_IDLE_S", 3_600)
    rows = Rows(Exports(), Dead(connection_for, SystemClock()), Lane())
    spec = load_exports(exports).exports["till"]

    async def scenario() -> None:
        look = await asyncio.wait_for(rows._look(spec, asyncio.Semaphore(1)), 60)
        assert look.answered is not None
        assert not look.answered.done()

    asyncio.run(scenario())


def unasked() -> ArchiveState:
    raise AssertionError("nobody asks for it here")


def test_the_time_that_a_reading_has_worked_is_that_of_its_thread(app: FastAPI, exports: Path) -> None:
    slow = Hanging()
    archives = Archives(slow.connect, SystemClock())
    define(exports, "till", source={"kind": "datadog", "connection": "dd_slow", "query": "*"})
    spec = load_exports(exports).exports["till"]
    assert not archives.is_known(spec)
    look = archives.look(spec)
    try:
        assert slow.asked.wait(60)
        before = look.worked_s()
        sum(range(1_000_000))
        assert 0 <= look.worked_s() - before < 0.001
    finally:
        slow.answers.set()
    assert look.answered is not None
    look.answered.result(60)
    assert archives.is_known(spec)


def test_a_line_can_be_unpacked_when_it_arrives(app: FastAPI, exports: Path, published: None) -> None:
    define(exports, "till", source={"kind": "datadog", "connection": "dd_slow", "query": "*"})
    slow = Hanging()

    async def scenario() -> None:
        parts = await body(rows_of(slow.connect, patience_s=120), "gzip")
        unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
        first = json.loads(unpack.decompress(await anext(parts)))
        assert first["name"] == "shop"
        assert first["etag"].endswith('-gzip"')
        slow.answers.set()
        rest = [unpack.decompress(one) async for one in parts]
        assert lines(b"".join(rest).decode()).keys() == {"till"}
        assert unpack.eof

    try:
        asyncio.run(scenario())
    finally:
        slow.answers.set()


def test_a_row_that_cannot_be_made_takes_no_other_with_it(
    admin: TestClient, published: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = rows_module.summary

    def broken(state: Any, *, now: int) -> Any:
        if state.spec.name == "till":
            raise RuntimeError("a bug")
        return real(state, now=now)

    monkeypatch.setattr(rows_module, "summary", broken)
    with caplog.at_level(logging.ERROR):
        found = lines(admin.get("/logferry/api/rows").text)
    assert "row" in found["shop"]
    assert found["till"]["status"] == 500
    assert "the log of Airflow's API server says why" in found["till"]["error"]
    assert "a bug" in caplog.text
