"""Wait for a lock file, for a bounded time, and say who holds it meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

from filelock import BaseFileLock, Timeout

from anomaly_assets.warehouse.base import Log, WarehouseBusyError

POLL_SECONDS = 0.25
FIRST_REPORT_SECONDS = 1.0
REPORT_SECONDS = 30.0


def acquire(
    lock: BaseFileLock,
    name: str,
    wait_seconds: float,
    log: Log,
    holder: str | Callable[[], str],
) -> None:
    """Acquire a lock.

    Args:
        lock: The lock.
        name: How messages call what it protects.
        wait_seconds: How long to wait at most.
        log: Called with a sentence after a second, then every half minute.
        holder: Who holds it, for messages.

    Raises:
        WarehouseBusyError: It was held for longer than `wait_seconds`.
    """
    deadline = time.monotonic() + wait_seconds
    patience = FIRST_REPORT_SECONDS
    while True:
        remaining = deadline - time.monotonic()
        try:
            lock.acquire(timeout=max(0.0, min(remaining, patience)), poll_interval=POLL_SECONDS)
            return
        except Timeout:
            who = holder if isinstance(holder, str) else holder()
            if deadline - time.monotonic() <= 0:
                raise WarehouseBusyError(
                    f"{name} was held for more than {wait_seconds:.0f} s by {who}. "
                    "Wait for that run to end or stop it, then run again."
                ) from None
            log(f"Waiting for {name}, held by {who}.")
            patience = REPORT_SECONDS
