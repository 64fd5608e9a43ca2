"""What is known of an allowance, for people to see: nothing is taken, created or locked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from logferry.budget.board import SharedBoard
from logferry.budget.budget import forecast_of, record_name
from logferry.budget.forecast import Forecast
from logferry.budget.local_board import default_folder, peek
from logferry.window import TICK_PER_MS


@dataclass(frozen=True, slots=True)
class Seen:
    """``at``: the tick when a request was last sent or answered, or a server said so."""

    forecast: Forecast
    at: int


def look_at(board: SharedBoard, key: str, bucket: str, *, share: str) -> Seen | None:
    """``look`` at a board that machines share. Raises BoardDown."""
    record, now_ms = board.peek(record_name(key, bucket))
    forecast = forecast_of(record, bucket, share=share, now_ms=now_ms) if record else None
    return None if forecast is None else Seen(forecast, now_ms * TICK_PER_MS)


def look(key: str, bucket: str, *, share: str, now: int, folder: Path | None = None) -> Seen | None:
    """How requests would be handed out to the export ``share`` now (a tick); None while nothing is known here.

    ``key`` and ``bucket``: as for ``Budget``.
    """
    found = peek(record_name(key, bucket), folder or default_folder())
    if found is None:
        return None
    record, written_ms = found
    forecast = forecast_of(record, bucket, share=share, now_ms=now // TICK_PER_MS)
    return None if forecast is None else Seen(forecast, written_ms * TICK_PER_MS)
