"""A deterministic history of events: every UTC day is a pure function of (seed, date).

Days are uneven: one hour is empty, the others follow a daily curve. Each day holds every awkward case of
``datadog_shapes``, more than a page of events within one millisecond, and events on both edges of each hour.
"""

from __future__ import annotations

import random
import struct
import sys
import threading
from array import array
from binascii import b2a_base64
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import accumulate, pairwise

from logferry_sandbox.datadog_query import Query
from logferry_sandbox.datadog_shapes import (
    FLEX_ONLY_INDEX,
    INDEXES,
    Shape,
    everyday_shapes,
    flex_only_shapes,
    once_a_day_shapes,
)
from logferry_sandbox.datadog_store import HOUR_MS, Chunk, matching_rows, parse_event
from logferry_sandbox.prepared_rows import Computed

HISTORY_FROM_HOUR = 438_288  # 2020-01-01T00
HISTORY_TO_HOUR = 701_256  # 2050-01-01T00
_CACHED_BYTES = 256 * 1024 * 1024
_CACHED_TIMES = 8_000_000
_CURVE = (3, 2, 2, 1, 1, 2, 3, 5, 8, 10, 11, 12, 11, 12, 12, 11, 10, 9, 8, 7, 6, 6, 5, 4)
_PART_ROWS = 4_000
_FLEX_ONLY_SHARE = 50  # one flex-only event on top of this many others
_TEN_DIGITS = 10**9
_INNER = struct.Struct(">HIIQ")
_OUTER = struct.Struct(">BQII24sx")
_MINUTE_SECOND = [b"%02d:%02d." % divmod(second, 60) for second in range(3600)]
_MILLISECOND = [b"%03dZ" % ms for ms in range(1000)]
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


@dataclass(frozen=True, slots=True)
class DayPlan:
    """How a day's events spread over its 24 hours; ``burst_hour`` holds the crowded millisecond."""

    counts: tuple[int, ...]
    burst_hour: int
    burst_size: int
    once_hours: tuple[int, ...]
    awkward_hour: int


