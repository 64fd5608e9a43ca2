"""The coverage page as people meet it: a real browser at a real Airflow, over archives that were really exported.

One Airflow serves the module. The tests that change an archive come last, in the order of this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, Page, Route, expect
from tests.free_port import free_port
from tests.integration.browser import FailurePictures, Theme, Visitor, chromium, grave_violations
from tests.integration.page_airflow import PageAirflow
from tests.integration.page_lake import DARK, HOSTILE, MARKUP, NAMES, SHOP, PreparedLake

from logferry.records.manifest import content_hash
from logferry.window import TICK_PER_HOUR, Window, format_instant
from logferry_sandbox.datadog_sandbox import DatadogSandbox

pytestmark = [pytest.mark.airflow, pytest.mark.integration, pytest.mark.timeout(900)]

RUN_S = 300_000
"""How long Airflow may take for a few runs on a busy machine, in milliseconds."""
NARROW = 360


@dataclass
class Stage:
    """What the module's tests share."""

    airflow: PageAirflow
    lake: PreparedLake
    admin: Visitor
    viewer: Visitor
    browser: Browser

    @property
    def shop(self) -> str:
        """The hash of the shop's export view, over all that it holds."""
        begin = self.lake.places.hour(8, 0).start
        return export_view(SHOP, Window(begin, self.lake.places.today))

    @property
    def views(self) -> dict[str, str]:
        """The hash of each of the page's three views."""
        seq = self.lake.seq_of(self.lake.places.late)
        return {"overview": "#/", "export": self.shop, "record": f"#/export/{SHOP}/record/{seq}"}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("page")
    with DatadogSandbox(events_per_day=600, burst=20) as datadog:
        lake = PreparedLake(folder, datadog, dark_port=free_port())
        with (
            PageAirflow(folder / "airflow", lake.variables(), meanwhile=lake.prepare) as airflow,
            chromium() as browser,
        ):
            airflow.unpause(f"export_{SHOP}")
            admin, viewer = (Visitor(browser, airflow.url, user) for user in ("admin", "eve"))
            pictures = FailurePictures(folder, [admin, viewer])
            request.config.pluginmanager.register(pictures)
            yield Stage(airflow, lake, admin, viewer, browser)
            request.config.pluginmanager.unregister(pictures)


@pytest.fixture(autouse=True)
def no_complaints(stage: Stage) -> Iterator[None]:
    """No page may raise, open a dialog, or write an error to the console; a violated Content-Security-Policy does.

    What Chromium itself writes there when the cells of the dark lake cannot be had (503) is no complaint.
    """
    yield
    found = [*stage.admin.complaints, *stage.viewer.complaints]
    for visitor in (stage.admin, stage.viewer):
        visitor.complaints.clear()
        visitor.close()
    assert [one for one in found if not ("503" in one and f"/exports/{DARK}/" in one)] == []


def export_view(name: str, range_: Window) -> str:
    return f"#/export/{name}?from={format_instant(range_.start)}&to={format_instant(range_.end)}"


def open_view(visitor: Visitor, hash_: str, *, theme: Theme = "light", width: int = 1280) -> Page:
    """The page by itself, outside Airflow's frame."""
    page = visitor.page(theme=theme, width=width)
    page.goto(f"{visitor.url}/logferry/{hash_}")
    return page


def cell(shown: Page | FrameLocator, slice_: Window) -> Locator:
    return shown.locator(f'[role="gridcell"][data-from="{format_instant(slice_.start)}"]')


def row(shown: Page | FrameLocator, name: str) -> Locator:
    return shown.get_by_test_id(f"row-{name}")


def all_filled(page: Page | FrameLocator) -> None:
    for name in NAMES:
        expect(row(page, name).get_by_test_id("status")).to_be_visible()


def states_are(page: Page, expected: dict[str, list[Window]]) -> None:
    for state, windows in expected.items():
        for window in windows:
            for slice_ in window.slices(TICK_PER_HOUR):
                expect(cell(page, slice_)).to_have_accessible_name(re.compile(rf", {state}\b"))


