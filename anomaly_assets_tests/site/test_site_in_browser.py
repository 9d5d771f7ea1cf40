"""Test the site in a real browser, opened from a disk: its requests, search and width."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from PIL import Image

from anomaly_assets_tests.ui.conftest import missing

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    if reason := missing():
        if os.environ.get("UI_TESTS_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)
    from anomaly_assets_tests.ui.browser import opened

    with opened() as page:
        yield page


def test_the_search_finds_what_a_page_says(page: Page, site_folder: Path) -> None:
    page.goto((site_folder / "decisions" / "index.html").as_uri())
    page.locator("input.md-search__input").click()
    page.keyboard.type("advisory locks")
    title = "8. Several machines on one lake"
    page.locator(".md-search-result__link", has_text=title).first.click()
    page.wait_for_url("**/decisions/0008-several-machines-on-one-lake.html*")


def test_nothing_is_asked_of_another_host(page: Page, site_folder: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in site_folder.rglob("*.html"):
        page.goto(path.as_uri())
    assert len(asked) > 100
    assert {url for url in asked if not url.startswith(("file:", "data:"))} == set()


@pytest.mark.parametrize("width", [400, 1360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_its_window(
    page: Page, site_folder: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    for path in [*site_folder.glob("*.html"), *site_folder.glob("decisions/*.html")]:
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path.name


def test_the_drawing_follows_the_colours_of_the_page(page: Page, site_folder: Path) -> None:
    """Ignore the setting of the system, because the page has its own switch."""
    page.set_viewport_size({"width": 1360, "height": 900})
    page.emulate_media(color_scheme="light")
    page.goto((site_folder / "architecture.html").as_uri())
    assert brightness_of_a_box(page) > 220
    page.locator("label[title='Dark']").click()
    page.wait_for_timeout(500)
    assert brightness_of_a_box(page) < 80


def brightness_of_a_box(page: Page) -> int:
    """Return the grey value, 0 to 255, of the first box of the drawing, beside its text."""
    drawing = page.locator("img[src$='architecture.svg']").screenshot()
    with Image.open(io.BytesIO(drawing)) as image:
        grey = image.convert("L")
        value = grey.getpixel((grey.width * 330 // 820, grey.height * 30 // 800))
    assert isinstance(value, int)
    return value
