"""Show a run on the screen: a line per step, progress of long ones, and every failed check at the end."""

import logging
import re
import shutil
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

import dagster as dg
from dagster._core.utils import coerce_valid_log_level

from anomaly_assets.assets.failures import (
    FAILED_CHECK,
    FailedCheck,
    cause_of,
    failed_check,
    is_interrupt,
)
from anomaly_assets.assets.progress import duration
from anomaly_assets.assets.reports import ROW_COUNTS

_CLEAR_LINE = "\r\x1b[K"
_LONG_SECONDS = 10
"""Seconds after which a step has a line although its tables are empty."""

_NOT_REFRESHED = " not refreshed ("  # is logged, and in the metadata that the step's line shows
_PROGRESS_END = re.compile(
    r"(?P<done>[\d,]+) of (?P=done) (?P<unit>\w+).* in [^,]*, (?P<speed>\S+)/s$"
)
"""The last line of `Progress`, which is shown as part of the step's line."""


@dataclass
class Screen:
    """Print what the events of one run mean, and keep what the end of the run needs.

    Steps that only check something are silent, because `finish` lists every failed check.

    Attributes:
        stream: Output of the screen.
        hint: What follows the cause of an unexpected failure.
        checks: The checks that failed, in order.
        causes: Why steps failed, by step.
        run_cause: Why the run failed, if no step did.
        stopped: Whether a step ended because of Ctrl-C or SIGTERM.
    """

    stream: TextIO = field(default_factory=lambda: sys.stdout)
    hint: str = ""
    checks: list[FailedCheck] = field(default_factory=list)
    causes: dict[str, str] = field(default_factory=dict)
    run_cause: str | None = None
    stopped: bool = False
    _rows: dict[str, list[str]] = field(default_factory=dict)
    _summary: list[str] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _speeds: dict[str, str] = field(default_factory=dict)
    _running: set[str] = field(default_factory=set)

    def __call__(self, entry: dg.EventLogEntry) -> None:
        """Take one event of the run; called from the thread that logs it."""
        with self._lock:
            event = entry.dagster_event
            if event is None:
                self._log(entry)
            elif handler := _HANDLERS.get(event.event_type):
                handler(self, event)

    @property
    def published(self) -> bool:
        """Return whether the published database was written or found to be up to date."""
        return "published_database" in self._rows

    def finish(self) -> None:
        """Print a line per source dataset, and every failed check with the first affected files."""
        self._clear()
        if self._summary:
            self._print("", *self._summary)
        if self.checks:
            one = len(self.checks) == 1
            title = "1 check failed:" if one else f"{len(self.checks)} checks failed:"
            self._print(title)
            for failed in self.checks:
                self._print(*failed.lines())

    def _log(self, entry: dg.EventLogEntry) -> None:
        """Show what a step or resource logs; failures and failed checks are shown from their events."""
        message, level = entry.user_message, coerce_valid_log_level(entry.level)
        if level >= logging.ERROR or message.startswith(FAILED_CHECK):
            return
        if level >= logging.WARNING:
            self._print(f"  warning: {message}")
        elif level == logging.INFO and entry.step_key not in self._running:
            # In a run of one step, Dagster adds its key to what resources log before and after it.
            self._resource_said(message)
        elif level == logging.INFO:
            self._step_said(str(entry.step_key), message)

    def _resource_said(self, message: str) -> None:
        """Show messages before the first step, such as waits; keep those at the end for `finish`."""
        if self._rows:
            self._summary.append(message)
        else:
            self._print(message)

    def _step_said(self, step: str, message: str) -> None:
        """Show progress, in place on a terminal; its last line becomes part of the line of the step."""
        if _NOT_REFRESHED in message:
            return
        if end := _PROGRESS_END.match(message):
            self._speeds[step] = f"{end['speed']} {end['unit']}/s"
        elif self._is_terminal():
            self._transient(f"{step}: {message}")
        else:
            self._print(f"{step}: {message}")

    def _started(self, event: dg.DagsterEvent) -> None:
        self._running.add(str(event.step_key))
        if self._is_terminal():
            self._transient(f"{event.step_key} …")

    def _materialized(self, event: dg.DagsterEvent) -> None:
        materialization = event.step_materialization_data.materialization
        metadata = materialization.metadata
        rows = self._rows.setdefault(str(event.step_key), [])
        if "left_out" in metadata:
            rows[:] = [str(metadata["left_out"].value)]
        elif "page" in metadata:
            rows.append(str(metadata["page"].value))
        elif words := _rows_in_words(metadata):
            rows.append(f"{materialization.asset_key.path[-1]} {words}")

    def _succeeded(self, event: dg.DagsterEvent) -> None:
        step = str(event.step_key)
        self._running.discard(step)
        self._clear()
        if _only_checks(step):
            return
        rows, seconds = self._rows.setdefault(step, []), event.step_success_data.duration_ms / 1000
        if not rows and len(self._rows) > 1 and seconds < _LONG_SECONDS:
            return  # its tables are empty, such as those of corrections without any correction
        took = duration(seconds)
        if step in self._speeds:
            took = f"{took}, {self._speeds[step]}"
        self._print(f"{_joined(step, rows)} [{took}]")

    def _checked(self, event: dg.DagsterEvent) -> None:
        evaluation = event.asset_check_evaluation_data
        if not evaluation.passed:
            self.checks.append(failed_check(evaluation))

    def _failed(self, event: dg.DagsterEvent) -> None:
        step, error = str(event.step_key), event.step_failure_data.error
        self._running.discard(step)
        self._clear()
        self.stopped |= error is not None and is_interrupt(error)
        self._print(f"{step}: {'stopped' if self.stopped else 'failed'}")
        if error is not None:
            self.causes[step] = cause_of(error, self.hint)

    def _run_failed(self, event: dg.DagsterEvent) -> None:
        error = event.job_failure_data.error
        if error is not None:
            # A signal before the first step is raised while resources are set up: no step reports it.
            self.stopped |= is_interrupt(error)
            self.run_cause = cause_of(error, self.hint)

    def _is_terminal(self) -> bool:
        return self.stream.isatty()

    def _transient(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self.stream.write(f"{_CLEAR_LINE}{text[:width]}")
        self.stream.flush()

    def _clear(self) -> None:
        if self._is_terminal():
            self.stream.write(_CLEAR_LINE)

    def _print(self, *lines: str) -> None:
        self._clear()
        for line in lines:
            print(line, file=self.stream)
        self.stream.flush()


_HANDLERS = {
    dg.DagsterEventType.STEP_START: Screen._started,
    dg.DagsterEventType.ASSET_MATERIALIZATION: Screen._materialized,
    dg.DagsterEventType.STEP_SUCCESS: Screen._succeeded,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION: Screen._checked,
    dg.DagsterEventType.STEP_FAILURE: Screen._failed,
    dg.DagsterEventType.RUN_FAILURE: Screen._run_failed,
}


def _only_checks(step: str) -> bool:
    return step.endswith(("_checks", "published_counts_equal_the_warehouse"))


def _joined(step: str, rows: list[str]) -> str:
    """Return what a step did to its tables; the name of a table is left out if it is that of the step."""
    words = ", ".join(row.removeprefix(f"{step} ") for row in rows)
    return f"{step}: {words or 'done'}"


def _rows_in_words(metadata: Mapping[str, Any]) -> str:
    """Return how many rows a table has and what changed, such as `34 rows (2 new, 1 removed)`.

    The empty string if there is no row and none was removed, or if the asset counts no rows.
    """
    numbers = [
        int(str(metadata[name].value)) if name in metadata else 0
        for name in ("dagster/row_count", *ROW_COUNTS[:3])
    ]
    if not any(numbers):
        return ""
    rows, *counts = numbers
    words = ("new", "changed", "removed")
    changes = ", ".join(f"{n:,} {word}" for n, word in zip(counts, words, strict=True) if n)
    return f"{rows:,} {'row' if rows == 1 else 'rows'} ({changes or 'unchanged'})"
