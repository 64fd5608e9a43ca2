"""Answers about one export's archive: permission first, then the lake in threads of its own, then Airflow's word."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.utils.session import create_session
from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool

from logferry.dag_ids import dag_id
from logferry.view.archive_state import ArchiveState, etag
from logferry.view.archives import Archives
from logferry_airflow.page.airflow_state import (
    DagState,
    asked_since,
    dag_states,
    existing_runs,
    has_active_backfill,
)
from logferry_airflow.page.answers import json_answer
from logferry_airflow.page.exports import Exports, this_minute
from logferry_airflow.page.lane import Lane

View = Callable[[ArchiveState, int], dict[str, Any]]


class Reading:
    """Serves views of archives. No session is open while a lake is read: a lake that hangs would keep it."""

    def __init__(self, exports: Exports, archives: Archives, lane: Lane) -> None:
        self._exports = exports
        self._archives = archives
        self._lane = lane

    async def answer(
        self,
        request: Request,
        user: BaseUser,
        name: str,
        view: View,
        *,
        asked: bool = False,
        runs: bool = False,
        warn: bool = False,
    ) -> Response:
        """What ``view`` shows of the export's archive at this minute.

        ``asked``: the view tells what was asked for, which Airflow's runs decide too. ``runs``: say of its ``run``
        whether Airflow still has it. ``warn``: add what Airflow's state means for new runs. Raises Refusal, SlowLake,
        and what ``view`` raises.
        """
        spec = await run_in_threadpool(self._exports.readable, user, name)
        state, now = await self._lane.run(name, lambda: (self._archives.state(spec), this_minute()))
        if asked:
            since = await run_in_threadpool(asked_since_of, [name])
            state = replace(state, asked_since=since.get(name))
        place = (now, request.url.path, request.url.query)
        if not runs and not warn:
            tag = etag(state, *place)
            return await self._lane.run(name, lambda: json_answer(request, tag, lambda: view(state, now)))
        shown = await self._lane.run(name, lambda: view(state, now))
        add = _with_run if runs else _with_warnings
        told, decides = await run_in_threadpool(add, dag_id(name), shown)
        return await run_in_threadpool(json_answer, request, etag(state, *place, *decides), lambda: told)


def asked_since_of(names: Collection[str]) -> dict[str, int]:
    """``asked_since`` by the names of exports."""
    of = {dag_id(name): name for name in names}
    with create_session(scoped=False) as session:
        return {of[one]: tick for one, tick in asked_since(session, of).items()}


def _with_run(of: str, shown: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The answer, its run with what Airflow says of it; and what that decides."""
    run = shown.get("run")
    if not isinstance(run, dict):
        return shown, []
    with create_session(scoped=False) as session:
        known = bool(existing_runs(session, of, [str(run.get("id"))]))
    return {**shown, "run": {**run, "dag_run": known, "dag_id": of}}, [str(known)]


def _with_warnings(of: str, shown: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The answer with the warnings that follow from Airflow's state; and those alone."""
    with create_session(scoped=False) as session:
        backfill = has_active_backfill(session, of)
        warnings = _warnings(of, dag_states(session, [of])[of], backfill=backfill)
    return {**shown, "warnings": [*shown["warnings"], *warnings]}, warnings


def _warnings(of: str, state: DagState, *, backfill: bool) -> list[str]:
    found = []
    if not state.known:
        found.append(
            f"Airflow does not know {of} yet, so it can start nothing: wait until the DAG processor has read it"
        )
    if state.paused:
        found.append(f"{of} is paused: what is started waits in its queue until it is unpaused")
    if backfill:
        found.append(
            f"a backfill of {of} is under way, and Airflow allows one at a time: wait for it or cancel it first"
        )
    return found
