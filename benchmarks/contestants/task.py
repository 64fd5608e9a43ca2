"""What every contestant is given, and how it is run: ``python -m benchmarks.contestants.task NAME TASK REPORT``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Task:
    """A window ``[start, end)`` (ISO 8601, UTC) of one API, and the folder for the Parquet files.

    ``server``: addresses and keys as the sandbox prints them. ``table``: Azure only. ``in_flight``: how many
    requests Logferry may have on the way at once; None lets it choose. ``slice``: Logferry's slice, such as ``1h``.
    """

    api: str
    start: str
    end: str
    folder: str
    server: dict[str, Any]
    table: str = ""
    in_flight: int | None = None
    slice: str = "1h"

    @property
    def output(self) -> Path:
        return Path(self.folder)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Task:
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def main(arguments: Sequence[str]) -> int:
    """Run one contestant. REPORT gets the seconds of ``carry`` alone: no interpreter start, no imports."""
    name, task_file, report_file = arguments
    contestant = import_module(f"benchmarks.contestants.{name}")
    task = Task.read(Path(task_file))
    before = time.perf_counter()
    contestant.carry(task)
    Path(report_file).write_text(json.dumps({"carry_s": time.perf_counter() - before}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