def select_by_keyboard(page: Page, range_: Window) -> None:
    """From the first hour of ``range_``, which must lie within one day or be whole days, to its last."""
    cell(page, range_).focus()
    for _ in range((range_.end - range_.start) // TICK_PER_HOUR - 1):
        page.keyboard.press("Shift+ArrowRight")


def test_the_archive_is_an_entry_of_airflows_navigation(stage: Stage) -> None:
    page = stage.admin.page()
    page.goto(stage.airflow.url)
    page.get_by_role("link", name="Archive").click()
    page.wait_for_url("**/plugin/logferry**")
    shown = page.frame_locator("iframe")
    expect(shown.get_by_role("heading", name="Archive", level=1)).to_be_visible()
    all_filled(shown)


def test_a_deep_link_opens_the_export_inside_airflow_and_the_address_stays_in_step(stage: Stage) -> None:
    page = stage.admin.page()
    page.goto(f"{stage.airflow.url}/plugin/logferry{stage.shop}")
    shown = page.frame_locator("iframe")
    expect(cell(shown, stage.lake.places.short)).to_be_visible()
    shown.get_by_role("link", name="Archive").first.click()
    all_filled(shown)
    expect(page).to_have_url(re.compile(r"/plugin/logferry.*#/$"))


def test_the_overview_says_what_is_wrong_with_which_export(stage: Stage) -> None:
    page = open_view(stage.admin, "#/")
    all_filled(page)
    shop = row(page, SHOP)
    expect(shop.get_by_test_id("status")).to_contain_text("Needs attention")
    # The gap's six hours, and the hole's one.
    expect(shop).to_contain_text("7 h missing")
    expect(shop).to_contain_text("1 h short")
    expect(shop).to_contain_text("6 h interrupted")
    expect(shop).to_contain_text("service:web-store")
    expect(page.get_by_test_id("verdict")).to_contain_text("3 of 3")


def test_the_head_of_an_export_says_what_is_wrong_with_it_and_nothing_else(stage: Stage) -> None:
    page = open_view(stage.admin, stage.shop)
    verdict = page.get_by_test_id("export-status")
    expect(verdict).to_contain_text("6 h interrupted")
    expect(verdict).not_to_have_text(re.compile(r"\b0\s*$"))


def test_the_calendar_tells_the_state_of_every_slice_by_name(stage: Stage) -> None:
    page = open_view(stage.admin, stage.shop)
    places = stage.lake.places
    states_are(
        page,
        {
            "proven": [places.proven, places.late],
            "unproven": [places.hour(8, 0, 3)],
            "short": [places.short],
            "missing": [places.gap, places.hole],
            "interrupted": [places.interrupted],
        },
    )


def test_what_is_missing_from_before_the_first_run_is_told_apart_and_stays_missing(stage: Stage) -> None:
    page = open_view(stage.admin, "#/")
    all_filled(page)
    expect(row(page, HOSTILE)).to_contain_text("4 d before the first publication not exported")
    expect(row(page, HOSTILE)).to_contain_text("96 before the first publication")
    page.goto(f"{stage.admin.url}/logferry/#/export/{HOSTILE}")
    before, after = stage.lake.places.hour(5, 23), stage.lake.places.hour(1, 0)
    expect(cell(page, before)).to_have_accessible_name(re.compile(", missing, before the first publication$"))
    expect(cell(page, after)).to_have_accessible_name(re.compile(", missing$"))
    assert page.evaluate(
        "(from) => document.querySelector(`[data-from='${from}']`).classList.contains('before')",
        format_instant(before.start),
    )
    expect(page.get_by_test_id("gap").last).to_contain_text(
        "never published: from before the first publication"
    )


def test_a_slice_that_was_exported_again_tells_of_its_late_rows(stage: Stage) -> None:
    page = open_view(stage.admin, stage.shop)
    slice_, before, after = stage.lake.late_rows()
    cell(page, slice_).hover()
    panel = page.get_by_test_id("slice-panel")
    expect(panel).to_contain_text(f"{after - before} rows arrived after the first export")
    expect(panel).to_contain_text(f"{after} written, {after} at the source")
    expect(panel).to_contain_text(f"{before} row")


def test_the_keyboard_alone_reaches_a_cell_reads_it_and_selects_a_range(stage: Stage) -> None:
    page = open_view(stage.admin, stage.shop)
    places = stage.lake.places
    expect(cell(page, places.proven)).to_be_visible()
    page.keyboard.press("Tab")
    for _ in range(60):
        if page.evaluate("document.activeElement.getAttribute('role')") == "gridcell":
            break
        page.keyboard.press("Tab")
    focused = page.locator(":focus")
    expect(focused).to_have_role("gridcell")
    page.keyboard.press("Control+Home")
    expect(focused).to_have_attribute("data-from", format_instant(places.hour(8, 0).start))
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    expect(focused).to_have_attribute("data-from", format_instant(places.short.start))
    panel = page.get_by_test_id("slice-panel")
    expect(panel.get_by_test_id("slice-state")).to_have_text("short")
    expect(panel).to_contain_text("too few")
    for _ in range(2):
        page.keyboard.press("Shift+ArrowRight")
    expect(page.locator('[role="gridcell"][aria-selected="true"]')).to_have_count(3)


def test_a_window_shows_its_manifest_and_its_place_in_the_chain(stage: Stage) -> None:
    page = open_view(stage.admin, stage.views["record"])
    manifest = stage.lake.manifest(stage.lake.places.late)
    expect(page.locator("main")).to_contain_text(manifest.run.id)
    expect(page.get_by_test_id("record-slices")).to_contain_text(manifest.slices[0].file.key[:60])
    chain = page.get_by_test_id("record-chain")
    expect(chain).to_contain_text(content_hash(manifest.encode())[:20])
    expect(chain).to_contain_text(f"no. {manifest.seq - 1} ✓ agrees")
    expect(chain).to_contain_text(f"no. {manifest.seq + 1} ✓ agrees")


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/exports", f"/api/exports/{SHOP}", "/docs"])
def test_who_is_not_logged_in_gets_nothing(stage: Stage, path: str) -> None:
    answer = stage.airflow.anonymous().call("GET", f"/logferry{path}")
    assert answer.status_code == 401
    assert SHOP not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_a_viewer_sees_the_page_and_can_start_nothing(stage: Stage) -> None:
    page = open_view(stage.viewer, stage.shop)
    states_are(page, {"missing": [stage.lake.places.gap]})
    select_by_keyboard(page, stage.lake.places.gap)
    for button in (page.get_by_test_id("fill"), page.get_by_test_id("verify")):
        expect(button).to_be_disabled()
        expect(button).to_have_accessible_description(re.compile("Your Airflow role may"))

    api = stage.airflow.api("eve")
    asked = api.call("GET", f"/logferry/api/exports/{SHOP}/fill?{query(stage.lake.places.gap)}").json()
    (action,) = asked["actions"]
    assert api.call("POST", "/api/v2/backfills", action["body"]).status_code == 403
    for dag_id in (f"export_{SHOP}", "archive_verify"):
        run = {"logical_date": None, "conf": {}}
        assert api.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", run).status_code == 403


def query(window: Window) -> str:
    return f"from={format_instant(window.start)}&to={format_instant(window.end)}"


def test_markup_in_a_definition_and_in_a_manifest_is_only_text(stage: Stage) -> None:
    page = open_view(stage.admin, "#/")
    expect(row(page, HOSTILE)).to_contain_text(MARKUP)
    page.goto(f"{stage.admin.url}/logferry/#/export/{HOSTILE}/record/{stage.lake.hostile_seq()}")
    main = page.locator("main")
    expect(main).to_contain_text(MARKUP)
    # What would ring, colour the terminal or turn the line round is spelled out.
    expect(main).to_contain_text(r"bell\u0007 escape\u001b[31m")
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("document.scripts.length") == page.evaluate(
        "document.querySelectorAll('head script[src]').length"
    )


def test_a_broken_record_is_shown_as_broken_and_the_page_stays_up(stage: Stage) -> None:
    page = open_view(stage.admin, "#/")
    expect(row(page, HOSTILE)).to_contain_text("journal damaged")
    page.goto(f"{stage.admin.url}/logferry/#/export/{HOSTILE}/record/2")
    expect(page.locator("main")).to_contain_text(re.compile("broken|no record|not readable", re.IGNORECASE))
    # It is neither the first nor the last of its journal only because it says nothing of its neighbours.
    expect(page.get_by_test_id("record-chain")).not_to_contain_text("of its journal")
    page.goto(
        f"{stage.admin.url}/logferry/"
        + export_view(HOSTILE, Window(stage.lake.places.hour(5, 0).start, stage.lake.places.today))
    )
    expect(cell(page, stage.lake.places.hour(2, 5))).to_have_accessible_name(re.compile(", proven"))
    expect(page.locator("main")).to_contain_text(re.compile("record 2|damaged", re.IGNORECASE))


def test_a_lake_that_cannot_be_reached_says_since_when_and_why(stage: Stage) -> None:
    page = open_view(stage.admin, "#/")
    expect(row(page, DARK)).to_contain_text(re.compile(r"lake unreachable since \d{4}-\d\d-\d\d \d\d:\d\d"))
    expect(row(page, DARK).get_by_test_id("lake-why")).to_contain_text(
        "cannot be reached: check endpoint_url"
    )
    page.goto(f"{stage.admin.url}/logferry/#/export/{DARK}")
    expect(page.locator("main")).to_contain_text(re.compile("connect|reach", re.IGNORECASE))
    expect(page.locator("main")).to_contain_text("acme-lake")
    expect(row(open_view(stage.admin, "#/"), SHOP).get_by_test_id("status")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_is_airflows(stage: Stage, theme: Theme) -> None:
    page = stage.admin.page(theme=theme)
    page.goto(f"{stage.airflow.url}/plugin/logferry")
    shown = page.frame_locator("iframe")
    all_filled(shown)
    colour = shown.locator("h1").evaluate("(heading) => getComputedStyle(heading).color")
    brightness = sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3
    assert brightness < 60 if theme == "light" else brightness > 200, colour


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", ["overview", "export", "record"])
def test_axe_finds_no_grave_violation(stage: Stage, view: str, theme: Theme) -> None:
    page = open_view(stage.admin, stage.views[view], theme=theme)
    shown_in_full(page, view, stage)
    assert grave_violations(page) == []


@pytest.mark.parametrize("view", ["overview", "export", "record"])
def test_a_phone_scrolls_in_one_direction_only(stage: Stage, view: str) -> None:
    page = open_view(stage.admin, stage.views[view], width=NARROW)
    shown_in_full(page, view, stage)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW


def shown_in_full(page: Page, view: str, stage: Stage) -> None:
    match view:
        case "overview":
            all_filled(page)
        case "export":
            cell(page, stage.lake.places.short).hover()
            expect(page.get_by_test_id("slice-panel")).to_contain_text("too few")
        case _:
            expect(page.locator("main")).to_contain_text(stage.lake.manifest(stage.lake.places.late).run.id)
    expect(page.locator(".skeleton")).to_have_count(0)


def test_the_verdict_is_over_all_exports_however_many_pages_the_list_has(stage: Stage) -> None:
    def one_a_page(route: Route) -> None:
        answer = route.fetch().json()
        at = int(re.findall(r"offset=(\d+)", route.request.url)[0])
        page_ = {**answer, "offset": at, "next": at + 1 if at + 1 < answer["total"] else None}
        page_["exports"] = stage.airflow.api("admin").call("GET", "/logferry/api/exports").json()["exports"]
        page_["exports"] = page_["exports"][at : at + 1]
        route.fulfill(json=page_)

    page = stage.admin.page()
    page.route("**/api/exports?*", one_a_page)
    page.goto(f"{stage.admin.url}/logferry/#/")
    all_filled(page)
    expect(page.get_by_test_id("verdict")).to_contain_text("3 of 3 need attention")


def test_all_rows_come_by_one_request_and_only_those_that_changed_come_again(stage: Stage) -> None:
    page = stage.admin.page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/logferry/api/" in request.url else None)
    page.goto(f"{stage.admin.url}/logferry/#/")
    all_filled(page)
    assert sorted(url.rpartition("/api/")[2].partition("?")[0] for url in asked) == ["exports", "rows"]
    with page.expect_request("**/api/rows") as again:
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert len(re.findall('"[^"]+"', again.value.headers["if-none-match"])) == len(NAMES)
    expect(page.get_by_test_id("verdict")).to_contain_text("3 of 3")


def test_a_row_that_does_not_come_is_said_to_be_missing_and_the_others_are_shown(stage: Stage) -> None:
    def without_the_dark_one(route: Route) -> None:
        lines = route.fetch().text().splitlines()
        route.fulfill(
            content_type="application/x-ndjson",
            body="".join(f"{one}\n" for one in lines if f'"name":"{DARK}"' not in one),
        )

    page = stage.admin.page()
    page.route("**/api/rows", without_the_dark_one)
    page.goto(f"{stage.admin.url}/logferry/#/")
    expect(row(page, SHOP).get_by_test_id("status")).to_contain_text("Needs attention")
    expect(row(page, DARK).get_by_test_id("status")).to_contain_text("Unknown")
    expect(row(page, DARK)).to_contain_text("Its row did not come with the others: try again.")
    expect(row(page, DARK).get_by_role("button", name="Try again")).to_be_visible()


def test_an_export_that_can_no_longer_be_read_is_not_ok(stage: Stage) -> None:
    page = open_view(stage.admin, "#/")
    all_filled(page)
    page.route("**/api/rows", cut_off)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(row(page, SHOP)).to_contain_text("not up to date: The server's answer was cut off")
    expect(row(page, SHOP)).to_have_attribute("data-attention", "true")


def cut_off(route: Route) -> None:
    """An answer that ends in the middle; unlike an error of HTTP it is none to Chromium's console."""
    route.fulfill(status=200, content_type="application/json", body='{"name": "sh')


def test_nothing_can_be_started_from_a_preview_that_is_not_of_now(stage: Stage) -> None:
    page = open_view(stage.admin, stage.shop)
    select_by_keyboard(page, stage.lake.places.gap)
    confirm = page.get_by_test_id("fill-confirm")
    page.get_by_test_id("fill").click()
    expect(confirm).to_be_enabled()
    page.get_by_role("button", name="Cancel").click()
    page.route("**/fill?*", lambda route: None)
    page.get_by_test_id("fill").click()
    expect(confirm).to_be_disabled()
    expect(page.get_by_test_id("fill-windows")).to_have_count(0)
    page.get_by_role("button", name="Cancel").click()
    page.unroute("**/fill?*")
    page.route("**/fill?*", cut_off)
    page.get_by_test_id("fill").click()
    expect(page.get_by_test_id("fill-dialog").get_by_test_id("failure")).to_be_visible()
    expect(confirm).to_be_disabled()


def test_a_part_of_a_window_is_filled_by_the_whole_window_and_the_preview_says_so(stage: Stage) -> None:
    gap = stage.lake.places.gap
    part = Window(gap.start + TICK_PER_HOUR, gap.start + 3 * TICK_PER_HOUR)
    page = open_view(stage.admin, stage.shop)
    select_by_keyboard(page, part)
    expect(page.get_by_test_id("selection-text")).to_contain_text("2 slices, 2 gaps")
    page.get_by_test_id("fill").click()
    preview = page.get_by_role("dialog", name="Fill gaps")
    expect(preview.get_by_test_id("fill-windows")).to_have_text("1")
    expect(preview).to_contain_text(
        "A window of the schedule is always run whole, so more than the selection is exported: "
        f"{format_instant(gap.start)} to {format_instant(gap.end)}."
    )
    action = preview.get_by_test_id("fill-action")
    expect(action).to_contain_text("Airflow backfill of 1 window")
    expect(action).to_contain_text(
        f"{format_instant(gap.start)[11:16]} \u2013 {format_instant(gap.end)[11:16]}"
    )
    asked = stage.airflow.api("admin").call("GET", f"/logferry/api/exports/{SHOP}/fill?{query(part)}").json()
    assert (asked["actions"][0]["from"], asked["actions"][0]["to"]) == (
        format_instant(gap.start),
        format_instant(gap.end),
    )


def test_the_requests_chart_says_what_it_counts(stage: Stage) -> None:
    page = open_view(stage.admin, stage.shop)
    chart = page.get_by_test_id("chart-requests")
    expect(chart.get_by_role("heading")).to_have_text("Requests per day of the archive")
    expect(chart).to_contain_text("earlier publications of it are not counted")


def test_under_a_path_everything_leads_there(stage: Stage) -> None:
    """As behind a proxy that gives Airflow a path of its own: its ``[api] base_url`` has one."""
    url = stage.airflow.beside("/airflow")
    host = url.removesuffix("/airflow")
    anonymous = stage.airflow.anonymous(url).call("GET", "/logferry/")
    assert anonymous.status_code == 401
    assert 'href="/airflow/api/v2/auth/login?next=%2Fairflow%2Fplugin%2Flogferry"' in anonymous.text
    visitor = Visitor(stage.browser, url, "admin")
    try:
        page = visitor.page()
        outside: list[str] = []
        page.on("request", lambda request: request.url.startswith(f"{url}/") or outside.append(request.url))
        page.goto(f"{url}/plugin/logferry")
        shown = page.frame_locator("iframe")
        all_filled(shown)
        row(shown, SHOP).get_by_role("link", name=SHOP, exact=True).click()
        expect(shown.get_by_test_id("dag-link")).to_have_attribute("href", f"/airflow/dags/export_{SHOP}")
        slice_ = stage.lake.places.proven
        page.goto(f"{url}/logferry/{export_view(SHOP, slice_)}")
        expect(cell(page, slice_)).to_have_accessible_name(re.compile(", proven"))
        # What is started goes to Airflow's API under the path too.
        page.get_by_test_id("verify").click()
        expect(page.get_by_test_id("verify-result")).to_contain_text("Nothing found", timeout=RUN_S)
        assert [one for one in outside if one.startswith(host)] == []
        assert visitor.complaints == []
    finally:
        visitor.close()


def test_a_backfill_that_published_nothing_does_not_end_well(stage: Stage) -> None:
    page = stage.admin.page()
    page.route("**/api/v2/backfills", lambda route: route.fulfill(json={"id": 7}))
    ended = {"id": 7, "completed_at": "2026-11-22T10:00:00Z"}
    page.route("**/api/v2/backfills/7", lambda route: route.fulfill(body=json.dumps(ended)))
    page.goto(f"{stage.admin.url}/logferry/{stage.shop}")
    select_by_keyboard(page, stage.lake.places.gap)
    page.get_by_test_id("fill").click()
    page.get_by_test_id("fill-confirm").click()
    page.get_by_role("button", name="Close").click()
    job = page.get_by_test_id("fill-job")
    expect(job).to_have_attribute("data-done", "true", timeout=RUN_S)
    expect(job).to_have_class(re.compile(r"\bbad\b"))
    expect(job).to_contain_text("0 of 1 window was published: open the")


def test_a_day_is_typed_as_it_is_shown_and_a_short_range_is_selected(stage: Stage) -> None:
    page = open_view(stage.admin, stage.shop)
    day = stage.lake.places.proven.start
    text = format_instant(day)[:10]
    shown_from, shown_to = (page.get_by_test_id(f"range-{end}") for end in ("from", "to"))
    shown_from.fill("2026-02-30")
    shown_to.fill(text)
    page.get_by_role("button", name="Show", exact=True).click()
    expect(shown_from).to_have_accessible_description(re.compile('Give "from" as a day'))
    shown_from.fill(text)
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_test_id("range-context")).to_contain_text(f"The days around {text}")
    expect(page.get_by_test_id("selection")).to_have_attribute("data-from", f"{text}T00:00:00Z")
    expect(shown_from).to_have_value(text)
    expect(page.locator('[role="gridcell"][aria-selected="true"]')).to_have_count(24)


def test_a_corrupted_object_is_named_by_verify(stage: Stage) -> None:
    places = stage.lake.places
    key = stage.lake.corrupt(places.to_corrupt)
    page = open_view(stage.admin, stage.shop)
    day = places.hour(6, 8, 4)
    select_by_keyboard(page, day)
    page.get_by_test_id("verify").click()
    expect(page.get_by_test_id("verify-result")).to_contain_text("1 slice damaged", timeout=RUN_S)
    finding = page.get_by_test_id("finding")
    expect(finding).to_contain_text(key)
    states_are(page, {"damaged": [places.to_corrupt], "proven": [places.hour(6, 8, 2)]})


def test_a_gap_is_filled_by_airflows_own_backfill_and_turns_proven(stage: Stage) -> None:
    places = stage.lake.places
    page = open_view(stage.admin, stage.shop)
    states_are(page, {"missing": [places.gap]})
    select_by_keyboard(page, places.gap)
    page.get_by_test_id("fill").click()
    preview = page.get_by_role("dialog", name="Fill gaps")
    expect(preview.get_by_test_id("fill-windows")).to_have_text("1")
    expect(preview).to_contain_text(re.compile(r"requests\s*≈ \d+"))
    expect(preview.get_by_test_id("fill-action")).to_contain_text("Airflow backfill of 1 window")
    preview.get_by_role("button", name="Start 1 window").click()
    expect(preview.get_by_test_id("fill-result")).to_contain_text("Backfill 1 started")
    preview.get_by_role("button", name="Close").click()
    expect(page.get_by_test_id("fill-progress")).to_have_text("1 of 1 window published", timeout=RUN_S)
    states_are(page, {"proven": [places.gap], "missing": [places.hole]})
    backfills = stage.airflow.api("admin").get(f"/backfills?dag_id=export_{SHOP}")["backfills"]
    assert [(one["from_date"], one["reprocess_behavior"]) for one in backfills] == [
        (format_instant(places.gap.start), "completed")
    ]
    assert {stage.lake.cells()[slice_] for slice_ in places.gap.slices(TICK_PER_HOUR)} == {"proven"}
