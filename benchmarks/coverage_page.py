"""How fast the coverage page is over many exports with a year of hourly slices each, in a real browser.

``.venv/bin/python -m benchmarks.coverage_page [--exports 20] [--slices 8760] [--folder FOLDER]``

Makes the journals (records, checkpoints and HEADs as the engine writes them, no Parquet files), starts PostgreSQL and
Airflow's API server, and nothing else, and looks at the page with the system's Chromium. Prints milliseconds to the
first contentful paint and until all of a view is there, the bytes that travelled, and how long the API takes to answer
for the first time, again, and to say that nothing changed (304).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from playwright.sync_api import Browser, BrowserContext
from rich.console import Console
from rich.table import Table
from tests.integration.browser import Visitor, chromium
from tests.integration.page_airflow import PROJECT, PageAirflow, RestApi
from tests.logferry.view.made_year import connect, make_year

from logferry.clock import SystemClock
from logferry.spec import load_export
from logferry.stores.local import LocalStore
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, format_instant
from logferry_local.airflow import airflow_command

ROUNDS = 5
CONNECTION = json.dumps({"conn_type": "datadog_logs", "extra": dict(connect("", "").extra)})
"""That of the made archives: with another site they would count as exported under another definition."""
FILLED = """() => {
  const rows = [...document.querySelectorAll('[data-testid^="row-"]')];
  return rows.length === %d && rows.every((row) => row.querySelector('[data-testid="status"]')) && performance.now();
}"""
CALENDAR = "() => document.querySelectorAll('[role=gridcell]').length >= %d && performance.now()"


@dataclass(frozen=True)
class Seen:
    """One visit: milliseconds since the navigation began, bytes on the wire, requests, and how many were a 304."""

    paint_ms: float
    there_ms: float
    bytes: int
    requests: int
    unchanged: int


class Visit:
    """A tab in which views are opened from nothing, each time as if the address had been typed in."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self._url = url
        self._page = context.new_page()
        self._wire = context.new_cdp_session(self._page)
        self._wire.send("Network.enable")
        self._wire.on("Network.loadingFinished", self._finished)
        self._wire.on("Network.responseReceivedExtraInfo", self._answered)

    def look(self, route: str, there: str) -> Seen:
        self._bytes = self._requests = self._unchanged = 0
        self._page.goto("about:blank")
        self._page.goto(f"{self._url}/logferry/{route}", wait_until="commit")
        there_ms = self._page.wait_for_function(there, polling="raf", timeout=120_000).json_value()
        self._page.wait_for_load_state("networkidle")
        paint_ms = self._page.evaluate(
            "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN"
        )
        return Seen(paint_ms, there_ms, self._bytes, self._requests, self._unchanged)

    def _finished(self, event: dict[str, Any]) -> None:
        self._bytes += int(event["encodedDataLength"])
        self._requests += 1

    def _answered(self, event: dict[str, Any]) -> None:
        self._unchanged += event["statusCode"] == 304


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--exports", type=int, default=20)
    options.add_argument("--slices", type=int, default=8_760, help="hours, a multiple of 24")
    options.add_argument("--folder", type=Path, help="where the archives are made and kept")
    asked = options.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="logferry-page-") as temporary:
        folder = (asked.folder or Path(temporary)).absolute()
        names = [f"export_{number:02}" for number in range(asked.exports)]
        begin = SystemClock().now() // TICK_PER_DAY * TICK_PER_DAY - asked.slices * TICK_PER_HOUR
        make(folder, names, begin, asked.slices, console)
        with (
            PageAirflow(
                Path(temporary) / "airflow",
                {"LOGFERRY_EXPORTS_DIR": str(folder / "exports"), "AIRFLOW_CONN_DATADOG_DEFAULT": CONNECTION},
                components=("api-server",),
                before=register_dags,
            ) as airflow,
            chromium() as browser,
        ):
            measure_views(console, browser, airflow.url, len(names), begin, asked.slices)
            measure_api(console, airflow.api("admin"), names[0], begin, asked.slices)


