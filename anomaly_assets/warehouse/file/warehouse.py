"""Define the warehouse in a file: one writer at a time, and timeouts that name the other process.

DuckDB lets one process write to a file, or many read it, never both. Runs of this project wait for a
lock file beside the warehouse. If another program has the warehouse open, the connection is retried.
Both waits have a timeout, and the error names the holder.

All tables are in the schema `main` of the file, and the schema `anomaly` has a view of the same name
for each. So `anomaly.samples` works for any file name. In a file named `anomaly.duckdb` the database
itself already has that name (see docs/decisions/0003).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout

from anomaly_assets.atomic import TargetError, remove_leftovers, resolved
from anomaly_assets.errors import WarehouseBusyError, WarehouseError
from anomaly_assets.recipes import Recipe
from anomaly_assets.tables.sql_text import sql_literal
from anomaly_assets.warehouse.base import (
    CATALOG,
    ROW_GROUP_SIZE,
    LoadTarget,
    Log,
    Warehouse,
    interrupted_queries,
)
from anomaly_assets.warehouse.buffers import KEPT_BYTES, cached_bytes, free_memory
from anomaly_assets.warehouse.file.duckdb_settings import (
    set_for_wide_rows,
    start_duckdb,
    use_threads_for,
)
from anomaly_assets.warehouse.file.names import refuse_ambiguous_name, refuse_question_mark
from anomaly_assets.warehouse.file.publish import (
    copy_progress,
    differing_file,
    opened_file,
    pictures_folder,
    publish_file,
)
from anomaly_assets.warehouse.publication import Differences, Publication, Request

_RETRY_SECONDS = 0.25
_TELL_SECONDS = 1.0
_REMIND_SECONDS = 30.0
_LITTLE_BYTES = 16 * 1024 * 1024
"""Up to this size of DuckDB's cache, no step has needed much memory."""


