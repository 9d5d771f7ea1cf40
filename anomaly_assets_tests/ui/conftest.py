"""Start one server and one browser for all tests, and take their pictures.

Without Chromium or Playwright these tests are skipped, unless `UI_TESTS_REQUIRED` is set, as in
continuous integration.
"""

import os
import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from anomaly_assets_tests.ui.server import PROJECT_ROOT, running

if TYPE_CHECKING:
    from anomaly_assets_tests.ui.pages import Ui

PICTURES = PROJECT_ROOT / "data" / "ui_screenshots"
MASKLESS = ("bolt/ground_truth/scratch/000_mask.png", "bolt/ground_truth/scratch/002_mask.png")


def missing() -> str | None:
    """Return the missing requirement of these tests; None if there is none."""
    try:
        from anomaly_assets_tests.ui.browser import chromium
    except ImportError:
        return "the package playwright is not installed"
    return None if chromium() else "there is no chromium: make test-ui installs it on Debian"


@pytest.fixture(scope="package")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Ui"]:
    """Run the UI on copies of the sample roots, in which two anomalous images have no mask.

    Its scope is not the whole session, because the tests of the site open another browser after these.
    """
    if reason := missing():
        if os.environ.get("UI_TESTS_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)
    from anomaly_assets_tests.ui.browser import opened
    from anomaly_assets_tests.ui.pages import Ui

    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    with running(tmp_path_factory.mktemp("ui") / "server") as server:
        for path in MASKLESS:
            (server.mvtec_ad / path).unlink()
        with opened() as page:
            yield Ui(server, page)
        shutil.copyfile(server.folder / "server.log", PICTURES / "server.log")


@pytest.fixture(autouse=True)
def picture(request: pytest.FixtureRequest, ui: "Ui") -> Iterator[None]:
    """Save a picture of the page when a test ends, whether it passed or not."""
    yield
    name = re.sub(r"\W+", "_", request.node.name)
    ui.page.screenshot(path=PICTURES / f"{name}.png")
