"""A Datadog sandbox with an allowance, which notes every search that it is asked, and exports against it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from logferry.budget.local_board import FOLDER_VARIABLE
from logferry_sandbox.datadog_api import SEARCH_BUCKET
from logferry_sandbox.datadog_sandbox import DatadogSandbox
from logferry_sandbox.datadog_settings import DatadogSettings
from logferry_sandbox.rate_limit import Allowance, RateLimiter, system_clock

DAY = ("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z")


class Noted(RateLimiter):
    """Counts as the sandbox does, and keeps when each search came (ms) and whether it was admitted."""

    def __init__(self) -> None:
        super().__init__(system_clock)
        self._noting = threading.Lock()
        self.asked: list[tuple[int, bool]] = []

    def take(self, name: str, limit: int, period_s: int) -> Allowance:
        allowance = super().take(name, limit, period_s)
        if name == SEARCH_BUCKET:
            with self._noting:
                self.asked.append((system_clock(), allowance.admitted))
        return allowance


@contextlib.contextmanager
def limited_sandbox(
    limit: int, period_s: int, *, events_per_day: int, page_rows: int, latency_s: float
) -> Iterator[tuple[DatadogSandbox, Noted]]:
    """``page_rows``: the most rows of a page, so that few events make many requests."""
    settings = DatadogSettings(
        search_limit=limit, search_period_s=period_s, short_pages=page_rows, latency_s=latency_s
    )
    sandbox = DatadogSandbox(events_per_day=events_per_day, burst=0, settings=settings)
    noted = Noted()
    sandbox.api._limiter = noted
    with sandbox:
        yield sandbox, noted


def environment(sandbox: DatadogSandbox, folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The variables of a command line whose exports are ``names`` and whose budget nobody else shares."""
    exports = folder / "exports"
    exports.mkdir()
    for name in names:
        (exports / f"{name}.yaml").write_text(
            f"name: {name}\nsource: {{kind: datadog, connection: bench, query: '*'}}\n"
            f"schedule: '@daily'\nstart: 2026-01-01T00:00:00Z\nsettle: 0m\n"
            f"destination: {{url: 'file://{folder}/lake'}}\n"
        )
    described = sandbox.describe()
    extra = {"api_key": described["api_key"], "app_key": described["app_key"], "sandbox": True}
    connection = {"conn_type": "datadog_logs", "host": described["base_url"], "extra": extra}
    root = Path(__file__).resolve().parents[1]
    return {
        **os.environ,
        "AIRFLOW_CONN_BENCH": json.dumps(connection),
        "LOGFERRY_EXPORTS_DIR": str(exports),
        "TMPDIR": str(folder),
        FOLDER_VARIABLE: str(folder / "budget"),
        "PYTHONPATH": f"{root / 'include'}:{root / 'plugins'}",
    }


def logferry(*arguments: str, env: dict[str, str]) -> subprocess.Popen[str]:
    """A command of its own process; its JSON comes on stdout."""
    return subprocess.Popen(
        [sys.executable, "-c", "import logferry.cli; logferry.cli.main()", *arguments],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
