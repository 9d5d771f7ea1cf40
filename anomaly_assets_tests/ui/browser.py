"""Drive Debian's Chromium with Playwright."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

WINDOW: ViewportSize = {"width": 1440, "height": 900}
LARGE_WINDOW: ViewportSize = {"width": 1600, "height": 900}
_PATIENCE_MILLISECONDS = 30_000
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def chromium() -> str | None:
    """Return the path of the browser; None if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def opened() -> Iterator[Page]:
    """Open one page in a fresh browser."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(Path(folder, "profile")),
            executable_path=chromium(),
            headless=True,
            args=list(_ARGUMENTS),
            viewport=WINDOW,
            timezone_id="UTC",
            locale="en-GB",
        )
        context.set_default_timeout(_PATIENCE_MILLISECONDS)
        expect.set_options(timeout=_PATIENCE_MILLISECONDS)
        try:
            yield context.pages[0] if context.pages else context.new_page()
        finally:
            context.close()
