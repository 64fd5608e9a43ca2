"""``--json`` of the commands on archives: see docs/commands.md for the shapes."""

from __future__ import annotations

from typing import Any

import msgspec

from logferry.audit.archive import Examined, Interrupted
from logferry.audit.coverage import SliceCover
from logferry.audit.definitions import DefinitionUse
from logferry.audit.findings import Finding
from logferry.audit.gaps import Gap, Remedy, gaps, remedies
from logferry.records.journal import Damage
from logferry.window import Window, format_duration, format_instant


def window_json(window: Window) -> dict[str, str]:
    return {"from": format_instant(window.start), "to": format_instant(window.end)}


def gap_json(gap: Gap) -> dict[str, Any]:
    return {**window_json(gap.window), "state": gap.state, "reason": gap.reason, "slices": gap.slices}


def remedy_json(remedy: Remedy) -> dict[str, Any]:
    return {**window_json(remedy.window), "windows": len(remedy.windows), "command": remedy.command}


def finding_json(finding: Finding) -> dict[str, Any]:
    """``{kind, level, window, key, detail, remedy}``."""
    found: dict[str, Any] = msgspec.to_builtins(finding)
    return found


def definition_json(use: DefinitionUse, remedies: list[Remedy]) -> dict[str, Any]:
    return {
        "fingerprint": use.fingerprint,
        "present": use.present,
        "slices": use.slices,
        "ranges": [window_json(window) for window in use.ranges],
        "source": use.source,
        "remedies": [remedy_json(one) for one in remedies],
    }


def _interrupted_json(one: Interrupted) -> dict[str, Any]:
    return {
        "seq": one.intent.seq,
        "run": one.intent.run,
        "began_at": one.intent.began_at,
        "window": window_json(one.window),
        "slices": one.slices,
    }


def _damage_json(damage: Damage) -> dict[str, Any]:
    return {
        "seq": damage.seq,
        "key": damage.key,
        "kind": damage.kind,
        "detail": damage.detail,
        "acknowledged": damage.acknowledged,
    }


def coverage_json(examined: Examined, *, now: int) -> dict[str, Any]:
    """The whole of ``coverage --json``."""
    spec, cover = examined.archive.spec, examined.coverage
    found = gaps(cover)
    return {
        "export": spec.name,
        "window": window_json(cover.window),
        "now": format_instant(now),
        "slice": format_duration(spec.slice),
        "fingerprint": examined.definition.fingerprint,
        "final_up_to": None if cover.final_up_to is None else format_instant(cover.final_up_to),
        "totals": {
            "slices": cover.count(),
            "rows": cover.rows,
            "bytes": cover.bytes,
            "gaps": sum(one.slices for one in found),
        },
        "slices": [_slice_json(one) for one in cover.slices],
        "gaps": [gap_json(one) for one in found],
        "remedies": [remedy_json(one) for one in remedies(spec, [gap.window for gap in found], now=now)],
        "definitions": [
            definition_json(use, remedies_of(use, examined, now)) for use in examined.definitions()
        ],
        "interrupted": [_interrupted_json(one) for one in examined.interrupted()],
        "damage": [_damage_json(one) for one in examined.ledger.damage],
        "findings": [
            {**finding_json(one.finding), "found_at": one.found_at, "seq": one.seq}
            for one in examined.beside()
        ],
        "notes": [examined.definition.note] if examined.definition.note else [],
    }


def _slice_json(one: SliceCover) -> dict[str, Any]:
    """What the last publication says; of a slice on another grid the sum of what covers it."""
    entries = [published.entry for published in one.published]
    last = entries[-1] if entries else None
    result: dict[str, Any] = {
        **window_json(one.window),
        "state": one.state,
        "rows": sum(entry.rows for entry in entries) if entries else None,
        "source_rows": last.source_rows if last is not None and len(entries) == 1 else None,
        "counted_at": None if last is None else last.counted_at,
        "seq": max((published.seq for published in one.published), default=None),
        "other_definition": one.other_definition,
        "interrupted": one.interrupted,
        "damage": [found.finding.detail for found in one.damage],
    }
    if last is not None and last.previous_rows is not None:
        result["previous_rows"] = last.previous_rows
        result["previous_counted_at"] = last.previous_counted_at
    return result


def remedies_of(use: DefinitionUse, examined: Examined, now: int) -> list[Remedy]:
    """The commands that bring what is of another definition under the present one."""
    if use.present is not False:
        return []
    return remedies(examined.archive.spec, use.ranges, now=now)
