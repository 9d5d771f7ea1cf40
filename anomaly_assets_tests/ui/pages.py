"""Open pages of the UI, and wait for them like a person would."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

from anomaly_assets_tests.ui.browser import LARGE_WINDOW, WINDOW
from anomaly_assets_tests.ui.server import Server

GROUPS = ("mvtec_ad", "dagm_2007", "harmonised", "summaries", "published", "curation", "evaluation")
SHOW = "[Show Markdown]"
_RUN_MILLISECONDS = 90_000
_STEPS_OF_ZOOM = 30  # from the smallest size to the largest
_SCHEDULES = ("scheduled_refresh", "scheduled_evaluation")
_AUTOMATIONS = (*_SCHEDULES, "mvtec_ad_files_changed", "dagm_2007_files_changed")
_OPENING_MILLISECONDS = 500  # in which a dialog grows to its size


@dataclass(frozen=True)
class Ui:
    """The UI of one server in one page of a browser."""

    server: Server
    page: Page

    def go(self, path: str) -> None:
        self.page.goto(self.server.url + path)

    def graph(self, *expanded: str) -> None:
        """Show the graph of all assets, fitted into the window, with some groups unfolded."""
        groups = ",".join(f"global@global:{group}" for group in expanded)
        self.go(f"/asset-groups?expanded={quote(groups)}")
        expect(self.page.get_by_role("button", name="Materialize all")).to_be_visible()
        expect(self.node("published")).to_be_visible()

    def node(self, name: str) -> Locator:
        """Return the box of an asset or a group in the graph."""
        return self.page.locator("foreignObject", has_text=name).first

    @contextmanager
    def large_graph(self, *expanded: str) -> Iterator[None]:
        """Show the graph in a larger window without side bars, with room for details."""
        self.page.set_viewport_size(LARGE_WINDOW)
        self.graph(*expanded)
        if self.page.get_by_text("Hide navigation").is_visible():
            self.page.get_by_text("Hide navigation").click()
        self.page.locator('button:has([aria-label="panel_show_right"])').last.click()
        self.page.mouse.dblclick(120, LARGE_WINDOW["height"] - 40)  # fits the graph into the window
        self.page.wait_for_timeout(_OPENING_MILLISECONDS)
        yield
        self.page.set_viewport_size(WINDOW)

    def reload_definitions(self) -> None:
        """Load the definitions again, with the descriptions as they are now."""
        self.graph()
        self.page.get_by_role("button", name="Reload definitions").click()
        expect(self.page.get_by_text("Definitions reloaded").first).to_be_visible()

    def zoom_to_details(self) -> None:
        """Zoom into the graph until the boxes of assets show their details."""
        for _ in range(_STEPS_OF_ZOOM):
            if self.page.locator("foreignObject", has_text="Asset checks").first.is_visible():
                return
            self.page.get_by_role("button", name="zoom_in").click()

    def materialize_all(self) -> None:
        """Press the button, and go to the run that it starts."""
        self.page.get_by_role("button", name="Materialize all").click()
        expect(self.page.get_by_text("Launched run")).to_be_visible()
        self.page.get_by_text("View", exact=True).click()
        self.page.wait_for_url(re.compile("/runs/"))
        self.page.mouse.move(0, 0)  # the message disappears when the mouse is elsewhere

    def run_succeeds(self) -> None:
        """Wait on the page of a run for its end."""
        ended = self.page.get_by_text(re.compile("^(Success|Failure)$")).first
        expect(ended).to_be_visible(timeout=_RUN_MILLISECONDS)
        expect(ended).to_have_text("Success")

    def logged(self, word: str, text: str) -> Locator:
        """Return the lines of the run's log that hold a text, among those that hold a word."""
        self.page.get_by_placeholder("Filter…").fill(word)
        return self.page.get_by_text(text)

    def asset(self, key: str) -> None:
        """Open the overview of an asset that was materialized."""
        self.go(f"/assets/{key}")
        expect(self.page.get_by_text("Latest materialization", exact=True)).to_be_visible()
        expect(self.page.get_by_placeholder("Filter metadata keys")).to_be_visible()

    def metadata(self, name: str) -> Locator:
        """Return the value of one piece of metadata on the overview of an asset."""
        label = self.page.locator("td:first-child").get_by_text(name, exact=True)
        return self.page.locator("tr").filter(has=label).first.locator("> td").last

    def check(self, asset: str, name: str) -> None:
        """Open the page of a check that was executed."""
        self.go(f"/assets/{asset}?view=checks&checkDetail={name}")
        expect(self.page.get_by_text("Evaluation result")).to_be_visible()

    def dialog_picture(self, shown_by: Locator) -> Locator:
        """Return the picture in the dialog that a link opens."""
        shown_by.click()
        picture = self.page.get_by_role("dialog").locator("img")
        expect(picture).to_be_visible()
        self.page.wait_for_timeout(_OPENING_MILLISECONDS)
        return picture

    def automation(self, name: str) -> Locator:
        """Return the switch of a schedule or a sensor, on the page of all of them."""
        switch = self.page.locator("[class*=formatSwitch]")
        expect(switch).to_have_count(len(_AUTOMATIONS))  # each is a spinner at first
        row = self.page.locator("div").filter(has_text=name).filter(has=switch)
        for other in set(_AUTOMATIONS) - {name}:  # while a row is rebuilt, only the whole table
            row = row.filter(has_not_text=other)  # has a switch and this name
        return row.last.locator(switch)

    def switch(self, name: str) -> None:
        """Switch a schedule or a sensor on or off."""
        self.go("/automation")
        switch = self.automation(name)
        self.page.wait_for_load_state("networkidle")  # rows are rebuilt when their state arrives
        before = switch.locator("input").is_checked()
        switch.click()
        expect(switch.locator("input")).to_be_checked(checked=not before)

    def is_on(self, name: str, wanted: bool = True) -> None:
        """Expect a schedule or a sensor to be switched on, or off, on a reloaded page."""
        self.go("/automation")
        expect(self.automation(name).locator("input")).to_be_checked(checked=wanted)
