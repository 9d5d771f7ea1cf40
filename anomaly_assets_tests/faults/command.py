"""Start the real command in a separate process group, and observe its output."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

PROJECT = Path(__file__).parents[2]
MATERIALIZE = ("dagster", "asset", "materialize", "-m", "anomaly_assets.definitions", "--select")
LONGEST_RUN_SECONDS = 240.0

_EVENT = re.compile(r" - (\S+) - (STEP_START|STEP_SUCCESS|STEP_FAILURE) - ")
_EVERY_EVENT = {"console": {"config": {"log_level": "DEBUG"}}}
_POLL_SECONDS = 0.004
_running: set[Command] = set()


class Fault(AssertionError):
    """A forbidden result; `output` is the end of the command's output."""

    def __init__(self, why: str, output: str = "") -> None:
        super().__init__(why)
        self.output = output


class Skip(Exception):
    """A trial that cannot run here; the message gives the reason."""


def phase_of(step: str) -> str:
    """Return the phase that a step of the graph belongs to, checks included."""
    if not step:
        return "start-up"
    if step.startswith("published_database"):
        return "publishing"
    if step.startswith(("image_tensors", "rejected_images", "samples")):
        return "tensors"
    if step.startswith(("mvtec_ad", "dagm_2007", "images")):
        return "catalogue"
    return "summaries"


@dataclass(frozen=True)
class StepEvent:
    """A step that began or ended, with the time of observation."""

    seen: float
    step: str
    kind: str


