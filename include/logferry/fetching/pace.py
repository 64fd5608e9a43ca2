"""How many lanes are worth having: learned from what the pages took."""

from __future__ import annotations

import math
import threading
from collections import deque

_UNKNOWN = 4
"""Lanes before the first page came."""
_UNKNOWN_S = 1.0
"""Seconds that a page is taken to need before the first came."""
_RECENT = 64
"""Pages that are remembered: among so many, one had not to wait for the other lanes."""
_NEWEST = 0.2
_SPARE = 2
"""Lanes for each page that is on its way while another is worked on: pages are late and large unevenly."""
_COPIES = 3
"""Times its bytes that an answer takes while it becomes rows."""


class Pace:
    """What the pages of one source took lately. Safe for use by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waits: deque[float] = deque(maxlen=_RECENT)
        self._sizes: deque[int] = deque(maxlen=_RECENT)
        self._work_s = 0.0
        self._expected_bytes = 0

    def expect(self, body_bytes: int) -> None:
        """How large the largest answer will about be, before the first came."""
        self._expected_bytes = body_bytes

    @property
    def known(self) -> bool:
        return bool(self._waits)

    def came(self, waited_s: float, worked_s: float, body_bytes: int) -> None:
        """A page: the seconds it was waited for, those in which the processor worked for it, and its size."""
        with self._lock:
            self._work_s += (worked_s - self._work_s) * (_NEWEST if self._waits else 1.0)
            self._waits.append(waited_s)
            self._sizes.append(body_bytes)

    def lanes(self, most: int, *, places: int, per_second: float | None, memory: int, least: int = 2) -> int:
        """So many that none of ``places`` where pages are worked on ever waits, nor the allowance of ``per_second``
        requests, and that their answers fit the ``memory`` in bytes; at least ``least``.

        ``most`` of them may have a request under way. So there are up to ``places`` more, whose pages are worked on
        meanwhile.
        """
        with self._lock:
            # The shortest wait: what is longer is the wait for a processor that others use, or for the allowance.
            wait_s = min(self._waits, default=_UNKNOWN_S)
            wanted = min(_UNKNOWN, most)
            if self._waits:
                on_their_way = _SPARE * places * wait_s / max(self._work_s, 1e-6)
                wanted = places + math.ceil(min(on_their_way, most))
            if per_second is not None:
                wanted = min(wanted, 1 + math.ceil(per_second * (wait_s + self._work_s)))
            if largest := max(self._sizes, default=self._expected_bytes):
                wanted = min(wanted, memory // (_COPIES * largest))
        return max(least, wanted)
