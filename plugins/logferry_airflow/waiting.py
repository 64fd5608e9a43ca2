"""A task that would wait for the source longer than a minute waits in the triggerer, and its worker does other work.

Only between slices, when all that is finished is staged and kept: a slice under way would have to be fetched again,
from the very allowance that is short. So nothing pages in a trigger, and a wait in the midst of a slice is slept
through. Deferring needs a running triggerer (``airflow triggerer``), as every deferrable operator does.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.providers.standard.triggers.temporal import DateTimeTrigger

from logferry.errors import Unavailable

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from logferry.ferry import Ferry
    from logferry.plan import Chunk
    from logferry.publishing.results import ChunkResult
    from logferry_airflow.progress import ProgressLog
    from logferry_airflow.task_progress import TaskProgress

WORTH_DEFERRING_S = 60.0
LONGEST_FRUITLESS_S = 24 * 3600.0
"""Seconds of waits in a row between which nothing was finished; then the task fails, by its retry policy."""
_JITTER_S = 5.0


def export_between_waits(
    operator: BaseOperator,
    ferry: Ferry,
    chunk: Chunk,
    kept: TaskProgress | None,
    *,
    watch: ProgressLog,
    waited_s: float,
) -> ChunkResult:
    """Export the chunk on from what is kept; a long wait defers the operator (see ``defer_long_wait``).

    Without a place to keep progress nothing defers: each stretch would begin anew. Raises as ``Ferry.export``.
    """
    if kept is None:
        return ferry.export(chunk)

    def wait_s() -> float:
        return ferry.client.budget.wait_s(ferry.source.search_bucket)

    def before_slice() -> None:
        if (needed_s := wait_s()) > WORTH_DEFERRING_S:
            raise _UsedUp(needed_s)

    loaded: int | None = None

    def rows_before() -> int:
        return kept.rows_loaded if loaded is None else loaded

    watch.already(rows_before)
    while True:
        try:
            with kept:
                return ferry.export(chunk, kept, before_slice=before_slice)
        except Unavailable as error:
            if not kept.is_kept:
                raise
            wait = error
            if isinstance(error, _UsedUp):
                # That was said before the lanes' last pages were waited for, which may have been as long.
                left_s = wait_s()
                if left_s <= WORTH_DEFERRING_S:
                    loaded = rows_before()  # What this stretch brought has been watched.
                    continue
                wait = _UsedUp(left_s)
            defer_long_wait(operator, wait, waited_s=0.0 if kept.has_saved else waited_s)
            if wait is error:
                raise
            raise wait from error


class _UsedUp(Unavailable):
    """The budget will let the next request go in so many seconds; the source itself asked for no wait."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"the allowance of requests is used up for {wait_s:.0f} s", wait_s=wait_s)


def defer_long_wait(operator: BaseOperator, error: Unavailable, *, waited_s: float) -> None:
    """Give the worker back for as long as the source asks; return where it asks for too little or for too long.

    The operator goes on in its method ``resume``. ``waited_s``: seconds of the waits before this one since anything
    was finished; ``resume`` gets them with this one's.
    """
    wait_s = error.wait_s or 0.0
    if wait_s <= WORTH_DEFERRING_S or waited_s + wait_s > LONGEST_FRUITLESS_S:
        return
    # Not all at once: others wait for the same moment.
    until = datetime.now(UTC) + timedelta(seconds=wait_s + random.uniform(0, _JITTER_S))
    operator.log.info("%s; waiting in the triggerer until %s", error, until.strftime("%Y-%m-%dT%H:%M:%SZ"))
    operator.defer(
        trigger=DateTimeTrigger(moment=until), method_name="resume", kwargs={"waited_s": waited_s + wait_s}
    )