class Command:
    """A running or finished command."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        printed: Path,
        folder: Path = PROJECT,
    ) -> None:
        self.printed = printed
        self.events: list[StepEvent] = []
        self.started = time.monotonic()
        self._read_bytes = 0
        # A file and not a pipe: a full pipe would block the command while the trial waits for something
        # else.
        with printed.open("wb") as output:
            self.process = subprocess.Popen(
                arguments,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _running.add(self)

    def __enter__(self) -> Command:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def tail(self, lines: int = 30) -> str:
        """Return the end of the output."""
        printed = self.output().splitlines()[-lines:]
        return "\n".join(line[:400] for line in printed)

    def output(self) -> str:
        """Return the whole output."""
        return self.printed.read_text("utf-8", "replace")

    def look(self) -> None:
        """Read the output since the last call."""
        with self.printed.open("rb") as file:
            file.seek(self._read_bytes)
            fresh = file.read()
        complete = fresh.rpartition(b"\n")[0]
        self._read_bytes += len(complete)
        now = time.monotonic()
        for step, kind in _EVENT.findall(complete.decode("utf-8", "replace")):
            self.events.append(StepEvent(now, step, kind))

    def step(self) -> str:
        """Return the step that began last; empty before the first."""
        self.look()
        begun = [event.step for event in self.events if event.kind == "STEP_START"]
        return begun[-1] if begun else ""

    def wait_for(self, step: str, seconds: float = 0.0) -> bool:
        """Wait until so long after a step began; return False if the command ended before."""
        deadline = time.monotonic() + LONGEST_RUN_SECONDS
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            self.look()
            begun = [event for event in self.events if event.step == step]
            if begun and time.monotonic() >= begun[0].seen + seconds:
                return True
            if ended:
                return False
            time.sleep(_POLL_SECONDS)
        raise Fault(f"{step} did not begin within {LONGEST_RUN_SECONDS:.0f} s", self.tail())

    def watch(self) -> int:
        """Record every step until the command ends, and return its exit code."""
        self.wait_for("no step has this name")
        return self.end()

    def end(self, seconds: float = LONGEST_RUN_SECONDS) -> int:
        """Wait for the end, and return the exit code."""
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Fault(f"did not end within {seconds:.0f} s", self.tail()) from None
        _running.discard(self)
        self.look()
        return code

    def succeed(self) -> None:
        """Wait for the end; the exit code must be 0."""
        code = self.end()
        if code != 0:
            raise Fault(f"a run that should succeed exited with {code}", self.tail(60))

    def kill(self) -> bool:
        """Send SIGKILL to the whole process group; return False if it had ended."""
        _running.discard(self)
        if self.process.poll() is not None:
            return False
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return True

    @property
    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started


def end_all() -> None:
    """Kill every command that still runs."""
    for command in [*_running]:
        command.kill()


@dataclass
class Workspace:
    """The folder of one installation: Dagster home, warehouse, published database.

    Attributes:
        folder: The folder.
        roots: Environment variable to the root that it names.
        image_size: Side of the tensors in pixels.
        wrapper: Command line that starts the command, for instance with fewer rights.
        variables: Further environment variables.
        target: The published database, where it is not in the folder.
        project: The checkout whose code runs.
        config: Run config of its runs, where they are given none.
    """

    folder: Path
    roots: Mapping[str, str]
    image_size: int
    wrapper: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    target: Path | None = None
    project: Path = PROJECT
    config: Mapping[str, Any] | None = None
    _runs: int = 0
    _naming: threading.Lock = field(default_factory=threading.Lock)

    @property
    def data(self) -> Path:
        """Return the folder of both databases."""
        return self.folder / "data"

    @property
    def warehouse(self) -> Path:
        """Return the working database."""
        return self.data / "warehouse.duckdb"

    @property
    def database(self) -> Path:
        """Return the published database."""
        return self.target or self.data / "anomaly.duckdb"

    def make(self, home: Path | None = None, state: Path | None = None) -> Workspace:
        """Create the folder, with copies of a Dagster home and of two databases if given."""
        for name in ("data", "tmp", "printed"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        if home:
            shutil.copytree(home, self.folder / "dagster_home")
        else:
            (self.folder / "dagster_home").mkdir()
            shutil.copy(PROJECT / "dagster.yaml", self.folder / "dagster_home")
        if state:
            for name in (self.warehouse.name, self.database.name):
                shutil.copyfile(state / name, self.data / name)
        return self

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of a run, without settings of the shell."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ANOMALY_", "DAGSTER_")) and not name.endswith("_ROOT")
        }
        return {
            **inherited,
            **self.roots,
            "ANOMALY_WAREHOUSE": str(self.warehouse),
            "ANOMALY_DATABASE": str(self.database),
            "ANOMALY_IMAGE_SIZE": str(self.image_size),
            "ANOMALY_WORKERS": "1",
            "ANOMALY_LOCK_WAIT_SECONDS": "200",
            "DAGSTER_HOME": str(self.folder / "dagster_home"),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            "TMPDIR": str(self.folder / "tmp"),
            **self.variables,
            **variables,
        }

    def start(
        self, select: str = "*", config: Mapping[str, Any] | None = None, **variables: str
    ) -> Command:
        """Start `dagster asset materialize`, logging every event, with a run config where one is given."""
        given = {**(config or self.config or {}), "loggers": _EVERY_EVENT}
        configured = ("--config-json", json.dumps(given))
        return self.module(*MATERIALIZE, select, *configured, **variables)

    def module(self, *arguments: str, **variables: str) -> Command:
        """Start `python -m` with a module and its arguments."""
        with self._naming:
            self._runs += 1
            printed = self.folder / "printed" / f"{self._runs}.txt"
        started = (*self.wrapper, sys.executable, "-m", *arguments)
        return Command(started, self.environment(**variables), printed, self.project)

    def run(
        self, select: str = "*", config: Mapping[str, Any] | None = None, **variables: str
    ) -> Command:
        """Run the command; the exit code must be 0."""
        with self.start(select, config, **variables) as command:
            command.succeed()
        return command


def require_module(name: str) -> None:
    """Skip if an optional package is missing."""
    if importlib.util.find_spec(name) is None:
        raise Skip(f"the package {name} is not installed")
