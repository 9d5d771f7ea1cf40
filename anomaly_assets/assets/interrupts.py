"""Stop the run on Ctrl-C, SIGTERM or Terminate even if a library swallows the signal.

Dagster turns a signal into an exception in the running step. Two libraries were seen to lose it, and the
run continued:

- DuckDB drops an exception that is raised while it imports something; see `anomaly_assets/signals.py`.
- dlt installs its own signal handlers during a load, and drops the signals when the load ends.

Interrupted queries are handled in `warehouse/base.py`.
"""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import dagster as dg

from anomaly_assets.signals import ASKED_TO_STOP

_NO_DESCRIPTOR = -1


@dataclass
class Interrupts:
    """Signals received since this object was created, even if a library handled them.

    Attributes:
        received: Socket into which the interpreter writes the number of each signal; None if signals are
            not recorded.
    """

    received: socket.socket | None = None
    _asked: bool = False

    def refuse_to_go_on(self) -> None:
        """Raise if SIGINT or SIGTERM was received.

        Raises:
            DagsterExecutionInterruptedError: SIGINT or SIGTERM was received.
        """
        with suppress(BlockingIOError):
            while self.received is not None and (numbers := self.received.recv(4096)):
                self._asked |= not set(ASKED_TO_STOP).isdisjoint(numbers)
        if self._asked:
            raise dg.DagsterExecutionInterruptedError(
                "The run was asked to stop. Committed rows stay, and the next run continues from there."
            )


@contextmanager
def hearing_interrupts() -> Iterator[Interrupts]:
    """Record signals during the block, with the wakeup descriptor of the interpreter.

    Outside the main thread, or if the descriptor is already in use, as by an event loop, none are recorded.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Interrupts()
        return
    received, sent = socket.socketpair()
    with received, sent:
        received.setblocking(False)
        sent.setblocking(False)
        listener = signal.set_wakeup_fd(sent.fileno(), warn_on_full_buffer=False)
        if listener != _NO_DESCRIPTOR:
            signal.set_wakeup_fd(listener)
            yield Interrupts()
            return
        try:
            yield Interrupts(received)
        finally:
            signal.set_wakeup_fd(_NO_DESCRIPTOR)
