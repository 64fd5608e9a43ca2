"""``--json`` of the commands on archives: see docs/commands.md for the shapes."""

from __future__ import annotations

from typing import Any

import msgspec

from logferry.audit.archive import Examined, Interrupted
from logferry.audit.coverage import SliceCover
from logferry.audit.definitions import DefinitionUse, differing
from logferry.audit.findings import Finding
from logferry.audit.gaps import Gap, Remedy, gaps, remedies, replacing, reprovable
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


def definition_json(use: DefinitionUse, examined: Examined, *, now: int) -> dict[str, Any]:
    spec = examined.archive.spec
    return {
        "fingerprint": use.fingerprint,
        "present": use.present,
        "slices": use.slices,
        "ranges": [window_json(window) for window in use.ranges],
        "kept": [window_json(window) for window in use.kept],
        "source": use.source,
        "differs": differing(use, spec, examined.definition.source) if use.present is False else [],
        "remedies": [remedy_json(one) for one in replacing(spec, use, now=now)],
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
        "held_by": {**window_json(cover.held_by.window), "reason": cover.held_by.reason},
        "totals": {
            "slices": cover.count(),
            "rows": cover.rows,
            "bytes": cover.bytes,
            "gaps": sum(one.slices for one in found),
        },
        "slices": [_slice_json(one) for one in cover.slices],
        "gaps": [gap_json(one) for one in found],
        "remedies": [remedy_json(one) for one in remedies(spec, [gap.window for gap in found], now=now)],
        "to_prove": [remedy_json(one) for one in remedies(spec, reprovable(spec, cover, now=now), now=now)],
        "definitions": [definition_json(use, examined, now=now) for use in examined.definitions()],
        "interrupted": [_interrupted_json(one) for one in examined.interrupted()],
        "damage": [_damage_json(one) for one in examined.ledger.damage],
        "findings": [
            {**finding_json(one.finding), "found_at": one.found_at, "seq": one.seq}
            for one in examined.beside()
        ],
        "notes": [examined.definition.note] if examined.definition.note else [],
    }


def _slice_json(one: SliceCover) -> dict[str, Any]:
    """What the last publication says. Of slices on another grid nobody knows how many rows belong to this one."""
    entries = [published.entry for published in one.published]
    last = entries[-1] if entries else None
    own = last if one.published and one.published[0].window == one.window else None
    result: dict[str, Any] = {
        **window_json(one.window),
        "state": one.state,
        "rows": None if own is None else own.rows,
        "source_rows": None if own is None else own.source_rows,
        "counted_at": None if last is None else last.counted_at,
        "seq": max((published.seq for published in one.published), default=None),
        "other_definition": one.other_definition,
        "interrupted": one.interrupted,
        "damage": [found.finding.detail for found in one.damage],
    }
    if own is not None and own.previous_rows is not None:
        result["previous_rows"] = own.previous_rows
        result["previous_counted_at"] = own.previous_counted_at
    return result
