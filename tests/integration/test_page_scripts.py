"""Scripts of the page in a real browser, without an Airflow: at a server that goes on answering for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from playwright.sync_api import Page
from tests.integration.browser import PROJECT, chromium

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

STATIC = PROJECT / "plugins" / "logferry_airflow" / "page" / "static"
LEAVE = """async () => {
  const { rows } = await import("/logferry/static/api.js");
  const stop = new AbortController();
  try {
    await rows(() => stop.abort(), stop.signal);
  } catch (error) {
    return error.name;
  }
  return "ended";
}"""


class Endless(BaseHTTPRequestHandler):
    """One row, and then nothing until the reader leaves."""

    left: ClassVar[threading.Event]

    def do_GET(self) -> None:
        kind, content = "text/html", b"<!doctype html><title>A page</title>"
        if self.path.endswith(".js"):
            kind, content = "text/javascript", (STATIC / self.path.partition("/static/")[2]).read_bytes()
        elif self.path.endswith("/api/rows"):
            kind, content = "application/x-ndjson", b'{"name": "shop", "etag": "\\"1\\"", "row": {}}\n'
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(content)
        if self.path.endswith("/api/rows"):
            self.wfile.flush()
            self.connection.recv(1)
            self.left.set()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test says what matters."""


@pytest.fixture
def endless() -> Iterator[Page]:
    Endless.left = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with chromium() as browser:
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/logferry/")
            yield page
        server.shutdown()


def test_who_leaves_the_overview_ends_the_stream_of_its_rows(endless: Page) -> None:
    assert endless.evaluate(LEAVE) == "AbortError"
    # While the page is still open.
    assert Endless.left.wait(60)


@pytest.mark.parametrize(("seq", "now"), [(0, "none"), (1, "only 1")])
def test_a_lake_that_lost_records_wants_a_person(endless: Page, seq: int, now: str) -> None:
    row = {
        "lake": {"reachable": True},
        "cells": {"M": 96, "P": 24 * seq},
        "journal": {"seq": seq, "damage": []},
        "emptied": {"records": 4, "since": "2026-03-02T01:02:03Z"},
    }
    script = """async (row) => {
      const { troubles } = await import("/logferry/static/states.js");
      return troubles({ slice_s: 3600, airflow: { known: true } }, row).map((one) => [one.weight, one.text]);
    }"""
    found = endless.evaluate(script, row)
    assert found[0] == [8, f"emptied: the lake held 4 records, and {now} since 2026-03-02 01:02:03"]
    assert found[1] == [6, "4 d missing"]
