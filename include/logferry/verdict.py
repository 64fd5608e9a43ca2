"""The verdict on a finished slice: proven, short or unproven."""

from __future__ import annotations

from logferry.exportable import settled_at
from logferry.proof.prove import Finished
from logferry.records.manifest import Status
from logferry.spec import ExportSpec


def verdict(spec: ExportSpec, finished: Finished) -> Status:
    """``proven`` only by a count of all its rows that agrees with what was written and began when it had settled."""
    if finished.counted is None:
        return "unproven"
    retention = spec.source.retention
    if retention is not None and finished.slice_.start < finished.counted_at - retention:
        return "unproven"  # Neither number says what there was.
    if not finished.agrees:
        return "short"
    return "unproven" if finished.counted_at < settled_at(spec, finished.slice_) else "proven"