@dataclass
class FileWarehouse(Warehouse):
    """A DuckDB file.

    Attributes:
        path: The DuckDB file; a symbolic link is resolved.
        wait_seconds: Maximum time to wait for another run or program that has the file open.
        log: Called with a message while waiting.

    Raises:
        WarehouseError: The path is a symbolic link into a missing folder.
    """

    path: Path
    wait_seconds: float = 3600.0
    log: Log = print
    _lock: FileLock = field(init=False, repr=False)
    _instance: duckdb.DuckDBPyConnection | None = field(init=False, repr=False, default=None)
    _in_use: bool = field(init=False, repr=False, default=False)
    _waited: bool = field(
        init=False, repr=False, default=False
    )  # in vain: never wait twice in a run

    def __post_init__(self) -> None:
        # Locks, dlt's folder and the copy that replaces a bloated file are beside the real file.
        try:
            self.path = resolved(self.path)
        except TargetError as error:
            raise WarehouseError(str(error)) from None
        refuse_question_mark(self.path)
        self._lock = FileLock(f"{self.path}.lock", thread_local=False)

    @property
    def name(self) -> str:
        """Return the path of the file."""
        return str(self.path)

    def pipelines_folder_of(self, source_dataset: str) -> Path:
        """Return one folder for all source datasets, because only one run is active at a time."""
        return self.pipelines_folder

    @property
    def pipelines_folder(self) -> Path:
        """Return the folder for dlt's working files during a load.

        It is beside the warehouse, or in the temporary folder if the path has characters (`%`, quotes)
        that dlt does not escape.
        """
        if re.fullmatch(r"[\w ./\\:-]+", str(self.path)):
            return self.path.with_name(f"{self.path.name}.dlt")
        digest = hashlib.sha256(str(self.path).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir(), f"anomaly_assets-{digest}.dlt")

    @contextmanager
    def locked(self) -> Iterator[FileWarehouse]:
        """Lock the warehouse against other runs; see `Warehouse`."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._acquire()
        except OSError as error:
            raise WarehouseError(
                f"The warehouse cannot be written: {error.strerror}: '{error.filename or self.path}'. Name "
                "a place that can be written to in ANOMALY_WAREHOUSE, and in ANOMALY_DATABASE for what is "
                "published."
            ) from error
        if self._lock.lock_counter == 1:
            # The lock is ours, so this folder can only come from a load that was killed.
            shutil.rmtree(self.pipelines_folder, ignore_errors=True)
            remove_leftovers(self.path)
        try:
            yield self
        finally:
            if self._lock.lock_counter == 1:
                self._stop()
            self._lock.release()

    def _acquire(self) -> None:
        deadline = self._deadline()
        patience = _TELL_SECONDS
        while True:
            remaining = deadline - time.monotonic()
            try:
                self._lock.acquire(
                    timeout=max(0.0, min(remaining, patience)), poll_interval=_RETRY_SECONDS
                )
            except Timeout:
                holder = self._holder()
                if deadline - time.monotonic() <= 0:
                    self._waited = True
                    raise WarehouseBusyError(
                        f"{self.path} was held for more than {self.wait_seconds:.0f} s by {holder}. "
                        "Wait for that run to end or stop it, then run again."
                    ) from None
                self.log(f"Waiting for {self.path}, held by {holder}.")
                patience = _REMIND_SECONDS
            else:
                self._note_holder()
                return

    def _deadline(self) -> float:
        return time.monotonic() + (0.0 if self._waited else self.wait_seconds)

    def _note_holder(self) -> None:
        note = {"pid": os.getpid(), "since": datetime.now(timezone.utc).isoformat("T", "seconds")}
        self._holder_file.write_text(json.dumps(note), "utf-8")

    def _holder(self) -> str:
        try:
            note = json.loads(self._holder_file.read_text("utf-8"))
            return f"the run with process id {note['pid']} since {note['since']}"
        except (OSError, ValueError, KeyError):
            return "another run"

    @property
    def _holder_file(self) -> Path:
        return self.path.with_name(f"{self.path.name}.holder")

    @contextmanager
    def connect(self, *, wide_rows: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the warehouse for writing, with its database current, and close it afterwards.

        DuckDB is started once while the lock is held, because a start takes five times as long as
        opening the file. The file stays attached too, because opening it reads the whole catalogue, unless
        its cached blocks would take memory from the next step.

        Args:
            wide_rows: Prepare for writing tensors. A separate DuckDB instance is started, because an
                instance keeps its memory until it ends. It has one thread, because parallel checkpoints of
                wide rows doubled the file in measurements. Every commit is a checkpoint, so that rows are
                written once and not to the write-ahead log first.

        Raises:
            WarehouseBusyError: Another run or program has the warehouse open.
            WarehouseError: The warehouse cannot be opened.
        """
        refuse_ambiguous_name(self.path)
        with self.locked():
            if wide_rows:
                self._stop()  # free the memory of earlier steps; tensors need it now
                with start_duckdb(self.path) as instance, interrupted_queries(instance):
                    set_for_wide_rows(instance)
                    self._attach(instance)
                    yield instance
                return
            if self._in_use:
                raise WarehouseError(_already_open(self.path))
            instance = self._instance = self._instance or start_duckdb(self.path)
            connection = instance.cursor()
            self._in_use = True
            try:
                with interrupted_queries(connection):
                    self._attach(connection)
                    yield connection
            except BaseException:
                connection.close()
                self._stop()  # discard open transactions, settings and attached files
                raise
            finally:
                self._in_use = False
            connection.close()
            if (cached := cached_bytes(instance)) > KEPT_BYTES:
                self._detach(instance)
            if cached > _LITTLE_BYTES and self._instance is not None:
                free_memory(instance)

    @contextmanager
    def loading(self) -> Iterator[LoadTarget]:
        """Give dlt the DuckDB instance that `connect` starts, because it has our row group size.

        An instance without this setting merges row groups to its default size at the next checkpoint: in a
        measurement it rewrote 4 GB of tensors for one changed row of the catalogue. DuckDB has one
        thread meanwhile, because each thread holds row groups of the catalogue until the commit.
        """
        with self.connect() as connection:
            connection.execute("SET GLOBAL threads = 1")
            yield LoadTarget(connection, (f"search_path='{CATALOG}.main'",))
            use_threads_for(connection, self.path)
            connection.execute("RESET GLOBAL checkpoint_threshold")  # dlt has set it

    def _detach(self, instance: duckdb.DuckDBPyConnection) -> None:
        try:
            instance.execute(f"DETACH DATABASE IF EXISTS {CATALOG}")
        except duckdb.Error:  # after a full disk, for instance, DuckDB must be restarted
            self._stop()

    def _stop(self) -> None:
        if self._instance is not None:
            self._instance.close()
            self._instance = None

    def _attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        statement = (
            f"ATTACH {sql_literal(str(self.path))} AS {CATALOG} (ROW_GROUP_SIZE {ROW_GROUP_SIZE})"
        )
        deadline = self._deadline()
        remind_at = time.monotonic()
        with suppress(duckdb.CatalogException):
            connection.execute(f"USE {CATALOG}.main")  # an earlier connection has attached it
            return
        while True:
            try:
                connection.execute(statement)
                connection.execute(f"USE {CATALOG}.main")
                self._waited = False
                return
            except duckdb.Error as error:
                holder = re.search(
                    r"lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)", str(error)
                )
                if holder is None:
                    raise WarehouseError(_why_not_opened(self.path, error)) from error
                who = f"{holder['program']} (process id {holder['pid']})"
                if time.monotonic() >= deadline:
                    self._waited = True
                    raise WarehouseBusyError(
                        f"{self.path} is open in {who}. Close it there, then run again; "
                        "read the published database instead of the warehouse."
                    ) from error
                if time.monotonic() >= remind_at:
                    self.log(f"Waiting for {self.path}, which is open in {who}.")
                    remind_at = time.monotonic() + _REMIND_SECONDS
                time.sleep(_RETRY_SECONDS)

    def _publish(self, target: Path, spec: Recipe, request: Request) -> Publication:
        return publish_file(self, self.path, target, spec, request)

    def differences(self, target: Path) -> Differences:
        """Compare this warehouse with its published file; see `Warehouse`."""
        return differing_file(self, target)

    def open_published(
        self, target: Path
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection | None]:
        """Open the published file; see `Warehouse`."""
        return opened_file(target)

    def pictures_folder(self, target: Path) -> Path:
        """Return the folder for contact sheets, beside the published file if this warehouse owns it."""
        return pictures_folder(self, self.path, target)

    def copy_progress(self, target: Path) -> tuple[Callable[[], int], int]:
        """Return (function for the MB copied so far, total MB)."""
        return copy_progress(self.path, target)

    def release_copy(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Checkpoint, so that all data is in the file itself; the caller closes and renames it."""
        connection.execute("CHECKPOINT")


def _why_not_opened(path: Path, error: duckdb.Error) -> str:
    if any(
        words in str(error)
        for words in ("file handle conflict", "already attached", "already exists")
    ):
        return _already_open(path)
    return (
        f"{path} cannot be opened: {_said(error)}. If it is damaged, delete it: all its content can be "
        "rebuilt from the roots."
    )


def _already_open(path: Path) -> str:
    return f"{path} is already open in this process. Close that connection, then run again."


def _said(error: duckdb.Error) -> str:
    """Return DuckDB's message without the punctuation at its end."""
    return " ".join(str(error).split()).rstrip(".!")
