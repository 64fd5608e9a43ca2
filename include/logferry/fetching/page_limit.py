"""The rows asked of one page: fewer while full pages do not come through, and more again when they do."""

from __future__ import annotations

_MOST_PATIENCE = 64


class PageLimit:
    """One for a chunk. ``limit`` is None for a full page of ``full`` rows, as the source gives by itself."""

    def __init__(self, full: int) -> None:
        self._full = full
        self._patience = 1
        self._came = 0
        self.limit: int | None = None

    def halve(self) -> bool:
        """Ask for half as many rows; False when it was one row already. Growing back takes longer each time."""
        present = self.limit or self._full
        if present <= 1:
            return False
        self.limit = present // 2
        self._patience = min(self._patience * 2, _MOST_PATIENCE)
        self._came = 0
        return True

    def came(self) -> None:
        """A page came through."""
        if self.limit is None:
            return
        self._came += 1
        if self._came >= self._patience:
            self._came = 0
            self.limit = self.limit * 2 if self.limit * 2 < self._full else None
