"""Test the lines that a run prints: causes without stack traces, affected files of checks, progress."""

import io
import logging
import re

import dagster as dg
import pytest
from dagster._core.execution.plan.objects import StepSuccessData
from dagster_shared.error import SerializableErrorInfo

from anomaly_assets.assets.failures import (
    FailedCheck,
    cause_of,
    failed_check_line,
    is_interrupt,
)
from anomaly_assets.assets.screen import Screen

FILES = tuple((f"bolt/{number}.png", "damaged" if number else "") for number in range(7))


def error(
    message: str, name: str, cause: SerializableErrorInfo | None = None
) -> SerializableErrorInfo:
    return SerializableErrorInfo(message, ["  File …"], name, cause)


@pytest.mark.parametrize(
    ("message", "name", "expected"),
    [
        ("anomaly_assets.roots.base.RootError: /a is gone.\n", "RootError", "/a is gone."),
        ("duckdb.IOException: disk full\n", "IOException", "IOException: disk full. Look there."),
        ("ValueError: one\n  two\n", "ValueError", "ValueError: one two. Look there."),
        ("KeyError: 'a: b'\n", "KeyError", "KeyError: 'a: b'. Look there."),
    ],
)
def test_a_cause_is_one_paragraph_without_what_dagster_wraps_it_in(
    message: str, name: str, expected: str
) -> None:
    wrapped = error(
        "dagster._core.errors.DagsterExecutionStepExecutionError: Error occurred\n",
        "DagsterExecutionStepExecutionError",
        error(message, name),
    )
    assert cause_of(wrapped, " Look there.") == expected


def test_an_interrupt_is_known_by_any_error_of_the_chain() -> None:
    stopped = error(
        "dagster.DagsterExecutionInterruptedError\n", "DagsterExecutionInterruptedError"
    )
    assert is_interrupt(stopped)
    assert is_interrupt(error("RuntimeError: query\n", "RuntimeError", stopped))
    assert not is_interrupt(error("RuntimeError: query\n", "RuntimeError"))


def test_a_failed_check_names_five_files_and_says_that_there_are_more() -> None:
    failed = FailedCheck("rejected_images", "images_are_usable", "7 are not.", FILES, 7)
    assert failed.lines() == [
        "  images_are_usable of rejected_images: 7 are not.",
        "    bolt/0.png",
        *(f"    bolt/{number}.png (damaged)" for number in range(1, 5)),
        "    … and 2 more, listed in the UI",
    ]
    line = failed_check_line(failed)
    assert line.startswith(
        "Failed check images_are_usable of rejected_images: 7 are not. First: bolt/0.png; bolt/1.png ("
    )
    assert line.count(".png") == 5
    few = FailedCheck("images", "counts", "1 is not.", FILES[:1], 1)
    assert few.lines() == ["  counts of images: 1 is not.", "    bolt/0.png"]
    assert (
        failed_check_line(few) == "Failed check counts of images: 1 is not. Affected: bolt/0.png."
    )


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(
    message: str, level: int = logging.INFO, step: str | None = "image_tensors"
) -> dg.EventLogEntry:
    return dg.EventLogEntry(
        error_info=None,
        level=level,
        user_message=message,
        run_id="run",
        timestamp=0.0,
        step_key=step,
        job_name="job",
    )


def happened(event: str, step: str = "image_tensors") -> dg.EventLogEntry:
    data = StepSuccessData(0.0) if event == "STEP_SUCCESS" else None
    return said("")._replace(
        dagster_event=dg.DagsterEvent(event, "job", step_key=step, event_specific_data=data)
    )


def test_progress_is_a_line_each_in_a_log_and_one_line_on_a_terminal() -> None:
    log, terminal = io.StringIO(), _Terminal()
    for stream in (log, terminal):
        screen = Screen(stream)
        screen(said("waiting for another run", step=None))
        screen(happened("STEP_START"))
        screen(said("10 of 100 images, 5/s, 18 s left"))
        screen(said("20 of 100 images, 5/s, 16 s left"))
        screen(said("100 of 100 images in 20 s, 5/s"))
        screen(said("a detail", logging.DEBUG))
        screen(said("Dependencies for step samples failed", logging.ERROR))
        screen(said("Failed check counts of images: 1 is not.", logging.WARNING))
        screen(said("a picture could not be drawn", logging.WARNING))
    lines = [
        "waiting for another run",
        "image_tensors: 10 of 100 images, 5/s, 18 s left",
        "image_tensors: 20 of 100 images, 5/s, 16 s left",
        "  warning: a picture could not be drawn",
    ]
    assert log.getvalue().splitlines() == lines
    shown = terminal.getvalue()
    assert shown.count("\n") == 2
    parts = [part for part in re.split(r"[\r\n]|\x1b\[K", shown) if part]
    assert parts == [lines[0], "image_tensors …", *lines[1:]]


def test_the_summary_of_a_run_of_one_step_does_not_begin_with_the_step() -> None:
    """Test a former bug: Dagster gave the key of the step to the lines that the resource logs."""
    log = io.StringIO()
    screen = Screen(log)
    screen(said("waiting for another run"))
    for event in ("STEP_START", "STEP_SUCCESS"):
        screen(happened(event))
    screen(said("dagm_2007: 83 images"))
    screen.finish()
    assert log.getvalue().splitlines() == [
        "waiting for another run",
        "image_tensors: done [0.0 s]",
        "",
        "dagm_2007: 83 images",
    ]
