"""Reads the archives before anybody asks: a year of hourly slices takes a third of a second, twenty take many."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from logferry.errors import LogferryError
from logferry.spec import LoadedExports, load_exports
from logferry.view.archives import Archives

log = logging.getLogger(__name__)

SERVER_START_S = 3.0
"""Left to Airflow's own start before the first archive is read."""


def read_ahead(
    archives: Archives,
    *,
    load: Callable[[], LoadedExports] = load_exports,
    pause: Callable[[float], None] = time.sleep,
) -> threading.Thread:
    """Look at every export's archive once, in a thread that ends by itself; returns that thread, started.

    One after the other, with as long a pause after each as it took, so that requests are served meanwhile. What goes
    wrong is shown to whoever asks for that export, so it is not told here.
    """

    def read_all() -> None:
        pause(SERVER_START_S)
        try:
            exports = load().exports
        except LogferryError as error:
            log.info("no archive is read ahead: %s", error)
            return
        for spec in exports.values():
            began = time.monotonic()
            archives.state(spec)
            pause(time.monotonic() - began)

    thread = threading.Thread(target=read_all, name="logferry-read-ahead", daemon=True)
    thread.start()
    return thread
