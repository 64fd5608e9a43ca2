"""The list of exports: definitions, permissions and Airflow's state. It opens no lake."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.utils.session import create_session
from fastapi import Request, Response

from logferry.clock import SystemClock
from logferry.dag_ids import VERIFY_DAG, dag_id
from logferry.errors import DefinitionError
from logferry.spec import ExportSpec, LoadedExports
from logferry.spec_fields import is_export_name
from logferry.view import listing
from logferry.window import TICK_PER_MINUTE
from logferry_airflow.page.access import Access
from logferry_airflow.page.airflow_state import dag_states
from logferry_airflow.page.answers import Refusal, encoded, json_answer
from logferry_airflow.page.definitions import Definitions

_LONGEST_SHOWN = 100
_OF_NO_EXPORT = dag_id("")
"""A DAG that there cannot be: who may read it, and those of all exports, may read them all, and not just each."""


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
        tag = hashlib.sha256(encoded(shown)).hexdigest()[:32]
        return json_answer(request, tag, lambda: shown)

    def readable(self, user: BaseUser, name: str) -> ExportSpec:
        """The definition of an export. Refusal with 403 before it is said whether there is such an export, then 404."""
        shown = name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…"
        absent = f"there is no export {shown!r}; the overview lists those there are"
        if not is_export_name(name):
            raise Refusal(HTTPStatus.NOT_FOUND, absent)
        with create_session(scoped=False) as session:
            allowed = Access(user, [dag_id(name)], session).readable([dag_id(name)])
        if not allowed:
            raise Refusal(
                HTTPStatus.FORBIDDEN,
                f"you may not see the export {shown!r}: that takes the permission to read its DAG, {dag_id(shown)}",
            )
        loaded = self._loaded()
        if name in loaded.exports:
            return loaded.exports[name]
        # Not every file that could be meant: one called after this export may be the definition of another.
        own = [loaded.broken[path] for path, called in _broken_names(loaded).items() if called == name]
        why = f"the definition of {shown!r} is broken: {'; '.join(own)}" if own else absent
        raise Refusal(HTTPStatus.NOT_FOUND, why)

    def all_readable(self, user: BaseUser) -> list[ExportSpec]:
        """The definitions of all exports that the user may see, by name. Raises Refusal."""
        exports = self._loaded().exports
        dag_ids = {dag_id(name): name for name in exports}
        with create_session(scoped=False) as session:
            allowed = Access(user, dag_ids, session).readable(dag_ids)
        return [exports[name] for name in sorted(dag_ids[one] for one in allowed)]

    def _loaded(self) -> LoadedExports:
        try:
            return self._definitions.current()
        except DefinitionError as error:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None

    def _list(self, user: BaseUser, *, offset: int, limit: int) -> dict[str, Any]:
        loaded = self._loaded()
        broken = _broken_names(loaded)
        names = {*loaded.exports, *(name for name in broken.values() if name is not None)}
        dag_ids = {*map(dag_id, names), _OF_NO_EXPORT}
        with create_session(scoped=False) as session:
            access = Access(user, {*dag_ids, VERIFY_DAG}, session)
            readable = access.readable(dag_ids)
            of_others = {
                path
                for path, name in broken.items()
                if (readable != dag_ids if name is None else dag_id(name) not in readable)
            }
            shown = listing.exports(
                replace(
                    loaded,
                    broken={path: why for path, why in loaded.broken.items() if path not in of_others},
                ),
                now=this_minute(),
                offset=offset,
                limit=limit,
                readable=lambda name: dag_id(name) in readable,
            )
            listed = [one["dag_id"] for one in shown["exports"]]
            states = dag_states(session, listed)
        can_verify = access.may_trigger(VERIFY_DAG)
        for one in shown["exports"]:
            its_dag = one["dag_id"]
            one["airflow"] = {
                **asdict(states[its_dag]),
                "can_trigger": access.may_trigger(its_dag),
                "can_unpause": access.may_unpause(its_dag),
                "can_verify": can_verify,
            }
        return {**shown, "user": user.get_name()}


def _broken_names(loaded: LoadedExports) -> dict[Path, str | None]:
    """What the export of each broken file would be called: by the name that it gives, else by the file's.

    None where no export can be called so: whose such a file is cannot be said.
    """
    names = {path: loaded.names.get(path, path.stem) for path in loaded.broken}
    return {path: name if is_export_name(name) else None for path, name in names.items()}
