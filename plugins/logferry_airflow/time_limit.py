"""A time limit for work that has none of its own: a server that sends a byte now and then never runs into one."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable


def within(limit_s: float, work: Callable[[], None]) -> None:
    """Do the work in a thread of its own, and raise what it raises; TimeoutError when it takes longer.

    Such a thread is left to itself: it ends with its work or with the process, and what it still does counts for
    nothing.
    """
    raised: list[BaseException] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            context.run(work)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="logferry-time-limit", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        raise TimeoutError(f"it took longer than {limit_s:.0f} s")
    if raised:
        raise raised[0]
