"""How many tasks a window is worth.

Every task costs a turn of the scheduler and a start of its own, about two seconds of wall time on a small machine
(``benchmarks/airflow_backfill.py`` measures it), and one more count at the source. What more tasks could win is little:
all of one credential share one allowance, and one process is faster than nearly every allowance. Datadog's 300 requests
in 10 s bring 30,000 rows a second at most, a process takes more than that. So a task gets 20 s of work or more, and
what an export gains from many workers it gains from many windows.

The upper bound is what a task keeps on its worker's disk until its slices are proven.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logferry.plan import Chunk, Plan

ROWS_PER_TASK = 2_000_000
BYTES_PER_TASK = 4_000_000_000
"""Of answers, which become a tenth of that or less in Parquet."""
MOST_TASKS = 24
MOST_TASKS_UNCOUNTED = 4
"""Where the source does not say how much there is."""


def tasks_of(plan: Plan) -> list[Chunk]:
    """The chunks of a plan, at least one."""
    if not plan.rows:
        return plan.chunks(MOST_TASKS_UNCOUNTED)
    row_bytes = max(1, (plan.bytes or 0) // plan.rows)
    return plan.chunks(MOST_TASKS, min(ROWS_PER_TASK, max(1, BYTES_PER_TASK // row_bytes)))
