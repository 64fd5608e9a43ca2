"""The measurements so far, as JSON beside the report: a run replaces the scenarios it measured and keeps the rest."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import Round
from benchmarks.machine import Machine

FORMAT = 2
"""Raised when older results cannot stand beside newer ones: before 2 the contents of columns were not compared."""


@dataclass(slots=True)
class Record:
    """One scenario measured.

    ``minimum``: the fewest requests that can bring the rows, where that is known. ``left_out``: contestants that
    were not run, each with the reason.
    """

    key: str
    part: str
    api: str
    rows: int
    latency_ms: int
    title: str
    held: tuple[str, str]
    event_bytes: int
    command: str
    measured_at: str
    minimum: int | None = None
    rounds: list[Round] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Records:
    """All that is known of one machine.

    ``server``: the rates of the sandbox by itself (of ``logferry_sandbox.rate``), with the ``command`` for them.
    ``texts``: sections that are text already, by name.
    """

    machine: dict[str, Any]
    found: dict[str, Record] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "format": FORMAT,
            "machine": self.machine,
            "scenarios": [asdict(one) for one in self.found.values()],
            "server": self.server,
            "texts": self.texts,
        }
        unfinished = path.with_name(path.name + ".part")
        unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(path)


def continue_records(path: Path, machine: Machine) -> Records:
    """What ``path`` holds, if it is of the same hardware; else nothing yet."""
    fresh = Records(machine.to_json())
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return fresh
    if content.get("format") != FORMAT or not machine.same_hardware(content["machine"]):
        return fresh
    for raw in content["scenarios"]:
        raw["rounds"] = [Round(**one) for one in raw["rounds"]]
        raw["held"] = tuple(raw["held"])
        fresh.found[raw["key"]] = Record(**raw)
    fresh.server = content["server"]
    fresh.texts = content["texts"]
    return fresh


def over(kept: Records, newer: Records) -> Records:
    """What was kept, with what is newer in its place."""
    return Records(
        newer.machine,
        {**kept.found, **newer.found},
        newer.server or kept.server,
        {**kept.texts, **newer.texts},
    )
