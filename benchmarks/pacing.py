"""How often a slow contestant runs: learned from smaller scenarios, so that the whole does not take a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.figures import Round

ONE_ROUND_FROM_S = 60.0
LEFT_OUT_FROM_S = 150.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """``start_s``: interpreter and imports; the others are per row."""

    start_s: float
    row_s: float
    row_requests: float


class Pace:
    """What was seen of each contestant, by API."""

    def __init__(self, *, patient: bool = False) -> None:
        self._patient = patient
        self._seen: dict[tuple[str, str], _Seen] = {}

    def learn(self, api: str, rounds: Sequence[Round], *, rows: int, latency_ms: int) -> None:
        """Take the rounds of a scenario into account; of each contestant the last one counts."""
        for one in rounds:
            carry_s = one.wall_s if one.carry_s is None else one.carry_s
            working_s = max(0.0, carry_s - one.sent * latency_ms / 1000)
            seen = _Seen(one.wall_s - carry_s, working_s / rows, one.sent / rows)
            self._seen[api, one.contestant] = seen

    def expected_s(self, api: str, contestant: str, *, rows: int, latency_ms: int) -> float | None:
        """Seconds a round should take when each request waits in turn; None before anything is known."""
        seen = self._seen.get((api, contestant))
        if seen is None:
            return None
        return seen.start_s + rows * (seen.row_s + seen.row_requests * latency_ms / 1000)

    def rounds(self, expected_s: float | None, wanted: int) -> int:
        """How many of the wanted rounds to run: all, one, or none."""
        if self._patient or expected_s is None or expected_s < ONE_ROUND_FROM_S:
            return wanted
        return min(1, wanted) if expected_s < LEFT_OUT_FROM_S else 0

    def is_quick(self, contestant: str, rounds: Sequence[Round]) -> bool:
        """Whether no round of it so far has taken so long that one is enough."""
        own = [one.wall_s for one in rounds if one.contestant == contestant]
        return self._patient or max(own, default=0.0) < ONE_ROUND_FROM_S
