"""Take locks that several machines share: advisory locks in the PostgreSQL of a lake's catalogue.

A lock belongs to one session and ends with it: at once if the process is killed, and after a minute of
failed keepalives if its machine dies.

A pooler that gives each transaction another session (PgBouncer in transaction mode) would leave locks in
sessions that other clients get. Such a pooler is refused when the session begins, and every statement about
a lock checks that it runs in the same backend process as the first one.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from anomaly_assets.errors import WarehouseBusyError, WarehouseError
from anomaly_assets.locations import LakeLocation
from anomaly_assets.warehouse.base import Log

if TYPE_CHECKING:
    import psycopg

_TELL_SECONDS = 1.0
_REMIND_SECONDS = 30.0
_NAMESPACE = 0x616E6F6D  # "anom": the first half of every key
_SETTINGS = {
    # The wait for a lock may exceed the limits that a role or database sets for statements, and the
    # session is idle while images are decoded.
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "tcp_keepalives_idle": "20",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "4",
}
"""Session settings; applied after the start, because old servers lack some and poolers reject them all."""


class LakeLocks:
    """The advisory locks of one run."""

    def __init__(self, location: LakeLocation, wait_seconds: float, log: Log) -> None:
        self._location = location
        self._wait_seconds = wait_seconds
        self._log = log
        self._session: psycopg.Connection | None = None
        self._process = 0
        self._held: Counter[tuple[str, bool]] = Counter()

    def open(self) -> None:
        """Open the session.

        Raises:
            WarehouseError: The server cannot be reached or rejects the login, or a pooler gives every
                transaction another session.
        """
        self._session = self._connected()
        try:
            ((self._process,),) = self.query("SELECT pg_backend_pid()")
            # A pooler announces another process id than that of the server's backend.
            if self._session.info.backend_pid != self._process:
                self._refuse_shared_sessions()
            self.query(_SET, [*_SETTINGS], [*_SETTINGS.values()])
        except BaseException:
            self.close()
            raise

    def query(self, statement: str, *values: object) -> list[tuple]:
        """Run a statement in the session.

        Raises:
            WarehouseError: The session is lost, and so are its locks.
        """
        return self._execute(statement, None, *values)

    def _connected(self) -> psycopg.Connection:
        import psycopg

        try:
            return psycopg.connect(
                self._location.conninfo,
                password=self._location.password,
                autocommit=True,
                application_name=f"anomaly_assets {os.getpid()} on {socket.gethostname()}"[:63],
            )
        except psycopg.Error as error:
            raise WarehouseError(
                f"{self._location.name} cannot be opened: {self._said(error)}"
            ) from None

    def _refuse_shared_sessions(self) -> None:
        """Begin a transaction in a second session; a pooler in transaction mode then swaps the backends.

        Raises:
            WarehouseError: The backends were swapped.
        """
        import psycopg

        try:
            with self._connected() as other, other.transaction():
                ((theirs,),) = other.execute("SELECT pg_backend_pid()").fetchall()
                ((ours,),) = self.query("SELECT pg_backend_pid()")
        except psycopg.Error as error:
            raise WarehouseError(
                f"{self._location.name} cannot be opened: {self._said(error)}"
            ) from None
        if theirs == self._process or ours != self._process:
            raise self._is_pooled()

    def _is_pooled(self) -> WarehouseError:
        return WarehouseError(
            f"{self._location.name} is a pooler that gives every transaction another session, such as "
            "PgBouncer with pool_mode = transaction: the locks of a run would not block other runs. Name "
            "PostgreSQL itself, or a pool with pool_mode = session."
        )

    def close(self) -> None:
        """Close the session, which releases all locks."""
        if self._session is not None:
            self._session.close()
            self._session = None
        self._held.clear()

    def holds(self, lock: str, *, shared: bool = False) -> bool:
        """Return whether this run holds a lock."""
        return bool(self._held[lock, shared])

    def acquire(self, lock: str, *, shared: bool = False, wait: bool = True) -> bool:
        """Take a lock; if this run already holds it, count one more.

        Args:
            lock: Name of the lock for messages, such as `the refresh of mvtec_ad`.
            shared: Take the lock in shared mode, so that several runs can hold it at once.
            wait: Wait for other runs; False returns at once.

        Returns:
            True if this run holds the lock now.

        Raises:
            WarehouseBusyError: Other runs held the lock for longer than the timeout.
            WarehouseError: The session is lost, and so are its locks.
        """
        suffix = "_shared" if shared else ""
        if not self._held[lock, shared]:
            if not wait:
                if not self._lock(f"pg_try_advisory_lock{suffix}", lock):
                    return False
            else:
                self._wait_for(f"pg_advisory_lock{suffix}", lock)
        self._held[lock, shared] += 1
        return True

    def release(self, lock: str, *, shared: bool = False) -> None:
        """Release a lock; it must be released as often as it was taken."""
        self._held[lock, shared] -= 1
        if not self._held[lock, shared]:
            suffix = "_shared" if shared else ""
            self._lock(f"pg_advisory_unlock{suffix}", lock)

    def _lock(self, function: str, lock: str) -> Any:
        ((found, process),) = self._execute(f"SELECT {function}(%s, %s), pg_backend_pid()", lock)
        if process != self._process:
            raise self._is_pooled()
        return found

    def _wait_for(self, function: str, lock: str) -> None:
        from psycopg.errors import LockNotAvailable

        deadline = time.monotonic() + self._wait_seconds
        patience = _TELL_SECONDS
        while True:
            timeout = max(0.05, min(deadline - time.monotonic(), patience))
            self.query("SELECT set_config('lock_timeout', %s, false)", f"{timeout:.3f}s")
            try:
                self._lock(function, lock)
                return
            except LockNotAvailable:
                holders = self._execute(_HOLDERS, lock)
                if any(pid == self._process for _, pid, _ in holders):
                    return  # PostgreSQL granted the lock just before the timeout, and keeps it
                holder = _named(holders)
            if time.monotonic() >= deadline:
                raise WarehouseBusyError(
                    f"{self._location.name}: {lock} was held for more than {self._wait_seconds:.0f} s by "
                    f"{holder}. Wait for that run to end or stop it, then run again."
                )
            self._log(f"Waiting for {lock} in {self._location.name}, held by {holder}.")
            patience = _REMIND_SECONDS

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
                f"({self._said(error)}). The published data are unchanged; run again when it is back."
            ) from None

    def _said(self, error: Exception) -> str:
        text = " ".join(str(error).split()) or type(error).__name__
        if self._location.password:
            text = text.replace(self._location.password, "***")
        return text


_SET = """
SELECT set_config(name, value, false)
FROM pg_settings JOIN unnest(%s::text[], %s::text[]) AS wanted (name, value) USING (name)
"""

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
"""


def _named(holders: list[tuple]) -> str:
    """Return who holds a lock, for messages."""
    who = [
        f"{name or f'another run (PostgreSQL process {pid})'} since {since:%Y-%m-%d %H:%M:%S} UTC"
        for name, pid, since in holders
        if since is not None
    ]
    return " and ".join(who) or "another run"


def _key(lock: str) -> int:
    return int.from_bytes(hashlib.sha256(lock.encode()).digest()[:4], "big") >> 1