def make(folder: Path, names: list[str], begin: int, slices: int, console: Console) -> None:
    """The definitions, and the archives that are not there yet: a few gaps, shorts and late rows in each."""
    began = time.monotonic()
    (folder / "exports").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        store = LocalStore(folder / "lake" / name)
        definition = {
            "name": name,
            "source": {"kind": "datadog", "connection": "datadog_default", "query": f"service:{name}"},
            "schedule": "@daily",
            "start": format_instant(begin),
            "destination": {"url": store.url},
        }
        path = folder / "exports" / f"{name}.yaml"
        path.write_text(yaml.safe_dump(definition, sort_keys=False))
        if not (folder / "lake" / name).exists():
            odd = range(number, slices, 1 + slices // 20)
            make_year(
                store,
                load_export(path),
                slices=slices,
                missing=odd,
                short=[one + 1 for one in odd],
                late={one + 2: 12 for one in odd if one + 2 < slices},
            )
    console.print(
        f"{len(names)} exports of {slices:,} slices, there after {time.monotonic() - began:.1f} s",
        highlight=False,
    )


def register_dags(environment: dict[str, str]) -> None:
    """Airflow knows the DAGs, as it would have them from its DAG processor."""
    subprocess.run(
        airflow_command("dags", "reserialize"), env=environment, cwd=PROJECT, check=True, capture_output=True
    )


@contextmanager
def logged_in(browser: Browser, url: str) -> Iterator[Visitor]:
    visitor = Visitor(browser, url, "admin")
    visitor.page()
    yield visitor
    visitor.close()


def measure_views(
    console: Console, browser: Browser, url: str, exports: int, begin: int, slices: int
) -> None:
    year = f"?from={format_instant(begin)}&to={format_instant(begin + slices * TICK_PER_HOUR)}"
    views = {
        f"overview, {exports} exports": ("#/", FILLED % exports),
        "export, 31 days": ("#/export/export_00", CALENDAR % (24 * 30)),
        "export, whole life": (f"#/export/export_00{year}", CALENDAR % slices),
    }
    table = Table(title="In the browser (median of the visits)")
    for heading in ("view", "visit", "first paint ms", "all there ms", "kB", "requests", "304"):
        table.add_column(heading, justify="left" if heading in ("view", "visit") else "right")
    with logged_in(browser, url) as visitor:
        for name, (route, there) in views.items():
            first = Visit(visitor.page().context, url).look(route, there)
            add(table, name, "first since the server started" if route == "#/" else "first", [first])
            add(
                table,
                "",
                "new browser",
                [Visit(visitor.page().context, url).look(route, there) for _ in range(ROUNDS)],
            )
            again = Visit(visitor.page().context, url)
            again.look(route, there)
            add(table, "", "again", [again.look(route, there) for _ in range(ROUNDS)])
            visitor.close()
    console.print(table)


def add(table: Table, view: str, visit: str, seen: list[Seen]) -> None:
    def middle(values: list[float]) -> float:
        return statistics.median(values)

    table.add_row(
        view,
        visit,
        f"{middle([one.paint_ms for one in seen]):,.0f}",
        f"{middle([one.there_ms for one in seen]):,.0f}",
        f"{middle([one.bytes for one in seen]) / 1000:,.0f}",
        f"{middle([one.requests for one in seen]):.0f}",
        f"{middle([one.unchanged for one in seen]):.0f}",
    )


def measure_api(console: Console, api: RestApi, name: str, begin: int, slices: int) -> None:
    year = f"from={format_instant(begin)}&to={format_instant(begin + slices * TICK_PER_HOUR)}"
    paths = [
        "/exports",
        f"/exports/{name}",
        f"/exports/{name}/cells",
        f"/exports/{name}/cells?{year}",
        f"/exports/{name}/series?{year}",
        f"/exports/{name}/records",
        f"/exports/{name}/fill?{year}",
    ]
    table = Table(title=f"The API, asked {ROUNDS} times, one request after the other")
    for heading in ("GET", "median ms", "kB on the wire", "304 median ms", "304s"):
        table.add_column(heading, justify="left" if heading == "GET" else "right")
    for path in paths:
        whole = [ask(api, path, None) for _ in range(ROUNDS)]
        etag = whole[-1].etag
        unchanged = [ask(api, path, etag) for _ in range(ROUNDS)]
        table.add_row(
            path.split("?")[0] + ("?a year" if "?" in path else ""),
            f"{statistics.median(one.ms for one in whole):.1f}",
            f"{whole[-1].bytes / 1000:,.1f}",
            f"{statistics.median(one.ms for one in unchanged):.1f}",
            f"{sum(one.status == 304 for one in unchanged)} of {ROUNDS}",
        )
    console.print(table)


@dataclass(frozen=True)
class Answer:
    status: int
    ms: float
    bytes: int
    etag: str


def ask(api: RestApi, path: str, etag: str | None) -> Answer:
    headers = {"Accept-Encoding": "gzip"} | ({"If-None-Match": etag} if etag else {})
    began = time.perf_counter()
    with api.session.get(
        f"{api.url}/logferry/api{path}", headers=headers, timeout=120, stream=True
    ) as answer:
        size = len(answer.raw.read(decode_content=False))
        ms = (time.perf_counter() - began) * 1000
        assert answer.status_code in (200, 304), f"{path}: {answer.status_code}"
        return Answer(answer.status_code, ms, size, answer.headers.get("ETag", ""))


if __name__ == "__main__":
    main()
