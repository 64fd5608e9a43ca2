"""The list of exports: definitions, permissions and Airflow's state. It opens no lake."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.utils.session import create_session
from fastapi import Request, Response

from logferry.clock import SystemClock
from logferry.errors import DefinitionError
from logferry.spec import ExportSpec, LoadedExports
from logferry.view import listing
from logferry.window import TICK_PER_MINUTE
from logferry_airflow.page.access import Access
from logferry_airflow.page.airflow_state import dag_states
from logferry_airflow.page.answers import Refusal, json_answer
from logferry_airflow.page.definitions import Definitions

_LONGEST_SHOWN = 100


def this_minute() -> int:
    """The tick of the minute that began last: answers of one minute are the same, and so are their tags."""
    now = SystemClock().now()
    return now - now % TICK_PER_MINUTE


class Exports:
    """The exports that a user may see."""

    def __init__(self) -> None:
        self._definitions = Definitions()

    def answer(self, request: Request, user: BaseUser, *, offset: int, limit: int) -> Response:
        """GET /api/exports."""
        shown = self._list(user, offset=offset, limit=limit)
        # Made anew each time: the state in Airflow has no version that could be asked for more cheaply.
        tag = hashlib.sha256(msgspec.json.encode(shown)).hexdigest()[:32]
        return json_answer(request, tag, lambda: shown)

    def readable(self, user: BaseUser, name: str) -> ExportSpec:
        """The definition of an export. Refusal with 403 before it is said whether there is such an export, then 404."""
        shown = name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…"
        dag_id = listing.dag_id(name)
        with create_session(scoped=False) as session:
            allowed = Access(user, [dag_id], session).readable([dag_id])
        if not allowed:
            raise Refusal(
                HTTPStatus.FORBIDDEN,
                f"you may not see the export {shown!r}: that takes the permission to read its DAG, "
                f"{listing.dag_id(shown)}",
            )
        loaded = self._loaded()
        try:
            return loaded.get(name)
        except DefinitionError as error:
            broken = name in _broken_names(loaded).values()
            why = (
                f"the definition of {shown!r} is broken: {error}"
                if broken
                else f"there is no export {shown!r}; the overview lists those there are"
            )
            raise Refusal(HTTPStatus.NOT_FOUND, why) from None

    def _loaded(self) -> LoadedExports:
        try:
            return self._definitions.current()
        except DefinitionError as error:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None

    def _list(self, user: BaseUser, *, offset: int, limit: int) -> dict[str, Any]:
        loaded = self._loaded()
        broken = _broken_names(loaded)
        dag_ids = [listing.dag_id(name) for name in (*loaded.exports, *broken.values())]
        with create_session(scoped=False) as session:
            access = Access(user, [*dag_ids, listing.VERIFY_DAG], session)
            readable = access.readable(dag_ids)
            of_others = {path for path, name in broken.items() if listing.dag_id(name) not in readable}
            shown = listing.exports(
                replace(
                    loaded,
                    broken={path: why for path, why in loaded.broken.items() if path not in of_others},
                ),
                now=this_minute(),
                offset=offset,
                limit=limit,
                readable=lambda name: listing.dag_id(name) in readable,
            )
            listed = [one["dag_id"] for one in shown["exports"]]
            states = dag_states(session, listed)
        can_verify = access.may_trigger(listing.VERIFY_DAG)
        for one in shown["exports"]:
            dag_id = one["dag_id"]
            one["airflow"] = {
                **asdict(states[dag_id]),
                "can_trigger": access.may_trigger(dag_id),
                "can_unpause": access.may_unpause(dag_id),
                "can_verify": can_verify,
            }
        return {**shown, "user": user.get_name()}


def _broken_names(loaded: LoadedExports) -> dict[Path, str]:
    """What the export of each broken file would be called: by the name that it gives, else by the file's."""
    return {path: loaded.names.get(path, path.stem) for path in loaded.broken}
