"""Test the UI as people use it, in the order of use: later tests need earlier ones."""

import re
import shutil

import pytest

pytest.importorskip("playwright", reason="the package playwright is not installed")

from playwright.sync_api import expect

from anomaly_assets_tests.ui.browser import WINDOW
from anomaly_assets_tests.ui.pages import GROUPS, SHOW, Ui

pytestmark = pytest.mark.browser


def test_the_graph_reads_from_left_to_right_as_one_story(ui: Ui) -> None:
    ui.graph()
    boxes = {group: ui.node(group).bounding_box() for group in GROUPS}
    left = {group: box["x"] for group, box in boxes.items() if box}
    assert left["mvtec_ad"] == left["dagm_2007"]
    assert left["mvtec_ad"] < left["harmonised"] < left["summaries"] < left["published"]


@pytest.mark.parametrize("width", [1440, 1920])
def test_the_expanded_graph_fits_the_screen(ui: Ui, width: int) -> None:
    ui.page.set_viewport_size({"width": width, "height": width * 5 // 8})
    ui.graph(*GROUPS)
    names = (
        "stray_files",
        "corrections",
        "splits",
        "dataset_summary",
        "published_database",
        "score_sheets",
    )
    for name in names:
        box = ui.node(name).bounding_box()
        assert box
        assert box["y"] > 100
        assert box["x"] + box["width"] < width
        assert box["y"] + box["height"] < width * 5 // 8
    ui.page.set_viewport_size(WINDOW)


def test_everything_is_materialized_from_the_button(ui: Ui) -> None:
    ui.graph()
    ui.materialize_all()
    ui.run_succeeds()


def test_a_run_with_failed_checks_leads_in_two_clicks_to_the_first_affected_image(ui: Ui) -> None:
    ui.go("/runs")
    expect(ui.page.get_by_text("checks: 3 failed")).to_be_visible()
    ui.page.get_by_role("link", name="View", exact=True).first.click()
    expect(ui.page.get_by_text("Failed checks in this run: 3.")).to_be_visible()
    # In a run of all assets, the row is above those of the evaluation: scroll to it, or write its name.
    ui.page.get_by_placeholder("Filter…").fill("published_database")
    ui.page.get_by_role("link", name="published_database").last.click()  # first click from the run
    shown = ui.page.get_by_text(SHOW).first
    picture = ui.dialog_picture(shown)  # second click
    assert picture.evaluate("e => e.naturalWidth") == 160
    dialog = ui.page.get_by_role("dialog")
    expect(dialog.get_by_text("mvtec_ad/bolt/test/scratch/000.png")).to_be_visible()
    expect(dialog.get_by_role("link", name="labels_are_known")).to_be_visible()


def test_the_start_page_leads_in_two_clicks_to_an_outlined_defect(ui: Ui) -> None:
    ui.reload_definitions()
    ui.go("/")
    ui.page.get_by_role("link", name="Catalog").click()
    ui.page.get_by_role("link", name="contact_sheets").first.click()
    picture = ui.page.get_by_alt_text("MVTec AD: every defect type")
    expect(picture).to_be_visible()
    box = picture.bounding_box()
    assert box
    assert box["y"] + 100 < 900


def test_the_run_says_how_far_the_decoding_was(ui: Ui) -> None:
    ui.go("/runs")
    ui.page.get_by_role("link", name="View", exact=True).first.click()
    expect(ui.logged("62", "62 of 62 images in").first).to_be_visible()


def test_the_graph_shows_what_is_fresh_which_checks_failed_and_what_kind_it_is(ui: Ui) -> None:
    with ui.large_graph("harmonised"):
        ui.zoom_to_details()
        samples = ui.node("3 / 6 Passed")
        for text in ("samples", "Materialized", "View", "DuckDB"):
            expect(samples.get_by_text(text).first).to_be_visible()


def test_an_asset_says_what_a_row_is_how_to_query_it_and_where_its_code_is(ui: Ui) -> None:
    ui.asset("samples")
    for text in (
        "One row per usable image, with labels, tensor and mask: the table to train from.",
        "SELECT * EXCLUDE (image_tensor, mask_tensor) FROM anomaly.samples LIMIT 10;",
        "uint8, row-major height x width x channels",
        "anomaly-assets",
    ):
        expect(ui.page.get_by_text(text).first).to_be_visible()
    link = ui.page.locator("a", has_text="samples.sql")
    expect(link).to_have_attribute(
        "href", re.compile(r".*/anomaly_assets/tables/sql/samples\.sql:1$")
    )


@pytest.mark.parametrize(
    ("asset", "rows"),
    [
        ("mvtec_ad/images", 34),
        ("images", 62),
        ("image_tensors", 62),
        ("samples", 62),
        ("dataset_summary", 15),
        ("load_history", 2),
        ("published_database", 62),
    ],
)
def test_a_materialization_counts_what_it_did_in_the_same_words(
    ui: Ui, asset: str, rows: int
) -> None:
    ui.asset(asset)
    for name, number in {
        "rows_added": rows, "rows_changed": 0, "rows_removed": 0, "rows_unchanged": 0,
    }.items():  # fmt: skip
        expect(ui.metadata(name)).to_have_text(str(number))


def test_tensors_say_where_the_time_went_and_the_numbers_are_plotted(ui: Ui) -> None:
    ui.asset("image_tensors")
    for name in ("images_per_second", "decode_seconds", "wait_seconds", "write_seconds"):
        expect(ui.metadata(name)).to_have_text(re.compile(r"^\d+(\.\d+)?$"))
    ui.page.get_by_text("Plots", exact=True).click()
    expect(ui.page.get_by_text("images_per_second")).to_be_visible()
    expect(ui.page.locator("canvas").first).to_be_visible()


@pytest.mark.parametrize(
    ("asset", "name"),
    [
        ("contact_sheets", "mvtec_ad"),
        ("contact_sheets", "dagm_2007"),
        ("dataset_summary", "chart"),
        ("defect_summary", "chart"),
    ],
)
def test_a_picture_is_shown_as_large_as_it_was_drawn(ui: Ui, asset: str, name: str) -> None:
    ui.asset(asset)
    picture = ui.dialog_picture(ui.metadata(name).get_by_text(SHOW))
    shown, drawn = picture.evaluate("e => [e.getBoundingClientRect().width, e.naturalWidth]")
    assert (round(shown), drawn) == (600, 600)


def test_a_failed_check_says_what_is_wrong_what_to_do_and_shows_it(ui: Ui) -> None:
    ui.check("samples", "anomalous_images_have_masks")
    expect(
        ui.page.get_by_text(
            "2 anomalous images have no mask. Add the missing mask files, or exclude them from "
            "pixel-level evaluation."
        )
    ).to_be_visible()
    affected = ui.page.locator("table", has_text="affected").last
    for path in ("scratch/000.png", "scratch/002.png"):
        expect(affected.get_by_text(f"mvtec_ad/bolt/test/{path}")).to_be_visible()
    picture = ui.dialog_picture(ui.page.get_by_text(SHOW))
    assert picture.evaluate("e => e.naturalWidth") == 600


def test_the_schedule_is_switched_on_and_off_again(ui: Ui) -> None:
    for wanted in (True, False):
        ui.switch("scheduled_refresh")
        ui.is_on("scheduled_refresh", wanted)


def test_a_sensor_that_is_switched_on_refreshes_when_a_file_is_added(ui: Ui) -> None:
    name = "mvtec_ad_files_changed"
    ui.switch(name)
    ui.is_on(name)
    folder = ui.server.mvtec_ad / "woven" / "train" / "good"
    shutil.copyfile(ui.server.mvtec_ad / "woven/test/good/000.png", folder / "100.png")

    ui.go("/runs")
    by_hand_and_by_the_sensor = ui.page.get_by_text("Success", exact=True)
    expect(by_hand_and_by_the_sensor).to_have_count(2, timeout=90_000)
    expect(ui.page.get_by_role("link", name="refresh_mvtec_ad")).to_have_count(1)
    expect(ui.page.get_by_role("link", name=name)).to_have_count(1)
    ui.asset("samples")
    expect(ui.metadata("rows_added")).to_have_text("1")
    expect(ui.metadata("rows_unchanged")).to_have_text("62")


def test_a_copy_in_train_and_test_is_shown_side_by_side(ui: Ui) -> None:
    ui.check("duplicate_images", "contents_stay_in_one_split")
    expect(ui.page.get_by_text("1 image is in two splits. Remove one copy")).to_be_visible()
    ui.dialog_picture(ui.page.get_by_text(SHOW))


def test_nothing_went_wrong_behind_the_scenes(ui: Ui) -> None:
    assert "Traceback" not in ui.server.log
    assert "BetaWarning" not in ui.server.log
