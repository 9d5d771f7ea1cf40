"""Test the page of the gallery in a real browser: opened from a disk, and from a web server."""

from __future__ import annotations

import dataclasses
import functools
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from anomaly_assets_tests.gallery.speed import FIRST_PICTURE, opened_at, turned
from anomaly_assets_tests.gallery.synthetic import LOADED, Row, write_gallery
from anomaly_assets_tests.ui.conftest import missing

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

AXE = Path(__file__).parents[2] / ".venv" / "page" / "node_modules" / "axe-core" / "axe.min.js"
IMAGES = 700
OLDER = "1f9ac4d7720b"
LONG = "of_a_long_line" * 20
HOSTILE = "<img src=x onerror=alert(1)>'\"&amp;</script><script>alert(2)</script>"


def skip(reason: str) -> None:
    if os.environ.get("UI_TESTS_REQUIRED"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a gallery, in which the names of one image are markup, and those of one are long."""
    folder = tmp_path_factory.mktemp("a gallery #1 & more")
    hostile = Row(
        image_id=f"mvtec_ad/{HOSTILE}/test/{HOSTILE}/{HOSTILE}.png",
        source_dataset="mvtec_ad",
        category=HOSTILE,
        split="test",
        label="anomalous",
        defect_type=HOSTILE,
        defect_area=0.5,
        score=0.1,
        loaded_at=LOADED,
        content="abcdef012345",
        camera=HOSTILE,
    )
    long = dataclasses.replace(
        hostile, image_id=f"mvtec_ad/{LONG}/test/{LONG}.png", category=LONG, defect_type=LONG
    )
    write_gallery(folder, IMAGES, extra=[hostile, long])
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    if reason := missing():
        skip(reason)
    from anomaly_assets_tests.ui.browser import opened

    with opened() as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """Return the page of a fresh tab; every message of an error fails the test."""
    page = browser.context.new_page()
    page.set_viewport_size({"width": 1440, "height": 900})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console", lambda message: wrong.append(message.text) if message.type == "error" else None
    )
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    yield page
    page.close()
    assert wrong == []


def show(page: Page, folder: Path, address: str = "") -> None:
    """Open a view, and wait until every tile on the screen is drawn."""
    page.goto("about:blank")
    page.goto(f"{(folder / 'index.html').as_uri()}#{address}")
    settled(page)


def settled(page: Page) -> None:
    page.wait_for_function(
        """() => {
          const cells = [...document.querySelectorAll(".cell:not([hidden])")];
          return document.getElementById("loading") === null
            && (cells.length || !document.getElementById("empty").hidden)
            && cells.every((cell) => cell.children[1].complete && cell.children[1].currentSrc);
        }"""
    )


def shown(page: Page) -> int:
    """Return the number of images that the page counts."""
    return int(page.locator("#count").inner_text().split()[0].replace(",", ""))


def box(page: Page, field: str, word: str) -> Any:
    return page.locator(f"[data-field='{field}'] label[data-word='{word}'] input")


def test_the_page_opens_from_a_disk_and_asks_nothing_of_a_network(page: Page, folder: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    show(page, folder)
    page.wait_for_timeout(500)
    assert shown(page) == IMAGES
    assert [url for url in asked if not url.startswith(("file:", "data:", "about:"))] == []
    drawn = page.evaluate(
        "[...document.querySelectorAll('.cell:not([hidden]) img')].filter((i) => i.naturalWidth == 96)"
    )
    assert len(drawn) > 60


def test_it_opens_from_a_web_server(page: Page, folder: Path) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *values: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/index.html#label=anomalous")
        settled(page)
        count = shown(page)
        page.goto("about:blank")
        server.shutdown()
    assert 0 < count < IMAGES
    assert sum("/snapshot.js?" in url for url in asked) == 1


def test_filters_search_and_sort_are_in_the_address(page: Page, folder: Path) -> None:
    show(page, folder)
    box(page, "label", "anomalous").check()
    box(page, "dataset", "mvtec_ad").check()
    anomalous = shown(page)
    assert anomalous < IMAGES / 4
    counted = page.locator("[data-field='split'] label[data-word='test'] .count").inner_text()
    assert int(counted) == anomalous
    page.locator("#search").fill("hole")
    page.locator("#sort").select_option("-area")
    settled(page)
    holes = shown(page)
    assert holes < anomalous
    areas = [
        float(text.split()[0])
        for text in page.locator(".cell:not([hidden]) span:first-of-type").all_inner_texts()
    ]
    assert areas == sorted(areas, reverse=True)
    address = page.url.split("#")[1]
    assert address == "label=anomalous&dataset=mvtec_ad&search=hole&sort=-area"
    show(page, folder, address)
    assert shown(page) == holes
    page.locator(".chip", has_text="Label").click()
    assert "label=" not in page.url
    page.go_back()
    page.locator(".chip", has_text="Label").wait_for()
    assert shown(page) == holes


def test_a_range_and_a_view_filter(page: Page, folder: Path) -> None:
    show(page, folder)
    page.get_by_label("Defect area, from").fill("3")
    page.get_by_label("Defect area, from").press("Enter")
    assert "area=0.03.." in page.url
    assert 0 < shown(page) < IMAGES / 5
    page.get_by_role("link", name="Missed defects").click()
    settled(page)
    assert "rank=..0.95" in page.url
    assert page.locator(".cell:not([hidden])[data-kind='good']").count() == 0
    page.locator("#search").fill("nothing has this name")
    page.get_by_role("button", name="Clear all filters").click()
    assert shown(page) == IMAGES


def test_an_image_with_outline_heat_map_and_columns(page: Page, folder: Path) -> None:
    """Outline the defect after one click: the outline is on at the beginning."""
    show(page, folder, "label=anomalous")
    page.locator(".cell:not([hidden])").nth(1).click()
    dialog = page.locator("#detail")
    outline = dialog.locator("svg.outline path.over")
    outline.wait_for(state="visible")
    assert dialog.locator("img").evaluate("(image) => image.naturalWidth") == 256
    assert "content_sha256" in dialog.locator("#facts").inner_text()
    page.keyboard.press("o")
    outline.wait_for(state="hidden")
    assert not dialog.locator("canvas").is_visible()
    page.keyboard.press("h")
    dialog.locator("canvas").wait_for(state="visible")
    first = dialog.locator("#path").inner_text()
    page.keyboard.press("ArrowRight")
    assert dialog.locator("#path").inner_text() != first
    assert "image=" in page.url
    page.go_back()
    dialog.wait_for(state="hidden")
    page.go_forward()
    dialog.wait_for(state="visible")
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    page.wait_for_url(lambda url: "image=" not in url)


def test_an_image_that_is_not_there_shows_no_other_one(page: Page, folder: Path) -> None:
    show(page, folder, "image=dagm_2007/Class1/test/good/0001.png")
    page.locator("#detail").wait_for(state="visible")
    page.evaluate("location.hash = 'image=renamed.png'")
    page.locator("#detail").wait_for(state="hidden")


def test_every_value_of_a_long_filter_can_be_chosen(page: Page, tmp_path: Path) -> None:
    rows = [
        Row(
            image_id=f"parts/bolt/test/good/{number:03}.png",
            source_dataset="parts",
            category="bolt",
            split="test",
            label="good",
            defect_type=None,
            defect_area=None,
            score=0.1,
            loaded_at=LOADED,
            content=f"{number:012}",
            camera=f"camera {number:03}",
        )
        for number in range(200)
    ]
    write_gallery(tmp_path, 300, details=False, extra=rows)
    show(page, tmp_path, "dataset=parts")
    page.get_by_role("button", name="Show all 200").click()
    words = page.locator("[data-field='a.camera'] label").evaluate_all(
        "(labels) => labels.map((label) => label.dataset.word)"
    )
    assert sorted(words) == [row.camera for row in rows]
    box(page, "a.camera", "camera 199").check()
    settled(page)
    assert shown(page) == 1


def test_the_code_of_a_comparison_names_every_image(page: Page, folder: Path) -> None:
    """Images that the newer snapshot lacks cannot be selected."""
    show(page, folder, f"against={OLDER}&change=&change=added&change=relabelled")
    count = shown(page)
    assert count > 600
    page.locator("#code-button").click()
    assert page.locator("#code-note").inner_text() == f"{count} images by their ids."
    assert page.locator("#sql").inner_text().count(".png'") == count


def test_an_outline_fits_an_image_that_is_wider_than_high(page: Page, folder: Path) -> None:
    show(page, folder, "category=dagm_2007%2FClass10&label=anomalous")
    page.locator(".cell:not([hidden])").first.click()
    page.locator("#stage img").wait_for()
    page.wait_for_function("() => document.querySelector('#stage img').naturalHeight === 160")
    boxes = [
        page.locator(f"#stage {part}").bounding_box() for part in ("img", "svg.outline", "canvas")
    ]
    assert boxes[0] == boxes[1] == boxes[2]
    assert boxes[0] is not None
    assert boxes[0]["width"] / boxes[0]["height"] == pytest.approx(256 / 160, rel=0.01)


def test_the_keyboard_alone_opens_and_selects(page: Page, folder: Path) -> None:
    show(page, folder)
    page.keyboard.press("/")
    page.keyboard.type("class1/")
    settled(page)
    page.locator("#grid").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    page.locator(".cell[aria-selected='true']").nth(1).wait_for()
    assert page.locator(".cell[aria-selected='true']").count() == 2
    active = page.locator("#grid").get_attribute("aria-activedescendant")
    assert page.locator(f"#{active}").get_attribute("aria-selected") == "true"
    page.keyboard.press("Control+a")
    assert f"{shown(page)} selected" in page.locator("#chips").inner_text()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.locator("#detail").wait_for(state="visible")
    page.keyboard.press("Enter")
    total = shown(page)
    assert page.locator("#place").inner_text() == f"{total} of {total}"


def test_what_is_selected_is_exported(page: Page, folder: Path) -> None:
    show(page, folder, "label=anomalous&search=bottle")
    for number in (0, 2):
        page.locator(".cell:not([hidden])").nth(number).click(modifiers=["Control"])
    ids = [page.locator(".cell").nth(number).get_attribute("aria-label") or "" for number in (0, 2)]
    ids = [label.split(", ")[0] for label in ids]
    page.locator("#code-button").click()
    assert f"image_id IN ('{ids[0]}', '{ids[1]}')" in page.locator("#sql").inner_text()
    page.locator("#copy-python").click()
    page.locator("#copy-python", has_text="Copied").wait_for()
    page.keyboard.press("Escape")
    page.locator("#export-button").click()
    assert saved(page) == f"{ids[0]}\n{ids[1]}\n"
    page.locator("input[value='corrections']").check()
    assert page.locator("#save-lines").is_disabled()  # without a value
    page.get_by_label("Value").fill("good")
    page.get_by_label("Reason").fill("dust, no defect")
    page.locator("#line-by").fill("ada")
    header, *lines = saved(page).splitlines()
    assert header == "image_id,content_sha256,field,value,reason,by,at"
    for image_id, line in zip(ids, lines, strict=True):
        name, content, *others = line.split(",", 3)
        assert (name, len(content)) == (image_id, 64)
        assert others == ["label", 'good,"dust, no defect",ada,2026-11-29T13:10:00']


def saved(page: Page) -> str:
    with page.expect_download() as download:
        page.locator("#save-lines").click()
    return Path(download.value.path()).read_text("utf-8")


def test_two_snapshots_side_by_side(page: Page, folder: Path) -> None:
    show(page, folder)
    page.get_by_role("link", name="Changed since last snapshot").click()
    settled(page)
    page.locator("[data-field='change']").wait_for()
    assert f"against={OLDER}" in page.url
    changes = {
        word: int(
            page.locator(f"[data-field='change'] label[data-word='{word}'] .count").inner_text()
        )
        for word in ("added", "removed", "relabelled", "other content")
    }
    assert sum(changes.values()) == shown(page)
    assert all(changes.values())
    for word in ("added", "removed", "other content"):
        box(page, "change", word).uncheck()
    settled(page)
    cell = page.locator(".cell:not([hidden])").first
    assert "→" in cell.inner_text()
    assert cell.locator("img").evaluate_all(
        "(images) => images.map((image) => image.naturalWidth)"
    ) == [96, 96]
    cell.click()
    assert page.locator("#stage figure").count() == 2


def test_hostile_names_are_text(page: Page, folder: Path) -> None:
    """Fail also after an error or a message box of the page; see the fixture."""
    for address in ("search=onerror", f"search=onerror&against={OLDER}&change="):
        show(page, folder, address)
        assert shown(page) == 1
        cell = page.locator(".cell:not([hidden])").first
        if "against" not in address:
            assert cell.inner_text() == HOSTILE
        cell.click()
        page.locator("#facts dd", has_text=HOSTILE).first.wait_for()
        assert HOSTILE in page.locator("#path").inner_text()
        page.keyboard.press("Escape")
        page.locator("#code-button").click()
        page.keyboard.press("Escape")
        page.locator("#export-button").click()
        assert HOSTILE in page.locator("#lines").inner_text()
        page.keyboard.press("Escape")
    assert (
        page.evaluate(
            "document.querySelectorAll('[onerror], body script:not([src]), img[src=x]').length"
        )
        == 0
    )


STATES = {
    "grid": "",
    "filtered": "label=anomalous&area=0.01..&sort=-score",
    "compared": f"against={OLDER}",
    "empty": "search=nothing+has+this+name",
    "image": "image=dagm_2007/Class1/test/good/0001.png",
    "outlined": "label=anomalous&sort=-area&image={first}",
    "code": "label=anomalous",
    "export": "label=anomalous",
    "selected": "label=anomalous",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 420])
def test_axe_finds_nothing(
    page: Page, folder: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    if not AXE.exists():
        skip(f"there is no {AXE}: make test-ui installs it")
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    for state, address in STATES.items():
        show(page, folder, address)
        if state in ("code", "export"):
            page.locator(f"#{state}-button").click()
        if state == "selected":
            page.locator(".cell:not([hidden])").nth(1).click(modifiers=["Control"])
        if state == "export":
            page.locator("input[value='corrections']").check()
        if state == "filtered" and width == 420:
            page.locator("#drawer").click()
            page.wait_for_timeout(300)
        page.evaluate(AXE.read_text("utf-8"))
        results = page.evaluate("axe.run({ preload: false })")
        found = [
            (each["id"], [node["html"] for node in each["nodes"]]) for each in results["violations"]
        ]
        assert found == [], (state, width, scheme)


@pytest.mark.parametrize("width", [360, 768, 1440, 1920])
def test_nothing_is_wider_than_the_window(page: Page, folder: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for address in (
        "label=anomalous",
        f"against={OLDER}",
        "image=dagm_2007/Class1/test/good/0001.png",
        f"search={LONG}",
        f"search={LONG}&image=mvtec_ad/{LONG}/test/{LONG}.png",
    ):
        show(page, folder, address)
        wider = page.evaluate(
            """() => [...document.querySelectorAll("html, header, main, #grid, dialog[open]")]
              .filter((each) => each.scrollWidth > each.clientWidth + 1)
              .map((each) => each.id || each.tagName)"""
        )
        assert wider == [], address


@pytest.mark.parametrize("address", ["", "sort=-score"])
def test_the_wheel_waits_for_no_picture(page: Page, tmp_path: Path, address: str) -> None:
    """Limit the CPU time of a task, which other processes of the machine do not change."""
    write_gallery(tmp_path, 3000, details=False)
    page.add_init_script(FIRST_PICTURE)
    _, size = opened_at(page, tmp_path, address)
    assert size < 5_000_000
    settled(page)
    figures = turned(page, 5)
    assert figures.pixels == 15_000
    assert figures.looks > 500
    assert figures.nodes <= 2000
    assert figures.blank <= 0.02
    assert figures.longest_cpu <= 50


def test_a_missing_file_is_named(browser: Page, tmp_path: Path) -> None:
    write_gallery(tmp_path, 60)
    index = next((tmp_path / "data").glob("index-*.js")).parent
    for path in index.iterdir():
        path.rename(path.with_suffix(".away"))
    page = browser.context.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    page.locator(".failed", has_text="is missing").first.wait_for()
    for path in index.iterdir():
        path.rename(path.with_suffix(".js"))
    for path in [*(tmp_path / "tiles").iterdir(), *(tmp_path / "details").iterdir()]:
        path.unlink()
    page.reload()
    page.locator(".cell:not([hidden]) img.absent").first.wait_for()
    page.locator(".cell:not([hidden])").first.click()
    page.locator(".frame", has_text="no picture").wait_for()
    page.close()
