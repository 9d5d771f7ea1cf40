"""Serve files over HTTP, and then answer 503, or not at all."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from anomaly_assets_tests.faults.command import Command, require_module
from anomaly_assets_tests.faults.content import OF_THE_STORE, healed
from anomaly_assets_tests.faults.outages import must_fail
from anomaly_assets_tests.faults.scene import ROOT_VARIABLES, Scenario, Scene, discard
from anomaly_assets_tests.faults.trials import Facts, Trial

STORE_TIMEOUT_SECONDS = "2"
_SAID = {
    "503": r"503|does not answer|Service Unavailable",
    "stall": r"[Tt]imed? ?out|Timeout|does not answer",
}


def trials(scene: Scene, scenarios: dict[str, Scenario], quick: bool) -> Iterator[Trial]:
    """Yield trials in which the store fails after the listing, before it, or for a moment."""
    for mode in ["503"] if quick else ["503", "stall"]:
        run = partial(_store_goes_down, scene, scenarios["first load"], mode, "images")
        yield Trial("store", f"{mode} after the listing", run)
        if not quick:
            run = partial(_store_goes_down, scene, scenarios["first load"], mode, "")
            yield Trial("store", f"{mode} from the start", run)
    if not quick:
        run = partial(_store_hiccups, scene, scenarios["first load"])
        yield Trial("store", "503 for every third request, answered when asked again", run)


class Server(ThreadingHTTPServer):
    """A server of a folder; `mode` selects its behaviour.

    Attributes:
        mode: `ok`, `503`, `stall`, or `hiccup`: 503 for each third request.
        answered: Number of requests by mode.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.mode = "ok"
        self.answered: Counter[str] = Counter()
        self.counting = threading.Lock()
        self.closing = threading.Event()

    @property
    def roots(self) -> dict[str, str]:
        """Return environment variables with the roots on this server."""
        address = f"http://127.0.0.1:{self.server_port}"
        return {variable: f"{address}/{name}/" for name, variable in ROOT_VARIABLES.items()}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hang up, because the trials provoke that."""


class _Handler(SimpleHTTPRequestHandler):
    server: Server

    def send_head(self) -> Any:
        mode = self.server.mode
        with self.server.counting:
            self.server.answered[mode] += 1
            third = self.server.answered[mode] % 3 == 0
        if mode == "503" or (mode == "hiccup" and third):
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
            return None
        if mode == "stall":
            self.server.closing.wait(600)
            return None
        return super().send_head()

    def log_message(self, format: str, *args: Any) -> None:
        """Discard the message."""


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """Run a server for the files below a folder."""
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _store_goes_down(scene: Scene, scenario: Scenario, mode: str, step: str) -> Facts:
    require_module("aiohttp")
    with served(scenario.tree) as server:
        workspace = scene.workspace_for(
            scenario, roots=server.roots, ANOMALY_STORE_TIMEOUT_SECONDS=STORE_TIMEOUT_SECONDS
        )

        def go_down(command: Command) -> None:
            if step:
                command.wait_for(step)
            server.mode = mode

        if not step:
            server.mode = mode
        facts = must_fail(workspace, _SAID[mode], go_down)
        server.mode = "ok"
        rows = healed(workspace, scenario.after_ignoring(OF_THE_STORE), OF_THE_STORE)
    discard(workspace)
    return {**facts, "requests_refused": server.answered[mode], "rows_compared": rows}


def _store_hiccups(scene: Scene, scenario: Scenario) -> Facts:
    require_module("aiohttp")
    with served(scenario.tree) as server:
        server.mode = "hiccup"
        workspace = scene.workspace_for(
            scenario, roots=server.roots, ANOMALY_STORE_TIMEOUT_SECONDS=STORE_TIMEOUT_SECONDS
        )
        rows = healed(workspace, scenario.after_ignoring(OF_THE_STORE), OF_THE_STORE)
    discard(workspace)
    return {"requests": server.answered["hiccup"], "rows_compared": rows}
