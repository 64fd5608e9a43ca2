"""The rows asked of one page: fewer while full pages do not come through, and more again when they do."""

from __future__ import annotations

_MOST_PATIENCE = 64


class PageLimit:
    """One for a chain. ``limit`` is None for a full page of ``full`` rows, as the source gives by itself.

    A single row can be what makes a page fail, so a limit doubles as soon as a page came. Only where the larger pages
    fail again soon does each step wait for more pages than the one before.
    """

    def __init__(self, full: int) -> None:
        self._full = full
        self._patience = 1
        self._came = 0
        self._grew = False
        self.limit: int | None = None

    def halve(self, asked: int | None) -> bool:
        """Ask for half of the ``asked`` rows, which did not come; False when it was one row already."""
        present = asked or self._full
        if present <= 1:
            return False
        if self._grew and asked == self.limit:
            self._patience = min(self._patience * 2, _MOST_PATIENCE)
        self.limit = present // 2
        self._came = 0
        self._grew = False
        return True

    def came(self, asked: int | None) -> None:
        """A page of ``asked`` rows came through; one asked for before the limit changed says nothing."""
        if asked != self.limit:
            return
        self._came += 1
        if self._came < self._patience:
            return
        self._came = 0
        if self.limit is None:
            self._patience = 1
            self._grew = False
        else:
            self.limit = self.limit * 2 if self.limit * 2 < self._full else None
            self._grew = True

    def copy(self) -> PageLimit:
        """The same again, to go on from apart."""
        other = PageLimit(self._full)
        other._take(self)
        return other

    def learn(self, before: PageLimit, after: PageLimit) -> None:
        """Know what another chain learned, between ``before`` and ``after``: where that is nothing, what is known here
        stays, which may be what a third one learned meanwhile."""
        if after._step != before._step:
            self._take(after)
        elif self._step == before._step:
            self._came += after._came - before._came

    @property
    def _step(self) -> tuple[int | None, int, bool]:
        return self.limit, self._patience, self._grew

    def _take(self, other: PageLimit) -> None:
        self._patience, self._came, self._grew = other._patience, other._came, other._grew
        self.limit = other.limit
