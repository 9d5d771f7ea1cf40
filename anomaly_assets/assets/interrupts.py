"""Ctrl-C, SIGTERM and the Terminate button end a run, also where a library keeps the signal for itself.

Dagster answers a signal with an exception in the step that runs. Two libraries were seen to lose it, and
the run went on as if nobody had asked:

- DuckDB imports pandas for the first parameter, and `pyarrow.dataset` for the first Arrow table, and drops
  whatever interrupts that; half of the times it also kept the import lock, and the next thread that
  imported anything hung.
- dlt takes signals over while it loads, and forgets them when the load is over.

A query that is interrupted is another matter: `warehouse/base.py`.
"""

import importlib
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import dagster as dg

_ASKED_TO_STOP = (signal.SIGINT, signal.SIGTERM)
_NOBODY = -1


@dataclass
class Interrupts:
    """The signals that came since it was made, whoever handled them.

    Attributes:
        received: Where the interpreter notes the number of every signal; None where nobody listens.
    """

    received: socket.socket | None = None
    _asked: bool = False

    def refuse_to_go_on(self) -> None:
        """Do nothing, unless somebody asked for the end.

        Raises:
            DagsterExecutionInterruptedError: Somebody did.
        """
        with suppress(BlockingIOError):
            while self.received is not None and (numbers := self.received.recv(4096)):
                self._asked |= not set(_ASKED_TO_STOP).isdisjoint(numbers)
        if self._asked:
            raise dg.DagsterExecutionInterruptedError(
                "The run was asked to stop. What was written stays, and the next run goes on from there."
            )


@contextmanager
def hearing_interrupts() -> Iterator[Interrupts]:
    """Hear of signals for as long as the block lasts.

    Of none in another than the main thread, and where somebody else listens already, such as an event loop.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Interrupts()
        return
    received, sent = socket.socketpair()
    with received, sent:
        received.setblocking(False)
        sent.setblocking(False)
        listener = signal.set_wakeup_fd(sent.fileno(), warn_on_full_buffer=False)
        if listener != _NOBODY:
            signal.set_wakeup_fd(listener)
            yield Interrupts()
            return
        try:
            yield Interrupts(received)
        finally:
            signal.set_wakeup_fd(_NOBODY)


@contextmanager
def interrupts_later() -> Iterator[None]:
    """Let signals that ask for the end wait for the end of the block, and be handled then."""
    if threading.current_thread() is not threading.main_thread():
        yield  # which no signal interrupts
        return
    came: list[int] = []
    before: dict[signal.Signals, Any] = {}
    try:
        for number in _ASKED_TO_STOP:
            before[number] = signal.getsignal(number)
            signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    for waiting in came:
        signal.raise_signal(waiting)


def import_what_duckdb_imports() -> None:
    """Import what DuckDB would import later, and somebody could interrupt then."""
    for name in ("pandas", "pyarrow.dataset"):
        with interrupts_later(), suppress(Exception):  # damaged or missing, DuckDB does without it
            importlib.import_module(name)
