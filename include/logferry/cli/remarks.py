"""What an export says in plain lines: its plan, what was kept as published, what is short with the next step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from logferry.audit.stretches import Stretches
from logferry.cli.output import lasting, number, size
from logferry.plan import Plan
from logferry.proof.prove import BINS_DIFFER_NOTE
from logferry.proof.twins import DIFFER_NOTE
from logferry.records.manifest import Manifest, SliceEntry, Span
from logferry.wording import counted

_MOST_SHORT = 10


def summary(plan: Plan) -> str:
    """A plan in one line."""
    rows = "an unknown number of rows" if plan.rows is None else counted(plan.rows, "row")
    amount = "size unknown" if plan.bytes is None else f"about {size(plan.bytes)}"
    return (
        f"{plan.window.start} to {plan.window.end}: {rows} in {counted(len(plan.slices), 'slice')}, "
        f"{counted(plan.requests, 'request')}, {amount}, time {lasting(plan.eta_s)}"
    )


def short_lines(name: str, manifests: Sequence[Manifest]) -> Iterator[str]:
    """Each short slice with both numbers, and in the end what to do next."""
    short = [(one, entry) for one in manifests for entry in one.slices if entry.status == "short"]
    for _, entry in short[:_MOST_SHORT]:
        yield _short(entry)
    if len(short) > _MOST_SHORT:
        yield f"and {counted(len(short) - _MOST_SHORT, 'more short slice')}: logferry gaps {name}"
    for window in Stretches([entry.window() for _, entry in short]):
        span = Span.of(window)
        yield f"next: logferry export {name} --from {span.start} --to {span.end}"


def kept_lines(name: str, manifest: Manifest) -> Iterator[str]:
    """A sentence for the slices that stayed as published, and one more for those of another definition."""
    kept = [entry for entry in manifest.slices if entry.source_now is not None]
    fewer = [entry for entry in kept if entry.source_now is not None and entry.source_now < entry.rows]
    if fewer:
        now = sum(entry.source_now or 0 for entry in fewer)
        yield (
            f"{counted(len(fewer), 'slice')} of [{manifest.window.start}, {manifest.window.end}) kept as published: "
            f"{number(sum(entry.rows for entry in fewer))} proven rows, the source now gives {number(now)}"
        )
    others = [entry.window() for entry in kept if entry.fingerprint is not None]
    for window in Stretches(others):
        span = Span.of(window)
        yield (
            f"what is kept from {span.start} to {span.end} is of another definition; to replace it by what the present "
            f"one gives: logferry export {name} --from {span.start} --to {span.end} --allow-shrink (in Airflow the "
            "param allow_shrink)"
        )


def _short(entry: SliceEntry) -> str:
    """What is wrong with a short slice and what to do about it."""
    numbers = f"{number(entry.rows)} rows written, {number(entry.source_rows)} counted at the source"
    text = f"[{entry.start}, {entry.end}) is short: {numbers}"
    if entry.rows != entry.source_rows:
        return f"{text}; export it again"
    if DIFFER_NOTE in entry.notes:
        return (
            f"{text}, but equal rows of one instant came under other ids each time they were asked for "
            f"({counted(entry.notes[DIFFER_NOTE], 'instant')}), so one row may stand in for another; export it "
            "again, and if it stays so, ask the vendor why ids change"
        )
    return (
        f"{text}, but they lie at other times than the source counts them "
        f"({counted(entry.notes.get(BINS_DIFFER_NOTE, 0), 'bin')} differ); export it again"
    )
