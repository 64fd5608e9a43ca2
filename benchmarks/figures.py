"""From rounds to figures: medians, rates, ratios, and whether a result is all there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

ALL_THERE = "complete"


@dataclass(frozen=True, slots=True)
class Round:
    """One contestant's way through one scenario, once. Seconds, bytes, rows.

    ``verdict``: ALL_THERE, or what is wrong with the result. ``carry_s``: without interpreter start and imports.
    ``requests``: by purpose (else by endpoint) as the server counted them; ``throttled`` are among them.
    ``peak_bytes``, ``tree_bytes``: see ``Measured``.
    ``served_rows``, ``served_bytes``: what the server put into its answers, before any compression.
    """

    contestant: str
    number: int
    verdict: str
    wall_s: float
    cpu_s: float
    peak_bytes: int
    carry_s: float | None = None
    server_cpu_s: float | None = None
    requests: dict[str, int] = field(default_factory=dict)
    throttled: int = 0
    served_rows: int = 0
    served_bytes: int = 0
    rows: int = 0
    files: int = 0
    bytes: int = 0
    tree_bytes: int = 0

    @property
    def sent(self) -> int:
        """Requests of any kind."""
        return sum(self.requests.values())


@dataclass(frozen=True, slots=True)
class Standing:
    """A contestant in one scenario: medians over its rounds.

    ``ratio``: how many times as fast as the reference, and ``carry_ratio`` the same without interpreter start and
    imports; None without a reference, or where either result is not complete.
    """

    contestant: str
    rounds: int
    verdict: str
    rows_per_s: float
    wall_s: float
    fastest_s: float
    slowest_s: float
    carry_s: float | None
    cpu_s: float
    server_cpu_s: float | None
    peak_bytes: int
    requests: int
    bytes: int
    ratio: float | None
    carry_ratio: float | None


def verdict(
    *,
    rows: int,
    ids: int,
    ids_sha256: str,
    truth_rows: int,
    truth_sha256: str,
    differing: Sequence[str] = (),
    unordered: int = 0,
) -> str:
    """Compare what was written with what the server holds: ALL_THERE, or the numbers of what is wrong.

    ``differing``: what is wrong with the contents of columns; ``unordered``: files that should be in order of time.
    """
    wrong = []
    if ids < truth_rows:
        wrong.append(f"{truth_rows - ids:,} of {truth_rows:,} rows lost")
    if rows > ids:
        wrong.append(f"{rows - ids:,} rows doubled or without id")
    if ids > truth_rows:
        wrong.append(f"{ids - truth_rows:,} rows too many")
    if not wrong and ids_sha256 != truth_sha256:
        wrong.append(f"{rows:,} rows, but other ids or another order of time than at the source")
    wrong += differing
    if unordered:
        wrong.append(f"{unordered:,} files not in order of time")
    return "; ".join(wrong) or ALL_THERE


def standings(rounds: Iterable[Round], *, rows: int, reference: str) -> list[Standing]:
    """One per contestant, in the order of their first rounds."""
    by_name: dict[str, list[Round]] = {}
    for one in rounds:
        by_name.setdefault(one.contestant, []).append(one)
    base = by_name.get(reference)
    return [_standing(name, own, rows=rows, base=base) for name, own in by_name.items()]


def _standing(name: str, own: Sequence[Round], *, rows: int, base: Sequence[Round] | None) -> Standing:
    wrong = [one.verdict for one in own if one.verdict != ALL_THERE]
    wall_s = median(one.wall_s for one in own)
    carry_s = _median_of_known(one.carry_s for one in own)
    comparable = [] if wrong or base is None or any(one.verdict != ALL_THERE for one in base) else base
    base_wall_s = _median_of_known(one.wall_s for one in comparable)
    base_carry_s = _median_of_known(one.carry_s for one in comparable)
    return Standing(
        contestant=name,
        rounds=len(own),
        verdict=wrong[0] if wrong else ALL_THERE,
        rows_per_s=rows / wall_s if wall_s else 0.0,
        wall_s=wall_s,
        fastest_s=min(one.wall_s for one in own),
        slowest_s=max(one.wall_s for one in own),
        carry_s=carry_s,
        cpu_s=median(one.cpu_s for one in own),
        server_cpu_s=_median_of_known(one.server_cpu_s for one in own),
        peak_bytes=max(one.peak_bytes for one in own),
        requests=round(median(one.sent for one in own)),
        bytes=round(median(one.bytes for one in own)),
        ratio=_ratio(base_wall_s, wall_s),
        carry_ratio=_ratio(base_carry_s, carry_s),
    )


def _ratio(base_s: float | None, own_s: float | None) -> float | None:
    return base_s / own_s if base_s is not None and own_s else None


def _median_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def minimum_answers(rows_by_slice: Iterable[int], *, rows_per_answer: int) -> int:
    """The fewest answers that can hold the rows when no answer spans two slices."""
    return sum(-(-rows // rows_per_answer) for rows in rows_by_slice)
