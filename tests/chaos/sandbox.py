"""``python -m tests.chaos.sandbox SEED WINDOWS FOLDER``: the log APIs of a chaos run, in a process of their own.

Prints one JSON line of addresses and keys. Each line on stdin, a JSON list of hours, lets their late rows arrive
and is answered by an empty line; the end of stdin ends the process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.chaos.arrivals import HeldBack
from tests.chaos.world import ANSWER_ROWS, PAGE_ROWS, TABLE, World

from logferry_sandbox.azure_sandbox import AzureSandbox
from logferry_sandbox.azure_workspace import AzureKnobs
from logferry_sandbox.datadog_sandbox import DatadogSandbox
from logferry_sandbox.datadog_settings import DatadogSettings
from logferry_sandbox.datadog_store import DatadogStore

_NEVER_THROTTLED = 1_000_000


def main(arguments: list[str]) -> None:
    world = World(int(arguments[0]), int(arguments[1]))
    held_back = HeldBack(world.late_hours)
    settings = DatadogSettings(
        short_pages=PAGE_ROWS, search_limit=_NEVER_THROTTLED, aggregate_limit=_NEVER_THROTTLED
    )
    knobs = AzureKnobs(max_rows=ANSWER_ROWS, rate_limit=_NEVER_THROTTLED, concurrency=50)
    datadog = DatadogSandbox(settings=settings, store=DatadogStore(world.datadog(held_back)))
    azure = AzureSandbox(state_dir=Path(arguments[2]), knobs=knobs)
    azure.tables[TABLE] = world.azure(held_back)
    with datadog, azure:
        print(json.dumps({"datadog": datadog.describe(), "azure": azure.describe()}), flush=True)
        for line in sys.stdin:
            held_back.release(json.loads(line))
            print(flush=True)


class SandboxProcess:
    """The sandbox as the harness holds it; ``described`` has its addresses."""

    def __init__(self, world: World, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.chaos.sandbox", str(world.seed), str(world.windows)]
        self._process = subprocess.Popen(
            [*command, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()
        self.described: dict[str, Any] = json.loads(self._line())

    def release(self, hours: Iterable[int]) -> None:
        """Let the late rows of these hours arrive; they are there when this returns."""
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(sorted(hours)) + "\n")
            self._process.stdin.flush()
            self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the sandbox ended with status {self._process.wait()}")
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
