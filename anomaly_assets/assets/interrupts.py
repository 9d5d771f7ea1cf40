"""Ctrl-C, SIGTERM and the Terminate button end a run, also where a library keeps the signal for itself.

Dagster answers a signal with an exception in the step that runs. Three libraries were seen to lose it, and
the run went on as if nobody had asked:

- DuckDB imports pandas when the first values leave a query, and drops whatever interrupts that import;
  half of the times it also kept the import lock, and the next thread that imported anything hung.
- A query of DuckDB that is interrupted ends in a `RuntimeError`: its step fails, the others are run.
- dlt takes signals over while it loads, and forgets them when the load is over.
"""

import importlib
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import dagster as dg

_ASKED_TO_STOP = {signal.SIGINT, signal.SIGTERM}


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
        if self.received is not None:
            with suppress(BlockingIOError):
                self._asked |= not _ASKED_TO_STOP.isdisjoint(self.received.recv(4096))
        if self._asked:
            raise dg.DagsterExecutionInterruptedError("The run was asked to stop.")


@contextmanager
def hearing_interrupts() -> Iterator[Interrupts]:
    """Hear of signals for as long as the block lasts; of none in another than the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield Interrupts()
        return
    received, sent = socket.socketpair()
    with received, sent:
        received.setblocking(False)
        sent.setblocking(False)
        before = signal.set_wakeup_fd(sent.fileno(), warn_on_full_buffer=False)
        try:
            yield Interrupts(received)
        finally:
            signal.set_wakeup_fd(before)


@contextmanager
def interrupts_later() -> Iterator[None]:
    """Let signals that ask for the end wait for the end of the block, and be handled then."""
    if threading.current_thread() is not threading.main_thread():
        yield  # which no signal interrupts
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in _ASKED_TO_STOP
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    for waiting in came:
        signal.raise_signal(waiting)


def import_pandas() -> None:
    """Import pandas, where it is installed, before DuckDB does and somebody interrupts that."""
    with interrupts_later(), suppress(Exception):  # damaged or missing, DuckDB does without it
        importlib.import_module("pandas")
