"""The app: its routes, each for logged-in users only, and what becomes of errors. It changes nothing anywhere.

Airflow's API server mounts it at ``{prefix}/logferry``. A mounted app is open to everybody unless it says otherwise,
which the dependency of the whole app does. It would not cover routes of documentation or a mounted folder: none here.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from airflow.api_fastapi.app import API_ROOT_PATH
from airflow.api_fastapi.core_api.security import GetUserDep, requires_authenticated
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from logferry.clock import SystemClock
from logferry.errors import CredentialsError, DefinitionError, StoreError
from logferry.view.archives import Archives
from logferry.view.cells import cells
from logferry.view.fill import fill
from logferry.view.ranges import asked
from logferry.view.record import NoSuchRecord, record_view, records
from logferry.view.series import series
from logferry.view.slices import slice_view
from logferry.view.summary import summary
from logferry_airflow.hooks.connections import connect
from logferry_airflow.page.answers import Envelope, Refusal, error_answer, file_answer, log_in_page
from logferry_airflow.page.exports import Exports
from logferry_airflow.page.lane import Lane, SlowLake
from logferry_airflow.page.read_ahead import read_ahead
from logferry_airflow.page.reading import Reading
from logferry_airflow.page.rows import Rows
from logferry_airflow.page.static_files import StaticFiles
from logferry_airflow.page.times import on_grid, whole_window

From = Annotated[str | None, Query(alias="from")]
To = Annotated[str | None, Query()]


def serve() -> FastAPI:
    """The app of a server's process: the archives are read before the first visitor comes."""
    archives = Archives(connect, SystemClock())
    read_ahead(archives)
    return create_app(archives=archives)


def create_app(*, archives: Archives | None = None, lane: Lane | None = None) -> FastAPI:
    """The coverage page's app, one for each process."""
    app = FastAPI(
        title="Logferry",
        dependencies=[Depends(requires_authenticated())],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.add_middleware(Envelope)
    _add_errors(app)
    exports = Exports()
    archives, lane = archives or Archives(connect, SystemClock()), lane or Lane()
    reading, rows = Reading(exports, archives, lane), Rows(exports, archives, lane)
    _add_files(app, StaticFiles())

    @app.get("/api/exports")
    def exports_(
        request: Request,
        user: GetUserDep,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        return exports.answer(request, user, offset=offset, limit=limit)

    @app.get("/api/rows")
    async def rows_(request: Request, user: GetUserDep) -> Response:
        return await rows.answer(request, user)

    @app.get("/api/exports/{name}")
    async def summary_(request: Request, user: GetUserDep, name: str) -> Response:
        return await reading.answer(
            request, user, name, lambda state, now: summary(state, now=now), asked=True
        )

    @app.get("/api/exports/{name}/cells")
    async def cells_(
        request: Request, user: GetUserDep, name: str, start: From = None, to: To = None, page: To = None
    ) -> Response:
        return await reading.answer(
            request,
            user,
            name,
            lambda state, now: cells(
                state,
                asked(state.spec, start, to, now=now),
                now=now,
                page=None if page is None else on_grid("the page", page, state.spec),
            ),
            asked=True,
        )

    @app.get("/api/exports/{name}/series")
    async def series_(
        request: Request, user: GetUserDep, name: str, start: From = None, to: To = None
    ) -> Response:
        return await reading.answer(
            request,
            user,
            name,
            lambda state, now: series(state, asked(state.spec, start, to, now=now), now=now),
        )

    @app.get("/api/exports/{name}/slices/{start}")
    async def slice_(request: Request, user: GetUserDep, name: str, start: str) -> Response:
        return await reading.answer(
            request,
            user,
            name,
            lambda state, now: slice_view(state, on_grid("the slice", start, state.spec), now=now),
            runs=True,
        )

    @app.get("/api/exports/{name}/records")
    async def records_(
        request: Request,
        user: GetUserDep,
        name: str,
        before: Annotated[int | None, Query(ge=1)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 25,
    ) -> Response:
        return await reading.answer(
            request, user, name, lambda state, now: records(state, before=before, limit=limit)
        )

    @app.get("/api/exports/{name}/records/{seq}")
    async def record_(request: Request, user: GetUserDep, name: str, seq: int) -> Response:
        return await reading.answer(
            request, user, name, lambda state, now: record_view(state, seq), runs=True
        )

    @app.get("/api/exports/{name}/fill")
    async def fill_(
        request: Request, user: GetUserDep, name: str, start: From = None, to: To = None
    ) -> Response:
        return await reading.answer(
            request,
            user,
            name,
            lambda state, now: fill(state, whole_window(state.spec, start, to, now=now), now=now),
            warn=True,
        )

    @app.get("/{path:path}")
    def nothing(path: str) -> Response:
        """So that an address that leads nowhere asks for a login like every other."""
        raise Refusal(HTTPStatus.NOT_FOUND, "there is nothing at this address")

    return app


def _add_files(app: FastAPI, files: StaticFiles) -> None:
    def file(request: Request, name: str) -> Response:
        found = files.get(name)
        if found is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "there is no such file")
        return file_answer(request, found)

    @app.get("/")
    def page(request: Request) -> Response:
        return file(request, "index.html")

    @app.get("/static/{path:path}")
    def static(request: Request, path: str) -> Response:
        return file(request, path)


def _add_errors(app: FastAPI) -> None:
    """One sentence for each; the engine's own sentences hold no secrets."""

    def say(status: int) -> Any:
        return lambda request, error: error_answer(status, str(error))

    @app.exception_handler(HTTPException)
    def from_airflow(request: Request, error: HTTPException) -> Response:
        # Only Airflow's check of the login raises these in here; 403 is its answer to a token that is none.
        status = error.status_code
        if status == HTTPStatus.FORBIDDEN:
            status = HTTPStatus.UNAUTHORIZED
        route = request.scope.get("route")
        if status == HTTPStatus.UNAUTHORIZED and getattr(route, "path", None) == "/":
            return log_in_page(_login_url())
        return error_answer(status)

    @app.exception_handler(RequestValidationError)
    def not_understood(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return error_answer(HTTPStatus.BAD_REQUEST, f"{first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(Refusal)
    def refused(request: Request, error: Refusal) -> Response:
        return error_answer(error.status, str(error))

    app.exception_handler(NoSuchRecord)(say(HTTPStatus.NOT_FOUND))
    app.exception_handler(DefinitionError)(say(HTTPStatus.BAD_REQUEST))
    for unreachable in (StoreError, CredentialsError, SlowLake):
        app.exception_handler(unreachable)(say(HTTPStatus.SERVICE_UNAVAILABLE))


def _login_url() -> str:
    """Airflow's own address for it, which leads to whatever auth manager is configured, and back to the page.

    Without scheme and host: behind a proxy those of the request are not the reader's.
    """
    return f"{API_ROOT_PATH}api/v2/auth/login?{urlencode({'next': f'{API_ROOT_PATH}plugin/logferry'})}"
