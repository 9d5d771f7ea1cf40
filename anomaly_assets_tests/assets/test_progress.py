"""Test progress messages: counts, speed and time left, at a limited rate."""

import re
import threading

import pytest

from anomaly_assets.assets.progress import Count, Progress, duration, watched


class Clock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lines_of(seconds: float, total: int) -> list[str]:
    """Return the messages while `total` images are decoded evenly in this time."""
    lines: list[str] = []
    clock = Clock()
    progress = Progress(lines.append, "images", clock=clock)
    for done in range(1, total + 1):
        clock.now = 100 + seconds * done / total
        progress(done, total)
    return lines


def test_a_short_step_says_only_that_it_is_done() -> None:
    assert lines_of(2, 62) == ["62 of 62 images in 2.0 s, 31/s"]


def test_a_longer_step_says_how_many_of_how_many_how_fast_and_how_long_yet() -> None:
    first, *_, last = lines_of(200, 20_000)
    assert first == "300 of 20,000 images, 100/s, 3 min 17 s left"
    assert last == "20,000 of 20,000 images in 3 min 20 s, 100/s"


@pytest.mark.parametrize(("seconds", "most"), [(10, 5), (300, 25), (3600, 40), (6 * 3600, 110)])
def test_neither_the_log_nor_the_terminal_is_flooded(seconds: float, most: int) -> None:
    lines = lines_of(seconds, 50_000)
    assert 3 <= len(lines) <= most


def test_a_step_whose_end_nobody_knows_says_how_far_it_is() -> None:
    lines: list[str] = []
    clock = Clock()
    progress = Progress(lines.append, "files listed", clock=clock)
    for done, now in ((0, 101.0), (0, 103.5), (12_000, 110.0)):
        clock.now = now
        progress(done)
    assert lines == [
        "0 files listed so far, after 3.5 s",
        "12,000 files listed so far, after 10 s",
    ]


def test_a_step_that_has_not_begun_to_move_promises_nothing() -> None:
    lines: list[str] = []
    clock = Clock()
    progress = Progress(lines.append, "MB", clock=clock)
    clock.now += 5
    progress(0, 5000)
    assert lines == ["0 of 5,000 MB, 0/s, unknown time left"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (42.4, "42 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_step_that_cannot_tell_is_watched_until_it_ends_or_fails() -> None:
    lines: list[str] = []
    clock, asked = Clock(), threading.Event()
    count = Count()

    def read() -> int:
        clock.now += 5
        asked.set()
        return count.read()

    count.note(7)

    def copy() -> None:
        with watched(Progress(lines.append, "MB", clock=clock), read, 10):
            assert asked.wait(10)
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        copy()
    assert re.fullmatch(r"7 of 10 MB, \d+/s, .* left", lines[0])
    assert not any(thread.name == "watch" for thread in threading.enumerate())
