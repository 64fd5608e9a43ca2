"""What a chaos run counts and finds, as a table for people and as JSON for tools."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

_MESSAGES_OF_A_KIND = 8


@dataclass
class Figures:
    """Of one lake. Threads add to the counters and to ``violations``; each violation is a sentence."""

    store: str
    windows: int = 0
    attempts: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    refused_because: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    freezes: int = 0
    races: Counter[str] = field(default_factory=Counter)
    rounds: Counter[str] = field(default_factory=Counter)
    s3_restarts: int = 0
    late_releases: int = 0
    objects_read: int = 0
    publications: int = 0
    intents: int = 0
    parts_abandoned: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    lost: int = 0
    duplicated: int = 0
    requests: int = 0
    minimum: int = 0
    requests_to_fill: int = 0
    minimum_to_fill: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, counter: Counter[str], name: str) -> None:
        with self._lock:
            counter[name] += 1

    def add(self, name: str, amount: int = 1) -> None:
        with self._lock:
            setattr(self, name, getattr(self, name) + amount)

    def violated(self, sentence: str) -> None:
        with self._lock:
            if sentence not in self.violations:
                self.violations.append(sentence)

    def refused(self, error: str, message: str) -> None:
        """Count a refusal; a few messages of each kind are kept, for whoever wants to judge them."""
        with self._lock:
            self.refusals[error] += 1
            if self.refusals[error] <= _MESSAGES_OF_A_KIND:
                self.refused_because.append(f"{error}: {message}")

    def to_json(self) -> dict[str, Any]:
        return {
            name: dict(value) if isinstance(value, Counter) else value
            for name, value in vars(self).items()
            if not name.startswith("_")
        }


_LINES: tuple[tuple[str, str], ...] = (
    ("windows", "windows"),
    ("rounds", "rounds"),
    ("attempts", "workers started"),
    ("endings", "how they ended"),
    ("refusals", "refused with"),
    ("faults", "faults injected"),
    ("kills", "kills by step"),
    ("freezes", "workers frozen in publish"),
    ("races", "races"),
    ("late_releases", "late rows released"),
    ("s3_restarts", "S3 server restarts"),
    ("publications", "publications"),
    ("statuses", "their slices"),
    ("intents", "intents"),
    ("parts_abandoned", "parts of runs given up"),
    ("objects_read", "objects read meanwhile"),
    ("rows", "rows in the lake"),
    ("lost", "lost"),
    ("duplicated", "duplicated"),
    ("requests", "requests under faults"),
    ("minimum", "minimum for what was published"),
    ("requests_to_fill", "requests of the last pass"),
    ("minimum_to_fill", "minimum for it"),
    ("seconds", "seconds"),
)


def show(halves: list[Figures]) -> None:
    """The figures side by side, then what was violated."""
    table = Table(title="chaos", title_justify="left")
    table.add_column("")
    for half in halves:
        table.add_column(half.store)
    for name, label in _LINES:
        table.add_row(label, *(_cell(getattr(half, name)) for half in halves))
    console = Console(width=140)
    console.print(table)
    for half in halves:
        for sentence in half.violations:
            console.print(f"[red]{half.store}[/red]: {sentence}", highlight=False, soft_wrap=True)


def _cell(value: Any) -> str:
    if isinstance(value, Counter):
        total = f"{value.total():,}"
        parts = ", ".join(f"{name} {count}" for name, count in value.most_common())
        return f"{total}: {parts}" if parts else total
    return f"{value:,}" if isinstance(value, int) else f"{value:.0f}"
