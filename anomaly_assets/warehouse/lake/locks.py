"""Locks that several machines share: advisory locks in the PostgreSQL that holds the catalogue of a lake.

They belong to one session, so they end with it: when the process is killed, at once; when its machine
dies, as soon as the server has asked in vain for a minute whether it is still there.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING

from anomaly_assets.warehouse.base import Log, WarehouseBusyError, WarehouseError
from anomaly_assets.warehouse.locations import LakeLocation

if TYPE_CHECKING:
    import psycopg

_TELL_SECONDS = 1.0
_REMIND_SECONDS = 30.0
_NAMESPACE = 0x616E6F6D  # "anom": the first half of every key
_KEEPALIVES = "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=4"


class LakeLocks:
    """The locks of one run."""

    def __init__(self, location: LakeLocation, wait_seconds: float, log: Log) -> None:
        self._location = location
        self._wait_seconds = wait_seconds
        self._log = log
        self._session: psycopg.Connection | None = None
        self._held: Counter[tuple[str, bool]] = Counter()

    def open(self) -> None:
        """Begin the session.

        Raises:
            WarehouseError: The server cannot be reached, or lets us not in.
        """
        import psycopg

        try:
            self._session = psycopg.connect(
                self._location.conninfo,
                password=self._location.password,
                autocommit=True,
                application_name=f"anomaly_assets {os.getpid()} on {socket.gethostname()}"[:63],
                options=_KEEPALIVES,
            )
        except psycopg.Error as error:
            raise WarehouseError(
                f"{self._location.name} cannot be opened: {self._said(error)}"
            ) from None

    def close(self) -> None:
        """End the session, and with it every lock."""
        if self._session is not None:
            self._session.close()
            self._session = None
        self._held.clear()

    def holds(self, lock: str, *, shared: bool = False) -> bool:
        """Whether this run has a lock."""
        return bool(self._held[lock, shared])

    def acquire(self, lock: str, *, shared: bool = False, wait: bool = True) -> bool:
        """Take a lock, once more if this run has it already.

        Args:
            lock: What it is for, in words: `the refresh of mvtec_ad`.
            shared: Others may have it shared as well.
            wait: Whether to wait for others.

        Returns:
            Whether this run has it now.

        Raises:
            WarehouseBusyError: Others had it for longer than the time to wait.
            WarehouseError: The session is lost, and with it what was held.
        """
        suffix = "_shared" if shared else ""
        if not self._held[lock, shared]:
            if not wait:
                query = f"SELECT pg_try_advisory_lock{suffix}(%s, %s)"
                if not self._execute(query, lock)[0][0]:
                    return False
            else:
                self._wait_for(f"SELECT pg_advisory_lock{suffix}(%s, %s)", lock)
        self._held[lock, shared] += 1
        return True

    def release(self, lock: str, *, shared: bool = False) -> None:
        """Give a lock back, as often as it was taken."""
        self._held[lock, shared] -= 1
        if not self._held[lock, shared]:
            suffix = "_shared" if shared else ""
            self._execute(f"SELECT pg_advisory_unlock{suffix}(%s, %s)", lock)

    def _wait_for(self, query: str, lock: str) -> None:
        from psycopg.errors import LockNotAvailable

        deadline = time.monotonic() + self._wait_seconds
        patience = _TELL_SECONDS
        while True:
            timeout = max(0.05, min(deadline - time.monotonic(), patience))
            self._execute("SELECT set_config('lock_timeout', %s, false)", None, f"{timeout:.3f}s")
            try:
                self._execute(query, lock)
                return
            except LockNotAvailable:
                holder = self._holder(lock)
            if time.monotonic() >= deadline:
                raise WarehouseBusyError(
                    f"{self._location.name}: {lock} was held for more than {self._wait_seconds:.0f} s by "
                    f"{holder}. Wait for that run to end or stop it, then run again."
                )
            self._log(f"Waiting for {lock} in {self._location.name}, held by {holder}.")
            patience = _REMIND_SECONDS

    def _holder(self, lock: str) -> str:
        rows = self._execute(_HOLDERS, lock)
        who = [
            f"{name or f'another run (PostgreSQL process {pid})'} since {since:%Y-%m-%d %H:%M:%S} UTC"
            for name, pid, since in rows
            if since is not None
        ]
        return " and ".join(who) or "another run"

    def _execute(self, query: str, lock: str | None, *values: object) -> list[tuple]:
        import psycopg
        from psycopg.errors import LockNotAvailable

        parameters = values if lock is None else (_NAMESPACE, _key(lock), *values)
        if self._session is None:
            raise WarehouseError(f"{self._location.name}: no run holds it.")
        try:
            return self._session.execute(query.encode(), parameters).fetchall()
        except LockNotAvailable:
            raise
        except psycopg.Error as error:
            raise WarehouseError(
                f"{self._location.name}: the connection that holds the locks of this run is lost "
                f"({self._said(error)}). What is published stays; run again when the server is back."
            ) from None

    def _said(self, error: Exception) -> str:
        text = " ".join(str(error).split()) or type(error).__name__
        if self._location.password:
            text = text.replace(self._location.password, "***")
        return text


_HOLDERS = """
SELECT
    activity.application_name,
    locks.pid,
    coalesce(activity.backend_start, now()) AT TIME ZONE 'UTC'
FROM pg_locks AS locks
LEFT JOIN pg_stat_activity AS activity ON activity.pid = locks.pid
WHERE locks.locktype = 'advisory'
AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND locks.classid::BIGINT = %s
AND locks.objid::BIGINT = %s
AND locks.granted
AND locks.pid <> pg_backend_pid()
"""


def _key(lock: str) -> int:
    return int.from_bytes(hashlib.sha256(lock.encode()).digest()[:4], "big") >> 1
