"""The request budget of an export's credential, as far as this machine or the board that machines share knows it."""

from __future__ import annotations

from typing import Any

from logferry.budget.forecast import Forecast
from logferry.budget.look import Seen, look
from logferry.errors import LogferryError
from logferry.sources.opening import open_source
from logferry.view.archive_state import ArchiveState
from logferry.view.plain import cut
from logferry.view.shared_boards import Account
from logferry.window import TICK_PER_SECOND, format_instant

_UNKNOWN = "Not known yet on this machine: it is learned from the answers to the first export that runs here."


def budget_of(state: ArchiveState, *, now: int) -> tuple[dict[str, Any] | None, str | None]:
    """What is known of the budget, or a sentence that says why nothing is. Nothing is taken from it."""
    seen = _seen(state, now)
    if isinstance(seen, str):
        return None, seen
    forecast = seen.forecast
    return {
        "limit": forecast.limit,
        "period_s": forecast.period_s,
        "left": forecast.left,
        "reserve": forecast.reserve,
        "others": forecast.others,
        "sharing": forecast.sharing,
        "seen_at": format_instant(seen.at - seen.at % TICK_PER_SECOND),
    }, None


def forecast_for(state: ArchiveState, *, now: int) -> Forecast | None:
    """How requests would be handed out to the export now; None while nothing is known here."""
    seen = _seen(state, now)
    return None if isinstance(seen, str) else seen.forecast


def _seen(state: ArchiveState, now: int) -> Seen | str:
    if state.read is None:
        return "Not known before the lake was read."
    archive = state.read.archive
    connection = archive.connection
    if connection is None:
        return f"Not known here: this machine has no connection {archive.spec.source.connection!r}."
    try:
        opened = open_source(archive.spec, connection)
        board = connection.budget_connection
    except LogferryError as error:
        return f"Not known: {cut(str(error), 500)}"
    key, bucket, share = opened.auth.key, opened.source.search_bucket, state.spec.name
    if board is not None:
        return state.boards.seen(Account(key, bucket, connection.conn_id, board, share))
    return look(key, bucket, share=share, now=now) or _UNKNOWN
