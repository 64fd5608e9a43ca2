"""Columns of ISO-8601 times to exact integers, by whole columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from logferry.convert.kql_types import TIME_TYPE
from logferry.window import TICK_PER_MICROSECOND, TICK_PER_SECOND, parse_instant

_PLAIN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,7})?Z$"
_SECONDS_LENGTH = len("2026-11-20T00:00:00")
_HOUR_LENGTH = len("2026-11-20T00")
_SHORTEST = len("2026-11-20T00:00Z")
_LONGEST = len("2026-11-20T00:00:00.1234567Z")
_NANOSECONDS = pa.timestamp("ns", tz="UTC")
_MICROSECONDS_PER_SECOND = TICK_PER_SECOND // TICK_PER_MICROSECOND


def read_instants(texts: Sequence[str | None] | pa.Array[Any]) -> tuple[pa.Array[Any], pa.Array[Any]]:
    """``timestamp(us, UTC)``, floored, and exact int64 ticks of UTC times with 0 to 7 decimals.

    Years 0001 to 9999, no float in between. A time in another ISO-8601 form, or without a zone (KQL's are
    always UTC), is read one by one. Raises ValueError for a text that is no time.
    """
    array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.string())
    if (usual := _usual_instants(array)) is not None:
        return usual
    if pc.all(pc.match_substring_regex(array, _PLAIN)).as_py() is False:
        return from_ticks([None if text is None else read_instant(text) for text in array.to_pylist()])
    seconds = pc.utf8_slice_codeunits(array, 0, _SECONDS_LENGTH).cast(pa.timestamp("s")).cast(pa.int64())
    decimals = pc.utf8_trim(pc.utf8_slice_codeunits(array, _SECONDS_LENGTH), ".Z")
    fraction = pc.utf8_rpad(decimals, 7, "0").cast(pa.int64())
    ticks = pc.add(pc.multiply(seconds, TICK_PER_SECOND), fraction)
    # The fraction is never negative, so cutting its last digit rounds down before 1970 too.
    micros = pc.add(pc.multiply(seconds, _MICROSECONDS_PER_SECOND), pc.divide(fraction, TICK_PER_MICROSECOND))
    return micros.cast(TIME_TYPE), ticks


def _usual_instants(array: pa.Array[Any]) -> tuple[pa.Array[Any], pa.Array[Any]] | None:
    """The same of times with a zone from 1970 to 2261, which nanoseconds can hold; None when there are others."""
    lengths = pc.min_max(pc.binary_length(array)).as_py()
    if lengths["min"] is None or lengths["min"] < _SHORTEST or lengths["max"] > _LONGEST:
        return None
    # Arrow also takes hours alone, "2026-11-20T00+05:30", which the exact parser does not.
    if not pc.all(pc.equal(pc.utf8_slice_codeunits(array, _HOUR_LENGTH, _HOUR_LENGTH + 1), ":")).as_py():
        return None
    try:
        nanoseconds = array.cast(_NANOSECONDS).view(pa.int64())
    except pa.ArrowInvalid:
        return None
    if pc.min(nanoseconds).as_py() < 0:
        return None
    return pc.divide(nanoseconds, 1000).view(TIME_TYPE), pc.divide(nanoseconds, 100)


def from_ticks(ticks: Sequence[int | None]) -> tuple[pa.Array[Any], pa.Array[Any]]:
    """The same two arrays of ticks since the Unix epoch."""
    micros = [None if tick is None else tick // TICK_PER_MICROSECOND for tick in ticks]
    return pa.array(micros, TIME_TYPE), pa.array(ticks, pa.int64())


def read_instant(text: str) -> int:
    """Ticks of one time; without a zone it is UTC. Raises ValueError."""
    try:
        return parse_instant(text)
    except ValueError:
        return parse_instant(f"{text}Z")
