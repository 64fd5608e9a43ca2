"""How soon threads take turns at the interpreter while there are lanes."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

_SWITCH_S = 0.0005
"""Seconds after which a thread gives the interpreter to one that waits for it. By default it is ten times as long, for
which each short step of the threads that fetch, hand over and encode would wait while an answer is read here."""

_lock = threading.Lock()
_inside = 0
_before_s = 0.0


@contextlib.contextmanager
def short_turns() -> Iterator[None]:
    """Within it turns are short. It is a setting of the whole process: the last to leave puts it back."""
    global _inside, _before_s
    with _lock:
        if _inside == 0:
            _before_s = sys.getswitchinterval()
            sys.setswitchinterval(min(_SWITCH_S, _before_s))
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                sys.setswitchinterval(_before_s)
