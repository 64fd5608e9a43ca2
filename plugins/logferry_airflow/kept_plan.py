"""The plan of a task that carries a whole window, kept by Airflow while the window is not published.

Each chunk's progress belongs to its slices, and one late row can move the borders between chunks: so a later stretch or
try keeps the borders, and a stretch after a wait the plan as well, whose counts it need not ask for again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from logferry_airflow.task_progress import StateStore, chunk_key, packed, unpacked

if TYPE_CHECKING:
    from logferry.plan import Chunk, Plan
    from logferry.window import Window

log = logging.getLogger(__name__)

KEY = "logferry_plan"


@dataclass(frozen=True, slots=True)
class _Kept:
    plan: Plan
    sizes: list[int]
    only_moved: bool


class KeptPlan:
    """What was planned for a window of a definition (``fingerprint``); a store that fails is logged and goes unused."""

    def __init__(self, store: StateStore, window: Window, fingerprint: str, *, only_moved: bool) -> None:
        self._store = store
        self._only_moved = only_moved
        self._kept = self._load(window, fingerprint)

    def plan(self) -> Plan | None:
        """The plan of an earlier stretch; None when there is none that was made with the same ``only_moved``."""
        kept = self._kept
        return kept.plan if kept is not None and kept.only_moved == self._only_moved else None

    def cut(self, plan: Plan, chunks: Sequence[Chunk]) -> list[Chunk]:
        """The plan's ``chunks``, by the borders that are kept where there are any; keeps plan and borders."""
        if self._kept is not None and sum(self._kept.sizes) == len(plan.slices):
            chunks = _cut(plan, chunks[0], self._kept.sizes)
        found = _Kept(plan, [len(chunk.slices) for chunk in chunks], self._only_moved)
        if found != self._kept:
            self._kept = found
            self._save(found)
        return list(chunks)

    def clear(self) -> None:
        """Forget it: the window is published."""
        self._delete(KEY)

    def _load(self, window: Window, fingerprint: str) -> _Kept | None:
        from msgspec import ValidationError

        from logferry.plan import Plan
        from logferry.records.manifest import Span

        try:
            found = unpacked(self._store.get(KEY))
        except Exception as error:
            log.warning("the plan of an earlier try cannot be read, so it is made anew: %s", error)
            return None
        if found is None:
            return None
        try:
            kept = _Kept(Plan.from_json(found["plan"]), list(found["sizes"]), bool(found["only_moved"]))
        except (KeyError, TypeError, ValidationError) as error:
            log.warning("the plan of an earlier try is not readable, so it is made anew: %s", error)
            return None
        if (kept.plan.window, kept.plan.fingerprint) == (Span.of(window), fingerprint):
            return kept
        # Of another definition or window nothing is used again.
        for chunk in _cut(kept.plan, kept.plan.chunks()[0], kept.sizes):
            self._delete(chunk_key(chunk.label))
        return None

    def _save(self, kept: _Kept) -> None:
        value: dict[str, Any] = {
            "plan": kept.plan.to_json(),
            "sizes": kept.sizes,
            "only_moved": kept.only_moved,
        }
        try:
            self._store.set(KEY, packed(value))
        except Exception as error:
            log.warning("the plan cannot be kept, so a next try would plan anew: %s", error)

    def _delete(self, key: str) -> None:
        try:
            self._store.delete(key)
        except Exception as error:
            log.warning("%s cannot be cleared; a next try checks what it finds: %s", key, error)


def _cut(plan: Plan, like: Chunk, sizes: Sequence[int]) -> list[Chunk]:
    from msgspec.structs import replace

    chunks = []
    begin = 0
    for size in sizes:
        slices = plan.slices[begin : begin + size]
        chunks.append(replace(like, slices=slices, requests={} if begin else plan.spent))
        begin += size
    return chunks
