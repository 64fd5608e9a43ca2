"""All rows of the overview in one answer: each goes out when it is ready, so that no lake holds up another's.

The answer is JSON a line (``application/x-ndjson``), in any order, one for each export that the user may see:
``{"name", "etag", "row"}``, where ``row`` and ``etag`` are those of ``/exports/<name>``; ``{"name", "etag"}`` alone
where the reader named that ETag in If-None-Match; ``{"name", "status", "error"}`` where there is no row.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from logferry.spec import ExportSpec
from logferry.view.archive_state import ArchiveState, etag
from logferry.view.archives import Archives, Look
from logferry.view.summary import summary
from logferry_airflow.page.answers import encoded, has, quoted, takes_gzip
from logferry_airflow.page.exports import Exports, this_minute
from logferry_airflow.page.lane import Lane, SlowLake
from logferry_airflow.page.reading import asked_since_of

log = logging.getLogger(__name__)

_AT_ONCE = 4
"""Archives that are read for the first time together: that is work for one processor, a third of a second for a year of
hours, so of more at once each only comes later."""
_IDLE_S = 0.25
"""An archive that was not worked at for so long waits for its lake: it gives its turn to the next one, and is waited
for beside them."""
_WORKED_S = 0.001
_GZIP = 16 + zlib.MAX_WBITS


class Rows:
    """Serves the rows of the overview."""

    def __init__(self, exports: Exports, archives: Archives, lane: Lane) -> None:
        self._exports = exports
        self._archives = archives
        self._lane = lane

    async def answer(self, request: Request, user: BaseUser) -> Response:
        """GET /api/rows. Raises Refusal."""
        specs = await run_in_threadpool(self._exports.all_readable, user)
        since = await run_in_threadpool(asked_since_of, [spec.name for spec in specs])
        zipped = takes_gzip(request)
        # A proxy that collects an answer before it passes it on would undo all of this (nginx knows this header).
        headers = {"X-Accel-Buffering": "no"} | ({"Content-Encoding": "gzip"} if zipped else {})
        lines = self._lines(request, specs, since, zipped=zipped)
        return StreamingResponse(
            _zipped(lines) if zipped else lines, media_type="application/x-ndjson", headers=headers
        )

    async def _lines(
        self, request: Request, specs: list[ExportSpec], since: Mapping[str, int], *, zipped: bool
    ) -> AsyncIterator[bytes]:
        turns = asyncio.Semaphore(_AT_ONCE)
        tasks = [
            asyncio.create_task(self._line(request, spec, since.get(spec.name), turns, zipped=zipped))
            for spec in specs
        ]
        try:
            for ready in asyncio.as_completed(tasks):
                yield encoded(await ready) + b"\n"
        finally:
            # The reader went away: what was not begun is not begun any more.
            for task in tasks:
                task.cancel()

    async def _line(
        self, request: Request, spec: ExportSpec, since: int | None, turns: asyncio.Semaphore, *, zipped: bool
    ) -> dict[str, Any]:
        name = spec.name
        try:
            look = await self._look(spec, turns)
            return await self._lane.run(name, lambda: self._row(request, look, since, name, zipped=zipped))
        except SlowLake as error:
            return {"name": name, "status": HTTPStatus.SERVICE_UNAVAILABLE, "error": str(error)}
        except Exception:
            # One export that cannot be shown must not take the others with it.
            log.exception("the coverage page could not make the row of %s", name)
            sentence = "the page could not make this row; the log of Airflow's API server says why"
            return {"name": name, "status": HTTPStatus.INTERNAL_SERVER_ERROR, "error": sentence}

    async def _look(self, spec: ExportSpec, turns: asyncio.Semaphore) -> Look:
        """A look at the archive, its lake waited for. One that did not answer before is not waited for again: what is
        known of it is told at once, and its answer is in the next row."""
        if self._archives.is_known(spec):
            look = self._archives.look(spec)
        else:
            async with turns:
                look = self._archives.look(spec)
                # One that was waited for in vain before: a dead lake must not hold up the others at every poll.
                if look.patience_s > 0:
                    await _worked_at(look)
        if look.answered is not None and not look.away:
            await asyncio.wait([asyncio.wrap_future(look.answered)], timeout=look.patience_s)
        return look

    def _row(
        self, request: Request, look: Look, since: int | None, name: str, *, zipped: bool
    ) -> dict[str, Any]:
        state: ArchiveState = replace(look.state(), asked_since=since)
        now = this_minute()
        path = f"{request.url.path.removesuffix('/rows')}/exports/{name}"
        tag = quoted(etag(state, now, path, ""), zipped)
        if has(request, tag):
            return {"name": name, "etag": tag}
        return {"name": name, "etag": tag, "row": summary(state, now=now)}


async def _worked_at(look: Look) -> None:
    """Until the archive was read, or nothing is being done but wait for its lake."""
    if look.answered is None:
        return
    answered = asyncio.wrap_future(look.answered)
    worked = -1.0
    while not answered.done() and look.worked_s() - worked >= _WORKED_S:
        worked = look.worked_s()
        await asyncio.wait([answered], timeout=_IDLE_S)


async def _zipped(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Compressed as one, and each line readable when it arrives."""
    pack = zlib.compressobj(5, zlib.DEFLATED, _GZIP)
    async for line in lines:
        yield pack.compress(line) + pack.flush(zlib.Z_SYNC_FLUSH)
    yield pack.flush()
