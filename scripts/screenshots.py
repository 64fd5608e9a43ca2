"""Take the pictures of docs/images that show the page and a run: ``make screenshots``.

Makes a month of archives from the sandbox APIs, starts PostgreSQL and Airflow, and photographs what Chromium shows,
in both of Airflow's themes. Takes about three minutes and leaves nothing running.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import FrameLocator, Locator, Page, expect
from tests.integration.browser import Theme, Visitor, chromium
from tests.integration.page_airflow import COMPONENTS, PageAirflow, until
from tests.integration.page_lake import SHOP, MadeLake

from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, Window, format_instant
from logferry_sandbox.datadog_sandbox import DatadogSandbox

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
THEMES: tuple[Theme, ...] = ("light", "dark")
DAYS = 30
QUIET = {"checkout_errors": "service:web-store status:error", "payments": "service:payments"}
_COLOURS = 256


class PictureLake(MadeLake):
    """A month of the shop with one of every state, beside exports of which there is nothing to report."""

    def __init__(self, folder: Path, sandbox: DatadogSandbox) -> None:
        super().__init__(folder, sandbox, days=DAYS)
        self.lake = folder / "logs-archive"
        self.define_shop()
        for name, query in QUIET.items():
            self.define(name, query=query)

    def prepare(self) -> None:
        with self.preparing():
            self.carry_shop()
            for name in QUIET:
                spec = self.spec(name)
                for window in spec.schedule_windows(Window(spec.start, self.places.today)):
                    self.carry(spec, window, after=TICK_PER_DAY)


class Photographer:
    """Looks at Airflow as the administrator and keeps what is seen."""

    def __init__(self, visitor: Visitor, lake: PictureLake, run_id: str) -> None:
        self._visitor = visitor
        self._lake = lake
        self._run_id = run_id

    def take_all(self) -> None:
        subjects: dict[str, tuple[int, Callable[[Page], None]]] = {
            "overview": (620, self._overview),
            "export": (860, self._export),
            "window": (860, self._window),
            "fill": (760, self._fill),
            "run-in-airflow": (620, self._run),
        }
        for theme in THEMES:
            for name, (height, show) in subjects.items():
                page = self._visitor.page(theme=theme, height=height)
                show(page)
                save(page, IMAGES / f"{name}-{theme}.png")
                self._visitor.close()

    def _overview(self, page: Page) -> None:
        shown = self._open(page, "#/")
        for name in (SHOP, *QUIET):
            expect(shown.get_by_test_id(f"row-{name}").get_by_test_id("status")).to_be_visible()

    def _export(self, page: Page) -> None:
        shown = self._open(page, self._fortnight())
        # By the keyboard: the pointer would make the page scroll to what it points at.
        cell(shown, self._lake.places.short).evaluate("(cell) => cell.focus({preventScroll: true})")
        expect(shown.get_by_test_id("slice-panel")).to_contain_text("too few")
        settled(shown)

    def _window(self, page: Page) -> None:
        seq = self._lake.seq_of(self._lake.places.late)
        shown = self._open(page, f"#/export/{SHOP}/record/{seq}")
        expect(shown.locator("main")).to_contain_text("scheduled__")
        settled(shown)

    def _fill(self, page: Page) -> None:
        places = self._lake.places
        shown = self._open(page, self._fortnight())
        cell(shown, places.gap).click()
        whole = Window(places.gap.start, places.hole.end)
        last = Window(whole.end - TICK_PER_HOUR, whole.end)
        cell(shown, last).click(modifiers=["Shift"])
        shown.get_by_role("button", name="Fill gaps").first.click()
        expect(shown.get_by_test_id("fill-action").first).to_be_visible()

    def _run(self, page: Page) -> None:
        page.goto(f"{self._visitor.url}/dags/export_{SHOP}/runs/{self._run_id}")
        expect(page.get_by_role("link", name="publish").first).to_be_visible()
        page.wait_for_load_state("networkidle")

    def _fortnight(self) -> str:
        today = self._lake.places.today
        span = (today - 13 * TICK_PER_DAY, today + TICK_PER_DAY)
        begin, end = map(format_instant, span)
        return f"#/export/{SHOP}?from={begin}&to={end}"

    def _open(self, page: Page, hash_: str) -> FrameLocator:
        page.goto(f"{self._visitor.url}/plugin/logferry{hash_}")
        return page.frame_locator("iframe")


def cell(shown: FrameLocator, slice_: Window) -> Locator:
    return shown.locator(f'[role="gridcell"][data-from="{format_instant(slice_.start)}"]')


def settled(shown: FrameLocator) -> None:
    expect(shown.locator(".skeleton")).to_have_count(0)


def save(page: Page, path: Path) -> None:
    """As a picture of few colours: a quarter of the bytes, and no difference to the eye."""
    picture = Image.open(BytesIO(page.screenshot(animations="disabled", caret="hide"))).convert("RGB")
    picture.quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(IMAGES.parents[1])}  {path.stat().st_size / 1000:.0f} kB")


@contextmanager
def pictures_folder() -> Iterator[Path]:
    """A new folder for the time of the pictures, always under the same name: the lake's address is in them."""
    folder = Path(tempfile.gettempdir(), "logferry-pictures")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def main() -> None:
    with (
        pictures_folder() as folder,
        DatadogSandbox(events_per_day=6_000, burst=100) as datadog,
    ):
        lake = PictureLake(folder, datadog)
        with (
            PageAirflow(
                folder / "airflow",
                lake.variables(),
                components=(*COMPONENTS, "triggerer"),
                meanwhile=lake.prepare,
            ) as airflow,
            chromium() as browser,
        ):
            airflow.unpause(*(f"export_{name}" for name in (SHOP, *QUIET)))
            run_id = until(lambda: finished_run(airflow), "a run of the shop", 120)
            Photographer(Visitor(browser, airflow.url, "admin"), lake, run_id).take_all()


def finished_run(airflow: PageAirflow) -> str | None:
    runs = airflow.api("admin").get(f"/dags/export_{SHOP}/dagRuns?state=success")["dag_runs"]
    return runs[0]["dag_run_id"] if runs else None


if __name__ == "__main__":
    main()
