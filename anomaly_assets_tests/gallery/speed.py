"""Measure the page in Chromium: `python -m anomaly_assets_tests.gallery.speed FOLDER [SECONDS]`.

FOLDER has a gallery. The wheel turns from the top for SECONDS, or to the end. Times of tasks are from
Chromium's trace: CPU time of the main thread, because wall time depends on what else the machine does. Both
are printed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from playwright.sync_api import Page

WHEEL = 3000
"""Pixels per second."""

FIRST_PICTURE = """
window.read = [];
document.addEventListener("load", (event) => {
  const { target } = event;
  if (target instanceof HTMLScriptElement && typeof window.pictured !== "number") read.push(target.src);
  if (target instanceof HTMLImageElement && target.naturalWidth > 1 && !window.pictured) {
    window.pictured = "soon";
    requestAnimationFrame(() => setTimeout(() => (window.pictured = performance.now())));
  }
}, true);
"""
"""Note the time of the first picture, and the scripts that were read before it."""

WATCH = """
() => {
  const grid = document.getElementById("grid");
  const line = TILE + CAPTION + GAP;
  const cells = [...document.querySelectorAll(".cell:not([hidden])")];
  const columns = new Set(cells.map((cell) => cell.style.transform.split(",")[0])).size;
  const since = new Map();
  const seen = (window.seen = { frames: 0, looks: 0, blank: 0, nodes: 0, end: false });
  const look = () => {
    const now = performance.now();
    seen.frames += 1;
    const nodes = document.getElementsByTagName("*").length;
    if (seen.frames % 20 === 1) seen.nodes = Math.max(seen.nodes, nodes);
    const drawn = new Set();
    let total = 0;
    for (const cell of document.querySelectorAll(".cell:not([hidden])")) {
      total = Number(cell.getAttribute("aria-setsize"));
      const image = cell.children[1];
      const position = Number(cell.getAttribute("aria-posinset")) - 1;
      if (image.complete && image.naturalWidth > 1) drawn.add(position);
    }
    const first = Math.max(0, Math.floor((grid.scrollTop - MARGIN) / line)) * columns;
    const last = Math.floor((grid.scrollTop - MARGIN + grid.clientHeight) / line + 1) * columns;
    for (let position = first; position < Math.min(total, last); position += 1) {
      if (!since.has(position)) since.set(position, now);
      if (now - since.get(position) <= 150) continue;
      seen.looks += 1;
      if (!drawn.has(position)) seen.blank += 1;
    }
    for (const position of since.keys()) if (position < first) since.delete(position);
    if (!seen.end) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""
"""Count the cells that are in the window for more than 150 ms and have no picture, at each frame."""

CHANGES = """
async () => {
  const times = {};
  const timed = async (name, change) => {
    const start = performance.now();
    change();
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    times[name] = Math.round(performance.now() - start);
  };
  const box = (field) => document.querySelector(`[data-field="${field}"] input`);
  const sort = document.getElementById("sort");
  const search = document.getElementById("search");
  for (const field of ["label", "category", "dataset"]) {
    await timed(`filter ${field}`, () => box(field).click());
  }
  for (const value of [...sort.options].map((option) => option.value).reverse()) {
    await timed(`sort ${value}`, () => {
      sort.value = value;
      sort.dispatchEvent(new Event("change"));
    });
  }
  for (const value of ["h", "hole", ""]) {
    await timed(`search ${value}`, () => {
      search.value = value;
      search.dispatchEvent(new Event("input"));
    });
  }
  return times;
}
"""
"""Change filters, order and search; each time is until the next frame is drawn, in ms of wall time."""


class Wheel(NamedTuple):
    """Figures of one turn of the wheel: longest tasks in ms, share of blank cells, elements."""

    pixels: int
    longest_cpu: float
    longest_wall: float
    tasks_above_50_cpu: int
    tasks_above_50_wall: int
    blank: float
    looks: int
    nodes: int


class Trace:
    """Tasks of the page's main thread, from Chromium's trace."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._client = page.context.new_cdp_session(page)
        self._events: list[dict[str, Any]] = []
        self._complete = False
        self._client.on("Tracing.dataCollected", lambda part: self._events.extend(part["value"]))
        self._client.on("Tracing.tracingComplete", lambda _: setattr(self, "_complete", True))
        config = {"includedCategories": ["toplevel"], "recordMode": "recordUntilFull"}
        self._client.send("Tracing.start", {"transferMode": "ReportEvents", "traceConfig": config})

    def tasks(self) -> list[tuple[float, float]]:
        """End the trace, and return the CPU time and the wall time of each task, ms."""
        self._client.send("Tracing.end")
        while not self._complete:
            self._page.wait_for_timeout(50)
        names = {
            (event["pid"], event["tid"]): event["args"]["name"]
            for event in self._events
            if event["name"] == "thread_name"
        }
        return [
            (event.get("tdur", 0) / 1000, event["dur"] / 1000)
            for event in self._events
            if event["ph"] == "X"
            and "RunTask" in event["name"]
            and names.get((event["pid"], event["tid"])) == "CrRendererMain"
        ]


def opened_at(page: Page, folder: Path, address: str) -> tuple[float, int]:
    """Open a view; return the ms until its first picture, and the bytes of the files read until then."""
    page.goto("about:blank")
    page.goto(f"{(folder / 'index.html').as_uri()}#{address}")
    page.wait_for_function("() => typeof window.pictured === 'number'", polling="raf")
    sizes = [(folder / path).stat().st_size for path in _below(folder, page.evaluate("read"))]
    return float(page.evaluate("window.pictured")), sum(sizes)


def _below(folder: Path, urls: list[str]) -> list[str]:
    base = folder.as_uri() + "/"
    return [url.removeprefix(base).split("#")[0] for url in urls if url.startswith(base)]


def turned(page: Page, seconds: float | None) -> Wheel:
    """Turn the wheel from the top, for some seconds or to the end."""
    page.evaluate(WATCH)
    whole = page.locator("#grid").evaluate("(grid) => grid.scrollHeight - grid.clientHeight")
    pixels = int(whole if seconds is None else min(whole, WHEEL * seconds))
    trace = Trace(page)
    client = page.context.new_cdp_session(page)
    size = page.viewport_size or {"width": 1440, "height": 900}
    gesture = {"yDistance": -pixels, "speed": WHEEL, "gestureSourceType": "mouse"}
    client.send(
        "Input.synthesizeScrollGesture",
        {"x": size["width"] / 2, "y": size["height"] / 2, **gesture},
    )
    seen = page.evaluate("(() => { seen.end = true; return seen; })()")
    tasks = trace.tasks()
    return Wheel(
        pixels,
        round(max(cpu for cpu, _ in tasks), 1),
        round(max(wall for _, wall in tasks), 1),
        sum(cpu > 50 for cpu, _ in tasks),
        sum(wall > 50 for _, wall in tasks),
        seen["blank"] / max(1, seen["looks"]),
        seen["looks"],
        seen["nodes"],
    )


def main(folder: Path, seconds: float | None) -> None:
    """Print the figures of a gallery."""
    from anomaly_assets_tests.ui.browser import opened

    for width, height in ((1440, 900), (1920, 1080)):
        for address in ("", "sort=-score"):
            with opened() as page:
                page.set_viewport_size({"width": width, "height": height})
                page.add_init_script(FIRST_PICTURE)
                first, size = opened_at(page, folder, address)
                page.wait_for_timeout(3000)
                read = f"first picture {first:.0f} ms, {size / 1e6:.2f} MB"
                print(f"{width} px, {address or 'unsorted'}: {read}")
                print("  ", turned(page, seconds), flush=True)
    with opened() as page:
        page.add_init_script(FIRST_PICTURE)
        opened_at(page, folder, "")
        page.wait_for_timeout(3000)
        trace = Trace(page)
        print("changes, ms:", page.evaluate(CHANGES))
        longest = sorted((round(cpu) for cpu, _ in trace.tasks()), reverse=True)
        print("longest tasks of changes, CPU ms:", longest[:5])


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else None)
