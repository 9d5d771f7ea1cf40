"""Take screenshots for the README: `make screenshots`.

They show the real UI on the sample data. Two masks are removed so that a check fails, and one image is
copied many times so that the run takes long enough for a picture.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect

from anomaly_assets_tests.ui.browser import opened
from anomaly_assets_tests.ui.conftest import MASKLESS
from anomaly_assets_tests.ui.pages import GROUPS, SHOW, Ui
from anomaly_assets_tests.ui.server import PROJECT_ROOT, running

OUT = PROJECT_ROOT / "docs" / "screenshots"
MOST_BYTES = 200_000
_COPIES = 6000


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write to")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="anomaly_assets-") as folder,
        running(Path(folder, "server")) as server,
    ):
        for path in MASKLESS:
            (server.mvtec_ad / path).unlink()
        with opened() as page:
            ui = Ui(server, page)
            _take_finished(ui, out)
            _take_progress(ui, out)
            _take_automation(ui, out)
    return 0


def _take_finished(ui: Ui, out: Path) -> None:
    ui.graph()
    ui.materialize_all()
    ui.run_succeeds()
    ui.graph(*GROUPS)
    ui.page.wait_for_timeout(2000)  # the graph moves to its place
    _take(ui, out, "graph")
    ui.reload_definitions()
    ui.asset("contact_sheets")
    expect(ui.page.get_by_alt_text("MVTec AD: every defect type")).to_be_visible()
    _take(ui, out, "preview")
    ui.asset("published_database")
    ui.dialog_picture(ui.metadata("failed_checks").get_by_text(SHOW))
    _take(ui, out, "quality")
    ui.asset("image_tensors")
    ui.metadata("rows_added").scroll_into_view_if_needed()
    ui.page.mouse.move(600, 500)
    ui.page.mouse.wheel(0, 400)
    ui.page.wait_for_timeout(500)
    _take(ui, out, "materialization")
    ui.asset("defect_summary")
    ui.dialog_picture(ui.metadata("chart").get_by_text(SHOW))
    _take(ui, out, "chart")
    ui.check("samples", "anomalous_images_have_masks")
    _take(ui, out, "check", height=730)
    ui.dialog_picture(ui.page.get_by_text(SHOW))
    _take(ui, out, "check_pictures")


def _take_progress(ui: Ui, out: Path) -> None:
    """Take a picture of a run in the middle of decoding."""
    folder = ui.server.mvtec_ad / "woven" / "train" / "good"
    for number in range(_COPIES):
        shutil.copyfile(folder / f"{number % 8:03}.png", folder / f"{100 + number}.png")
    ui.graph()
    ui.materialize_all()
    ui.page.get_by_placeholder("Filter…").fill("left")
    expect(ui.page.get_by_text(" s left").nth(2)).to_be_visible(timeout=120_000)
    expect(ui.page.get_by_text("Launched run")).to_have_count(0)
    _take(ui, out, "progress", height=560)
    ui.run_succeeds()


def _take_automation(ui: Ui, out: Path) -> None:
    """Take the last picture, because a sensor that is on would react to the other ones."""
    ui.switch("scheduled_refresh")
    ui.switch("mvtec_ad_files_changed")
    ui.is_on("scheduled_refresh")
    _take(ui, out, "schedule", height=360)


def _take(ui: Ui, out: Path, name: str, height: int | None = None) -> None:
    """Write a picture of the page, down to a height, as a PNG of at most `MOST_BYTES`."""
    ui.page.wait_for_timeout(500)
    shown = Image.open(io.BytesIO(ui.page.screenshot())).convert("RGB")
    shown = shown.crop((0, 0, shown.width, height or shown.height))
    for colours in (None, 256, 128, 64):
        content = io.BytesIO()
        reduced = shown.quantize(colours, kmeans=2, dither=Image.Dither.NONE) if colours else shown
        reduced.save(content, "PNG", optimize=True)
        if content.tell() <= MOST_BYTES:
            break
    (out / f"{name}.png").write_bytes(content.getvalue())
    print(f"{name}.png: {content.tell():,} bytes, {colours or 'all'} colours")


if __name__ == "__main__":
    sys.exit(main())
