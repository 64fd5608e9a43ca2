"""Which of the visits that are due are started now: never too many at once, and none held up by one that fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from logferry.window import TICK_PER_DAY, TICK_PER_HOUR

if TYPE_CHECKING:
    from logferry.audit.survey import Visit

MOST_RUNS = 12
"""Runs of one export that upkeep has under way at once; what is left waits for a later pass.

With a pass an hour a week of missed hours is made good within a day, and a day's own run never waits long.
"""
MOST_ASKED = 40 * MOST_RUNS
"""Visits whose runs one pass asks about; of a longer list the rest takes turns."""
FIRST_PAUSE = TICK_PER_HOUR
"""Until a run that ended without a publication is started again; twice as long after each time."""
LONGEST_PAUSE = 2 * TICK_PER_DAY


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that ended and published nothing of its visit: at which tick, and how often it was started."""

    at: int
    starts: int

    @property
    def again_at(self) -> int:
        """From when it may start again. The pause doubles with each start, between FIRST_PAUSE and LONGEST_PAUSE."""
        doubled = FIRST_PAUSE << min(max(self.starts, 1) - 1, 16)
        return self.at + min(doubled, LONGEST_PAUSE)


RunState = Literal["new", "under way"] | Ended


def choose(visits: Sequence[Visit], state: Callable[[Visit], RunState], now: int) -> list[tuple[Visit, bool]]:
    """The visits to start at tick ``now``, each with whether its run is one that ended and must start again.

    ``state`` is asked about the runs of at most MOST_ASKED visits. At most MOST_RUNS are under way together. Visits
    never tried come first, in their order; then those whose pause is over, the longest over first: a window that
    always fails holds up no other, and is tried ever more rarely.
    """
    room = MOST_RUNS
    new: list[Visit] = []
    ended: list[tuple[int, Visit]] = []
    for visit in _in_turns(visits, now // TICK_PER_HOUR):
        if len(new) >= room:
            break
        match state(visit):
            case "new":
                new.append(visit)
            case "under way":
                room -= 1
            case Ended() as run:
                ended.append((run.again_at, visit))
    again = sorted((due, visit.window, visit) for due, visit in ended if due <= now)
    return [(visit, False) for visit in new[: max(room, 0)]] + [
        (visit, True) for _, _, visit in again[: max(room - len(new), 0)]
    ]


def _in_turns(visits: Sequence[Visit], turn: int) -> list[Visit]:
    """At most MOST_ASKED of them: the first ones, and of the others another part at each turn."""
    if len(visits) <= MOST_ASKED:
        return list(visits)
    half = MOST_ASKED // 2
    others = visits[half:]
    at = turn * half % len(others)
    return [*visits[:half], *[*others[at:], *others[:at]][:half]]
