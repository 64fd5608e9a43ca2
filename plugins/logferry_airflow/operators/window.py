"""What every operator of Logferry shares: it is about one window, and begins once that window has settled."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import BaseOperator, BaseOperatorLink, RetryPolicy

from logferry.clock import SystemClock
from logferry.window import TICK_PER_DAY, Window, format_duration, format_instant, to_datetime
from logferry_airflow.links import CoverageLink, Shown
from logferry_airflow.retry import FERRY_RETRIES
from logferry_airflow.windows import run_window

if TYPE_CHECKING:
    from airflow.sdk import Context

    from logferry.spec import ExportSpec


LONGEST_WAIT = TICK_PER_DAY
"""Ticks until the settling of a window that a person gave."""


class WindowOperator(BaseOperator):
    """An operator about the run's window.

    :param start: first instant of the window, absolute and with a zone. (templated)
    :param end: the instant just after the window. (templated) Without ``start`` and ``end`` the window is the
        run's: its params ``from`` and ``to`` when both are set, else its data interval.
    """

    template_fields: Sequence[str] = ("start", "end")
    operator_extra_links: Collection[BaseOperatorLink] = (CoverageLink(),)
    shown: Shown | None = None
    """What the links of this task lead to, once its window is known."""

    def __init__(
        self,
        *,
        start: str | None = None,
        end: str | None = None,
        retry_policy: RetryPolicy | None = FERRY_RETRIES,
        **kwargs: Any,
    ) -> None:
        super().__init__(retry_policy=retry_policy, **kwargs)
        self.start = start
        self.end = end

    def window(self, context: Context, spec: ExportSpec) -> Window:
        """The run's window; AirflowFailException with one sentence when there is no valid one.

        A window given by hand that settles more than a day from now is taken for a slip and not waited for;
        with a longer settle time the window itself must have ended.
        """
        latest = SystemClock().now() + max(LONGEST_WAIT - spec.settle, 0)
        window = run_window(context, start=self.start, end=self.end, grid=spec.slice, latest=latest)
        # The page shows the exports of the project's folder, not those that a DAG makes in code.
        self.shown = None if spec.file is None else Shown(spec.name, window)
        return window

    def defer_until_settled(self, window: Window, spec: ExportSpec) -> None:
        """Give the worker back until ``settle`` after the window's end; ``resume`` then begins anew."""
        settled = window.end + spec.settle
        if SystemClock().now() >= settled:
            return
        self.log.info(
            "window %s settles at %s (%s after its end); waiting in the triggerer",
            window,
            format_instant(settled),
            format_duration(spec.settle),
        )
        self.defer(trigger=DateTimeTrigger(moment=to_datetime(settled)), method_name="resume")

    @abstractmethod
    def carry(self, context: Context, *, waited_s: float) -> Any:
        """The work. ``waited_s``: seconds of deferred waits before it, since anything was finished."""

    def execute(self, context: Context) -> Any:
        return self.carry(context, waited_s=0.0)

    def resume(self, context: Context, event: object = None, waited_s: float = 0.0) -> Any:
        """Where the triggerer returns to."""
        return self.carry(context, waited_s=waited_s)
