"""Slices that need no fetch: proven, in place, and counted with as many rows as are published."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from logferry.plan import SlicePlan
from logferry.publishing.published_object import intact
from logferry.records.ledger import Published, read_ledger
from logferry.stores.base import Store


def keep_unmoved(
    slices: Sequence[SlicePlan], *, store: Store, export: str, fingerprint: str
) -> list[SlicePlan]:
    """The plans, with the published files of those whose rows have not moved since.

    Only of rows that were written under the definition of this ``fingerprint``.
    """
    published = read_ledger(store, export).slices
    return [
        _kept(planned, before)
        if (before := published.get(planned.window())) is not None
        and before.fingerprint == fingerprint
        and before.entry.status == "proven"
        and before.entry.rows == planned.rows
        # Read now: what is damaged is then fetched, where the publication could only refuse it.
        and intact(store, before.entry.file)
        else planned
        for planned in slices
    ]


def _kept(planned: SlicePlan, before: Published) -> SlicePlan:
    return msgspec.structs.replace(planned, bins=None, kept=before.entry.file, kept_notes=before.entry.notes)
