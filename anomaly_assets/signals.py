"""Handle SIGINT and SIGTERM in the process of a command, from its first import to its last line.

An exception that a signal handler raises can be lost. Libraries catch it while they import something, or
DuckDB drops it: DuckDB imports pandas for the first query parameter and `pyarrow.dataset` for the first
Arrow table. In half of the cases it also kept the import lock, and the next thread that imported a module
hung. So there are three phases:

- Imports: nothing was written yet, so a signal ends the process at once.
- Work: a signal raises `KeyboardInterrupt`, and is recorded in case the exception is lost.
- End: everything is written and printed, so a signal ends the process at once, without a message.

This module imports nothing that takes time. Only the process of a command calls `end_when_interrupted`;
without it, the other functions leave the handlers of the program that uses this package alone.
"""

from __future__ import annotations

import importlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

ASKED_TO_STOP = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = 128 + signal.SIGINT
"""Exit code of a command that a signal stopped."""

_STDERR = 2
_received: list[int] = []


def end_when_interrupted() -> None:
    """Let SIGINT and SIGTERM end this process at once, until `raise_when_interrupted` is called.

    A signal that the parent process ignores, as for a job in the background, stays ignored.
    """
    for number in ASKED_TO_STOP:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def raise_when_interrupted() -> None:
    """Let SIGINT and SIGTERM raise `KeyboardInterrupt` from now on, if they would end this process."""
    for number in ASKED_TO_STOP:
        if signal.getsignal(number) is _end:
            signal.signal(number, _raise)


def begin_reading() -> None:
    """Let signals raise `KeyboardInterrupt` from now on; call it after all imports of a command.

    Modules that DuckDB would import later are imported first, because an exception during such an import
    is lost.
    """
    import_what_duckdb_imports()
    raise_when_interrupted()


def end_silently_when_interrupted() -> None:
    """Let SIGINT and SIGTERM end this process at once and without a message, after its last line."""
    for number in ASKED_TO_STOP:
        if signal.getsignal(number) in (_end, _raise):
            signal.signal(number, _end_silently)


def was_interrupted() -> bool:
    """Return whether a signal raised `KeyboardInterrupt`, even if a library dropped the exception."""
    return bool(_received)


def import_what_duckdb_imports() -> None:
    """Import pandas and pyarrow.dataset now.

    DuckDB imports them lazily and loses an interrupt that arrives meanwhile.
    """
    for name in ("pandas", "pyarrow.dataset"):
        with interrupts_later(), suppress(Exception):  # DuckDB can run without either
            importlib.import_module(name)


@contextmanager
def interrupts_later() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the block ends; then raise them again."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python handles signals in the main thread only
        return
    came: list[int] = []
    before: dict[signal.Signals, Any] = {}
    try:
        for number in ASKED_TO_STOP:
            before[number] = signal.getsignal(number)
            signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    for waiting in came:
        signal.raise_signal(waiting)


def _end(number: int, frame: FrameType | None) -> None:
    with suppress(OSError):
        os.write(_STDERR, b"interrupted before it began; nothing was changed\n")
    os._exit(INTERRUPTED)


def _end_silently(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


def _raise(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise KeyboardInterrupt
