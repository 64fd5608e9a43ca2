"""How long a window will still take, while it is being exported."""

from __future__ import annotations

from collections.abc import Callable

from logferry.budget import Forecast
from logferry.clock import Clock, SystemClock
from logferry.plan import Plan
from logferry.window import TICK_PER_SECOND

Forecaster = Callable[[], Forecast | None]
"""How requests will be let go from now on; None while that is not known."""

_SOME = 3
"""Answers after which their speed is believed."""
_PRIOR = 10
"""Answers as planned that count beside those that came: the first few are no measure of the rest."""
_FAR = 1.25
_BOUND = 0.5


class Remaining:
    """Reckons from the plan and the answers seen so far.

    ``forecast`` is asked each time; ``at_once``: the most searches that are under way at once.
    """

    def __init__(self, plan: Plan, forecast: Forecaster, at_once: int, clock: Clock | None = None) -> None:
        self._plan = plan
        self._forecast = forecast
        self._at_once = at_once
        self._clock = clock or SystemClock()
        self._began = self._clock.now()
        self._answers = self._rows = 0

    def page(self, rows: int) -> None:
        """An answer came."""
        self._answers += 1
        self._rows += rows

    @property
    def requests(self) -> int:
        """Searches still to send: those planned, or those that the missing rows take where answers hold far fewer rows
        than planned."""
        left, rows = max(0, self._plan.requests - self._answers), self._plan.rows
        if not rows:
            return left
        missing = max(0.0, 1 - self._rows / rows)
        if not missing:
            return 0
        expected = self._plan.requests * (1 - missing)
        more = (self._answers + _PRIOR) / (expected + _PRIOR)
        return round(self._plan.requests * missing * more) if more > _FAR else max(1, left)

    def seconds(self) -> float | None:
        """None while nothing can be said."""
        left = self.requests
        forecast = self._forecast()
        by_allowance = None if forecast is None else forecast.seconds_for(left, at_once=self._at_once)
        if self._answers < _SOME:
            return by_allowance
        elapsed_s = (self._clock.now() - self._began) / TICK_PER_SECOND
        by_speed = left * elapsed_s / self._answers
        if by_allowance is not None and by_allowance >= _BOUND * by_speed:
            return by_allowance  # The allowance is what holds it up.
        return by_speed