class GeneratedDays:
    """Chunks of made-up days (see module), ``events_per_day`` each in the index tier, exactly.

    Flex-only events come on top (about 2 %). ``burst``: events sharing one millisecond of the day, at most
    half of the day. Hours between 2020 and 2050 hold data. Bodies are made when first served, some
    thousand at once, and the least recently used are forgotten beyond 256 MB.
    """

    indexes: tuple[str, ...] = INDEXES
    flex_only = frozenset({FLEX_ONLY_INDEX})

    def __init__(self, *, seed: int = 0, events_per_day: int = 4000, burst: int = 1500) -> None:
        self._seed = seed
        self._events_per_day = events_per_day
        self._burst = min(burst, events_per_day // 2)
        self._plan = lru_cache(maxsize=4096)(self._plan_day)
        self._chunks: OrderedDict[int, _GeneratedChunk] = OrderedDict()
        self._held_times = 0
        self._bodies = _BodyCache()

    def hours(self, from_ms: int, to_ms: int) -> range:
        """See Source."""
        first = max(from_ms // HOUR_MS, HISTORY_FROM_HOUR)
        return range(first, max(first, min(-(-to_ms // HOUR_MS), HISTORY_TO_HOUR)))

    def chunk(self, hour: int) -> Chunk:
        """See Source. The caller holds a lock: not thread-safe."""
        chunk = self._chunks.get(hour)
        if chunk is None:
            chunk = self._chunks[hour] = self._make_chunk(hour)
            self._held_times += len(chunk.times)
            while self._held_times > _CACHED_TIMES and len(self._chunks) > 1:
                _, oldest = self._chunks.popitem(last=False)
                self._held_times -= len(oldest.times)
        self._chunks.move_to_end(hour)
        return chunk

    def plan(self, day: int) -> DayPlan:
        """The plan of a day, given as days since the epoch."""
        return self._plan(day)

    def _plan_day(self, day: int) -> DayPlan:
        rng = random.Random(f"day:{self._seed}:{day}")
        empty_hour = rng.randrange(24)
        busy = [hour for hour in range(24) if hour != empty_hour]
        weights = [0.0 if hour == empty_hour else _CURVE[hour] * (0.6 + rng.random()) for hour in range(24)]
        burst_hour = rng.choice(busy)
        spread = self._events_per_day - self._burst
        shares = [0, *(int(spread * part / sum(weights)) for part in accumulate(weights))]
        shares[-1] = spread
        counts = [after - before for before, after in pairwise(shares)]
        if counts[empty_hour]:  # rounding at the end of the day, when the empty hour is the last
            counts[busy[-1]] += counts[empty_hour]
            counts[empty_hour] = 0
        peak = max(busy, key=lambda hour: counts[hour])
        counts[burst_hour] += self._burst
        once = tuple(rng.choice([hour for hour in busy if counts[hour] > 40] or [peak]) for _ in range(2))
        return DayPlan(tuple(counts), burst_hour, self._burst, once, peak)

    def _make_chunk(self, hour: int) -> _GeneratedChunk:
        day, hour_of_day = divmod(hour, 24)
        plan = self._plan(day)
        rng = random.Random(f"hour:{self._seed}:{hour}")
        count = plan.counts[hour_of_day]
        everyday = everyday_shapes(self._seed)
        rare = flex_only_shapes(self._seed)
        once = once_a_day_shapes()
        shapes = (*everyday, *rare, *once)
        flex_count = count // _FLEX_ONLY_SHARE
        start = hour * HOUR_MS
        times = [start, start + HOUR_MS - 1][: min(2, count)]
        burst = min(plan.burst_size, count - len(times)) if hour_of_day == plan.burst_hour else 0
        crowded = start + 1 + int(rng.random() * (HOUR_MS - 2))
        loose = _random_ints(rng, "I", count - len(times) - burst + flex_count)
        times += (start + (number * HOUR_MS >> 32) for number in loose)
        times += [crowded] * burst
        times.sort()
        table = _kind_table(self._seed)
        kinds = array("H", map(table.__getitem__, _random_ints(rng, "H", len(times))))
        crowd_start = bisect_left(times, crowded)
        free = [*range(1, crowd_start), *range(crowd_start + burst, len(times) - 1)]
        rng.shuffle(free)
        for row in free[:flex_count]:
            kinds[row] = len(everyday) + rng.randrange(len(rare))
        special = free[flex_count:]
        for number, once_hour in enumerate(plan.once_hours):
            if once_hour == hour_of_day and special:
                kinds[special.pop()] = len(everyday) + len(rare) + number
        if hour_of_day == plan.awkward_hour:
            # Whatever the dice say, each shape appears in each day that has room for it, the rarest first.
            for number, row in zip(reversed(range(len(everyday))), special, strict=False):
                kinds[row] = number
        return _GeneratedChunk(array("q", times), kinds, shapes, rng.getrandbits(63), self._bodies)


def _random_ints(rng: random.Random, code: str, count: int) -> array[int]:
    """``count`` unsigned ints over the whole range of the array type ``code``, the same on every machine."""
    numbers = array(code)
    numbers.frombytes(rng.randbytes(numbers.itemsize * count))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


@lru_cache(maxsize=4)
def _kind_table(seed: int) -> list[int]:
    """65,536 kinds, each as often as its weight says."""
    bounds = list(accumulate(shape.weight for shape in everyday_shapes(seed)))
    return [bisect_right(bounds, number * bounds[-1] // 65536) for number in range(65536)]


class _GeneratedChunk:
    def __init__(
        self, times: array[int], kinds: array[int], shapes: tuple[Shape, ...], seed: int, cache: _BodyCache
    ) -> None:
        self.times = times
        self._kinds = kinds
        self._shapes = shapes
        self._seed = seed
        self._cache = cache
        self._bounds = _part_bounds(times)

    def rows_before(self, at_ms: int) -> int:
        return bisect_left(self.times, at_ms)

    def ids(self) -> Sequence[bytes]:
        return Computed(len(self.times), lambda start, end: self._made(start, end, 0))

    def bodies(self) -> Sequence[bytes]:
        return Computed(len(self.times), lambda start, end: self._made(start, end, 1))

    def joined(self, start: int, end: int) -> bytes:
        return b",".join(self._made(start, end, 1))

    def _made(self, start: int, end: int, member: int) -> list[bytes]:
        """The ids (0) or bodies (1) of rows ``[start, end)``; only their parts of the hour are made."""
        made: list[bytes] = []
        part = bisect_right(self._bounds, start) - 1
        while start < end:
            first, last = self._bounds[part], self._bounds[part + 1]
            made += self._cache.get(self, part)[member][start - first : min(end, last) - first]
            start, part = last, part + 1
        return made

    def index_of(self, row: int) -> str:
        return self._shapes[self._kinds[row]].index

    def has_index_other_than(self, indexes: frozenset[str]) -> bool:
        return not indexes.issuperset({self._shapes[kind].index for kind in set(self._kinds)})

    def matching(self, query: Query) -> Iterable[int] | None:
        if query.everything:
            return None
        if not query.tags_only:
            return matching_rows(query, self.bodies())
        wanted = {kind for kind in set(self._kinds) if query.matches(self._sample(kind))}
        return [row for row, kind in enumerate(self._kinds) if kind in wanted]

    def _sample(self, kind: int) -> dict[str, object]:
        attributes: dict[str, object] = parse_event(
            self._shapes[kind].render(b"", b"", b"1000000000", b"00000000")
        )["attributes"]
        return attributes

    def make(self, part: int) -> _Made:
        """The ids and the JSON of one part of the rows."""
        first, last = self._bounds[part : part + 2]
        times = self.times[first:last]
        raw = _random_ints(random.Random(self._seed), "I", len(self.times))
        numbers = [_TEN_DIGITS + (number >> 2) for number in raw[first:last]]
        # Times are in order already: sorting gives the rows of one millisecond ascending ids.
        named = sorted(zip(times, event_ids(times, numbers, first), numbers, strict=True))
        hour_start = times[0] // HOUR_MS * HOUR_MS
        prefix = datetime.fromtimestamp(hour_start // 1000, UTC).strftime("%Y-%m-%dT%H:").encode()
        forms = [(shape.template, shape.slots) for shape in self._shapes]
        bodies = []
        for kind, (at_ms, one_id, n) in zip(self._kinds[first:last], named, strict=True):
            second, ms = divmod(at_ms - hour_start, 1000)
            template, slots = forms[kind]
            timestamp = prefix + _MINUTE_SECOND[second] + _MILLISECOND[ms]
            bodies.append(template % slots((one_id, timestamp, b"%d" % n, b"%08x" % n)))
        return [one_id for _, one_id, _ in named], bodies


def _part_bounds(times: Sequence[int]) -> list[int]:
    """Where the parts begin, and the end of the last: some thousand rows each, never cut within a millisecond."""
    bounds = [0]
    while bounds[-1] + _PART_ROWS < len(times):
        bounds.append(bisect_right(times, times[bounds[-1] + _PART_ROWS - 1]))
    if bounds[-1] < len(times):
        bounds.append(len(times))
    return bounds


_Made = tuple[list[bytes], list[bytes]]


class _BodyCache:
    """The made ids and bodies of the parts of chunks used last, up to 256 MB."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: OrderedDict[tuple[_GeneratedChunk, int], tuple[_Made, int]] = OrderedDict()
        self._held_bytes = 0

    def get(self, chunk: _GeneratedChunk, part: int) -> _Made:
        key = (chunk, part)
        with self._lock:
            found = self._made.get(key)
            if found is None:
                made = chunk.make(part)
                size = sum(map(len, made[1])) + 150 * len(made[0])
                found = self._made[key] = (made, size)
                self._held_bytes += size
                while self._held_bytes > _CACHED_BYTES and len(self._made) > 1:
                    _, (_, freed) = self._made.popitem(last=False)
                    self._held_bytes -= freed
            self._made.move_to_end(key)
            return found[0]


def event_ids(times: Sequence[int], numbers: Sequence[int], first: int = 0) -> list[bytes]:
    """Ids of the shape the API gives: version 1, the event's time, and an inner id with the ingest time.

    ``numbers`` (below 2**32) make the ids of one millisecond differ; ``first`` is the number of the first row.
    Encoded in bulk: 18 and 42 bytes are multiples of base64's 3, so the text of each id is a slice of the whole.
    """
    packed = []
    for row, (at_ms, n) in enumerate(zip(times, numbers, strict=True)):
        ingested = at_ms + 200 + n % 3700
        packed.append(_INNER.pack(ingested >> 32, ingested & 0xFFFFFFFF, n, first + row))
    inner = b2a_base64(b"".join(packed), newline=False)
    packed = [
        _OUTER.pack(1, at_ms, n, 0, inner[24 * row : 24 * row + 24])
        for row, (at_ms, n) in enumerate(zip(times, numbers, strict=True))
    ]
    text = b2a_base64(b"".join(packed), newline=False).translate(_URL_SAFE)
    return [text[start : start + 55] for start in range(0, len(text), 56)]
