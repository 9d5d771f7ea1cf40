"""Report the progress of long steps in the log of the run and in the terminal, with few lines."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Log = Callable[[str], None]

_FIRST_SECONDS = 3.0
_SHARE_OF_ELAPSED = 0.2
_MOST_SECONDS = 300.0


class Progress:
    """Reporter of progress, speed and time left; logs about twenty lines in five minutes.

    The time between two lines grows with the elapsed time, from three seconds to five minutes.
    """

    def __init__(self, log: Log, unit: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start the clock.

        Args:
            log: Called with each line.
            unit: Name of the counted things, such as `images`.
            clock: Returns seconds.
        """
        self._log, self._unit, self._clock = log, unit, clock
        self._started = clock()
        self._next = self._started + _FIRST_SECONDS
        self.has_logged = False

    def __call__(self, done: int, total: int | None = None) -> None:
        """Log the progress if a line is due; the end is always logged.

        Args:
            done: Number of things done.
            total: Number of things to do; None while it is unknown.
        """
        now = self._clock()
        if now < self._next and done != total:
            return
        self.has_logged = True
        elapsed = now - self._started
        self._next = now + min(_MOST_SECONDS, max(_FIRST_SECONDS, _SHARE_OF_ELAPSED * elapsed))
        rate = done / max(elapsed, 1e-6)
        if total is None:
            self._log(f"{done:,} {self._unit} so far, after {duration(elapsed)}")
        elif done == total:
            self._log(f"{done:,} of {total:,} {self._unit} in {duration(elapsed)}, {rate:,.0f}/s")
        else:
            left = duration((total - done) / rate) if rate else "unknown time"
            self._log(f"{done:,} of {total:,} {self._unit}, {rate:,.0f}/s, {left} left")


def duration(seconds: float) -> str:
    """Format seconds as `42 s`, `3 min 05 s` or `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


@contextmanager
def watched(
    progress: Progress, done: Callable[[], int], total: int | None = None
) -> Iterator[None]:
    """Report the progress of a blocking call, such as a copy or the request for a listing, from a thread.

    Args:
        progress: Called every second; logs a line when one is due.
        done: Returns the number of things done; called in another thread.
        total: Number of things to do, if it is known.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1.0):
            # `total` would log the end, but only the caller can detect that the step succeeded.
            progress(done() if total is None else min(done(), total - 1), total)

    watcher = threading.Thread(target=watch, name="watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


class Count:
    """Number that one thread writes and another one reads."""

    def __init__(self) -> None:
        """Start at 0."""
        self._value = 0

    def note(self, value: int) -> None:
        """Store the newest number."""
        self._value = value

    def read(self) -> int:
        """Return the value stored last."""
        return self._value
