"""A real Chromium at Airflow's pages, everything it complains of noted, and a picture of it when a test fails."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, expect, sync_playwright
from tests.integration.page_airflow import password

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_MS = 30_000
GRAVE = ("serious", "critical")

Theme = Literal["light", "dark"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's, or the one that is installed for it."""
    found = subprocess.run([PROJECT / "scripts" / "browser.sh"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # Its sandbox refuses to work for root, and a container's /dev/shm is often too small.
        browser = playwright.chromium.launch(
            executable_path=found.stdout.strip(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


class Visitor:
    """Somebody at a browser: logged in once through Airflow's form, as often as wanted at a new page.

    ``complaints``: what any of the pages wrote to the console as an error, raised, or showed as a dialog.
    """

    def __init__(self, browser: Browser, url: str, user: str | None) -> None:
        self.url = url
        self.user = user
        self.complaints: list[str] = []
        self._browser = browser
        self._cookies: Any = None
        self._contexts: list[BrowserContext] = []

    def page(
        self, *, theme: Theme = "light", width: int = 1280, height: int = 800, touch: bool = False
    ) -> Page:
        """A new page, logged in; at ``about:blank``."""
        context = self._browser.new_context(
            storage_state=self._cookies,
            color_scheme=theme,
            viewport={"width": width, "height": height},
            has_touch=touch,
            # Airflow's own choice of theme is kept in the browser.
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE_MS)
        # What Chakra UI, of which Airflow's interface is built, remembers of the theme.
        context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"raised: {error}"))
        page.on("dialog", self._on_dialog)
        if self.user is not None and self._cookies is None:
            self._log_in(page)
            self._cookies = context.storage_state()
            # Before the login, Airflow itself asks for what it may not have.
            self.complaints.clear()
        return page

    def close(self) -> None:
        """Every page of the visitor."""
        for context in self._contexts:
            context.close()
        self._contexts = []

    def pages(self) -> list[Page]:
        return [page for context in self._contexts for page in context.pages]

    def _log_in(self, page: Page) -> None:
        assert self.user is not None
        page.goto(self.url)
        page.get_by_label("Username").fill(self.user)
        page.get_by_label("Password", exact=True).fill(password(self.user))
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("link", name="Home").first).to_be_visible()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"console: {message.text} ({message.location.get('url')})")

    def _on_dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()


def grave_violations(page: Page) -> list[str]:
    """What axe-core calls serious or critical, each with the elements and the reason."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:200]} {node['failureSummary']}"
        for one in found
        if one["impact"] in GRAVE
        for node in one["nodes"]
    ]


class FailurePictures:
    """A pytest plugin: what the visitors see goes into the report of a test that fails."""

    def __init__(self, folder: Path, visitors: list[Visitor]) -> None:
        self._folder = folder
        self._visitors = visitors

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        report = yield
        if call.when == "call" and report.failed:
            for visitor in self._visitors:
                for number, page in enumerate(visitor.pages()):
                    picture = self._folder / f"{item.name}-{visitor.user}-{number}.png"
                    page.screenshot(path=picture, full_page=True)
                    shown = "\n".join(frame.locator("body").inner_text() for frame in page.frames)
                    report.sections.append((f"{page.url}, drawn in {picture}", shown[:6000]))
                if visitor.complaints:
                    report.sections.append((f"complaints of {visitor.user}", "\n".join(visitor.complaints)))
        return report
