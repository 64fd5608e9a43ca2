"""The range that an answer is about."""

from __future__ import annotations

from logferry.audit.coverage import default_range as whole_life
from logferry.errors import DefinitionError
from logferry.spec import ExportSpec
from logferry.window import TICK_PER_DAY, Window, format_instant, parse_instant

_DAYS = 31
_YEARS_AHEAD = 366 * TICK_PER_DAY


def default_range(spec: ExportSpec, *, now: int) -> Window:
    """The last 31 days of an export, up to the end of the slice under way: whole days of UTC, as far as slices go."""
    life = whole_life(spec, now)
    start = (life.end - 1) // TICK_PER_DAY * TICK_PER_DAY - (_DAYS - 1) * TICK_PER_DAY
    return Window(max(spec.start, -(-start // spec.slice) * spec.slice), life.end)


def asked(spec: ExportSpec, start: str | None, end: str | None, *, now: int) -> Window:
    """The range from ``start`` to ``end``, texts with a zone, widened to whole slices and cut where the export begins.

    One that is left out has its default: 31 days before ``end``, and the end of the slice under way. Raises
    DefinitionError with one sentence for what is no time, for an empty or reversed range, and for one that ends before
    the export begins or begins more than a year from now.
    """
    usual = default_range(spec, now=now)
    last = usual.end if end is None else -(-_tick("to", end) // spec.slice) * spec.slice
    if start is not None:
        first = _tick("from", start) // spec.slice * spec.slice
    elif end is None:
        first = usual.start
    else:
        first = (last - _DAYS * TICK_PER_DAY) // spec.slice * spec.slice
    if first >= last:
        raise DefinitionError(
            f"The range from {format_instant(first)} to {format_instant(last)} is "
            f"{'empty' if first == last else 'reversed'}: give a 'from' that lies before 'to'."
        )
    if last <= spec.start:
        raise DefinitionError(
            f"The range ends at {format_instant(last)}, before {spec.name} begins: give a 'to' after "
            f"{format_instant(spec.start)}."
        )
    if first > now + _YEARS_AHEAD:
        raise DefinitionError(
            f"'from' {format_instant(first)} lies more than a year ahead: give an earlier one."
        )
    return Window(
        max(first, spec.start), min(last, max(first, now) + 2 * _YEARS_AHEAD) // spec.slice * spec.slice
    )


def _tick(name: str, text: str) -> int:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise DefinitionError(f"{name!r}: {error}.") from None
