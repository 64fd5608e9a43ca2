"""What a DAG run asks for, its window and its switches, by one rule for every operator."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from logferry.window import (
    EARLIEST,
    LATEST,
    Window,
    format_duration,
    format_instant,
    from_datetime,
    parse_instant,
)


def run_window(
    context: Mapping[str, Any], *, start: Any, end: Any, grid: int, latest: int | None = None
) -> Window:
    """The half-open window this run is about, on the slice grid of ``grid`` ticks.

    ``latest``: the last tick that a window given by hand may end at; a data interval is the scheduler's word.

    The first pair that is set counts: the operator's own ``start``/``end``, the run's params ``from``/``to``,
    the run's data interval. Half a pair, no pair, naive, reversed, empty, off-grid and too late windows, and
    times outside 1970 to 2199, raise AirflowFailException with one sentence: another try would read the same times.
    """
    params = context.get("params") or {}
    interval = (context.get("data_interval_start"), context.get("data_interval_end"))
    for names, values in (
        (("start", "end"), (start, end)),
        (("params from", "params to"), (params.get("from"), params.get("to"))),
        (("data_interval_start", "data_interval_end"), interval),
    ):
        first, last = (None if _is_unset(value) else value for value in values)
        if first is None and last is None:
            continue
        if first is None or last is None:
            given, absent = (names[0], names[1]) if last is None else (names[1], names[0])
            raise AirflowFailException(
                f"{given} is set but {absent} is not; give both ends of the window, or neither"
            )
        window = _window(names, first, last, grid)
        if latest is not None and window.end > latest and values is not interval:
            raise AirflowFailException(
                f"{names[1]}: {format_instant(window.end)} lies too far in the future to be waited for; the latest "
                f"{names[1]} now is {format_instant(latest - latest % grid)}"
            )
        return window
    raise AirflowFailException(
        "this run has no window: it was triggered without a logical date, so it has no data interval; "
        'trigger it with the params from and to, such as {"from": "2026-11-20T00:00:00Z", '
        '"to": "2026-11-21T00:00:00Z"}'
    )


def run_switch(context: Mapping[str, Any], name: str, given: bool | None) -> bool:
    """Whether a switch is on: the operator's own argument if it has one, else the run's param, else off.

    Anything but true and false raises AirflowFailException with one sentence: ``"false"``, taken as text that is not
    empty, would switch on what was meant to stay off.
    """
    value = (context.get("params") or {}).get(name) if given is None else given
    if value is None:
        return False
    if not isinstance(value, bool):
        raise AirflowFailException(f"{name} is {value!r}; write true or false (JSON, without quotes)")
    return value


def _window(names: tuple[str, str], first: Any, last: Any, grid: int) -> Window:
    start, end = _tick(names[0], first), _tick(names[1], last)
    if start == end and names[0] == "data_interval_start":
        raise AirflowFailException(
            f"this run's data interval is empty (both ends are {format_instant(start)}): the DAG's schedule "
            "gives none; use CronDataIntervalTimetable, or trigger the run with the params from and to"
        )
    try:
        window = Window(start, end)
    except ValueError as error:
        raise AirflowFailException(f"{names[0]} and {names[1]}: {error}") from None
    for name, tick in zip(names, (start, end), strict=True):
        if tick % grid:
            below = tick - tick % grid
            raise AirflowFailException(
                f"{name}: {format_instant(tick)} does not lie on the slice grid of {format_duration(grid)}; "
                f"the neighbours are {format_instant(below)} and {format_instant(below + grid)}"
            )
    return window


def _tick(name: str, value: Any) -> int:
    try:
        tick = from_datetime(value) if isinstance(value, datetime) else parse_instant(str(value))
    except ValueError as error:
        raise AirflowFailException(f"{name}: {error}") from None
    if not EARLIEST <= tick <= LATEST:
        raise AirflowFailException(
            f"{name}: {format_instant(tick)} is not between 1970 and 2200; correct the year"
        )
    return tick


def _is_unset(value: Any) -> bool:
    """None, and the empty text a template of an absent value renders to."""
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))
