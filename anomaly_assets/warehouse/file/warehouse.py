"""Opening the warehouse: one writer at a time, a bounded wait, and an answer to "who has it?".

DuckDB lets one process write a file, or many read it, never both. Runs of this project queue up on a
lock file beside the warehouse; a person who has the warehouse open in a shell is met by retrying the
connection. Both waits are bounded and end in an error that names the holder.

Where tables lie: everything of ours is in the schema `main` of its file, and the schema `anomaly` has
a view of the same name for each. So `anomaly.samples` works whatever the file is called; in a file
called `anomaly.duckdb` the catalogue itself already has that name (see docs/decisions/0003).
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
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout

from anomaly_assets.atomic import TargetError, remove_leftovers, resolved
from anomaly_assets.errors import WarehouseBusyError, WarehouseError
from anomaly_assets.tables.sql_text import sql_literal
from anomaly_assets.tensor_spec import TensorSpec
from anomaly_assets.warehouse.base import (
    CATALOG,
    ROW_GROUP_SIZE,
    LoadTarget,
    Log,
    Warehouse,
    interrupted_queries,
)
from anomaly_assets.warehouse.file.duckdb_settings import set_for_wide_rows, start_duckdb
from anomaly_assets.warehouse.file.names import refuse_ambiguous_name
from anomaly_assets.warehouse.file.publish import (
    copy_progress,
    differing_file,
    opened_file,
    pictures_folder,
    publish_file,
)
from anomaly_assets.warehouse.publication import Differences, Publication

_RETRY_SECONDS = 0.25
_TELL_SECONDS = 1.0
_REMIND_SECONDS = 30.0


@dataclass
class FileWarehouse(Warehouse):
    """A DuckDB file.

    Attributes:
        path: The DuckDB file; where it was given as a symbolic link, what that points to.
        wait_seconds: How long to wait for another run, or for a person who has the file open.
        log: Called with a sentence while waiting.

    Raises:
        WarehouseError: The path is a symbolic link into a folder that does not exist.
    """

    path: Path
    wait_seconds: float = 3600.0
    log: Log = print
    _lock: FileLock = field(init=False, repr=False)
    _instance: duckdb.DuckDBPyConnection | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        # Locks, dlt's folder and the copy that replaces a bloated file lie beside the file itself.
        try:
            self.path = resolved(self.path)
        except TargetError as error:
            raise WarehouseError(str(error)) from None
        self._lock = FileLock(f"{self.path}.lock", thread_local=False)

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self.path)

    def pipelines_folder_of(self, source_dataset: str) -> Path:
        """The same for all: one run is in at a time."""
        return self.pipelines_folder

    @property
    def pipelines_folder(self) -> Path:
        """Where dlt keeps its working files during a load.

        Beside the warehouse, unless its path has characters (`%`, quotes) that dlt does not escape.
        """
        if re.fullmatch(r"[\w ./\\:-]+", str(self.path)):
            return self.path.with_name(f"{self.path.name}.dlt")
        digest = hashlib.sha256(str(self.path).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir(), f"anomaly_assets-{digest}.dlt")

    @contextmanager
    def locked(self) -> Iterator[FileWarehouse]:
        """Hold the warehouse against other runs; see `Warehouse`."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._acquire()
        except OSError as error:
            raise WarehouseError(
                f"The warehouse cannot be written: {error.strerror}: '{error.filename}'. Name a place that "
                "can be written to in ANOMALY_WAREHOUSE, and in ANOMALY_DATABASE for what is published."
            ) from error
        if self._lock.lock_counter == 1:
            # Nobody else loads now, so this is of a load that was killed.
            shutil.rmtree(self.pipelines_folder, ignore_errors=True)
            remove_leftovers(self.path)
        try:
            yield self
        finally:
            if self._lock.lock_counter == 1:
                self._stop()
            self._lock.release()

    def _acquire(self) -> None:
        deadline = time.monotonic() + self.wait_seconds
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
                    raise WarehouseBusyError(
                        f"{self.path} was held for more than {self.wait_seconds:.0f} s by {holder}. "
                        "Wait for that run to end or stop it, then run again."
                    ) from None
                self.log(f"Waiting for {self.path}, held by {holder}.")
                patience = _REMIND_SECONDS
            else:
                self._note_holder()
                return

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
        """Open the warehouse for writing, with its catalogue current; closes it afterwards.

        DuckDB itself is started once for as long as the lock is held, because that takes five times
        as long as opening the file.

        Args:
            wide_rows: For writing tensors. DuckDB is started for this connection alone, because it
                keeps memory until it ends; has one thread, because parallel checkpoints of wide rows
                were measured to double the file; and every commit is a checkpoint, so that rows are
                written once and not to the write-ahead log before.

        Raises:
            WarehouseBusyError: Another run, or a person, has it open.
            WarehouseError: It cannot be opened at all.
        """
        refuse_ambiguous_name(self.path)
        with self.locked():
            if wide_rows:
                self._stop()  # it keeps what the catalogue took, which tensors need now
                with start_duckdb() as instance, interrupted_queries(instance):
                    set_for_wide_rows(instance)
                    self._attach(instance)
                    yield instance
                return
            instance = self._instance = self._instance or start_duckdb()
            connection = instance.cursor()
            try:
                with interrupted_queries(connection):
                    self._attach(connection)
                    yield connection
            except BaseException:
                connection.close()
                self._stop()  # whatever is still attached, set or open in it
                raise
            connection.close()
            self._detach(instance)

    @contextmanager
    def loading(self) -> Iterator[LoadTarget]:
        """The DuckDB that `connect` starts, because it knows our row group size.

        One that does not merges row groups into DuckDB's own size at its next checkpoint, which was
        measured to write 4 GB of tensors again for one changed row of the catalogue.
        """
        with self.connect() as connection:
            yield LoadTarget(connection, (f"search_path='{CATALOG}.main'",))
            connection.execute("RESET GLOBAL checkpoint_threshold")  # which dlt sets

    def _detach(self, instance: duckdb.DuckDBPyConnection) -> None:
        try:
            instance.execute(f"DETACH DATABASE IF EXISTS {CATALOG}")
        except duckdb.Error:  # after a full disk, for instance, DuckDB has to be started anew
            self._stop()

    def _stop(self) -> None:
        if self._instance is not None:
            self._instance.close()
            self._instance = None

    def _attach(self, connection: duckdb.DuckDBPyConnection) -> None:
        statement = (
            f"ATTACH {sql_literal(str(self.path))} AS {CATALOG} (ROW_GROUP_SIZE {ROW_GROUP_SIZE})"
        )
        deadline = time.monotonic() + self.wait_seconds
        remind_at = time.monotonic()
        while True:
            try:
                connection.execute(statement)
                connection.execute(f"USE {CATALOG}.main")
                return
            except duckdb.Error as error:
                holder = re.search(
                    r"lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)", str(error)
                )
                if holder is None:
                    raise WarehouseError(_why_not_opened(self.path, error)) from error
                who = f"{holder['program']} (process id {holder['pid']})"
                if time.monotonic() >= deadline:
                    raise WarehouseBusyError(
                        f"{self.path} is open in {who}. Close it there, then run again; "
                        "read the published database instead of the warehouse."
                    ) from error
                if time.monotonic() >= remind_at:
                    self.log(f"Waiting for {self.path}, which is open in {who}.")
                    remind_at = time.monotonic() + _REMIND_SECONDS
                time.sleep(_RETRY_SECONDS)

    def publish(
        self,
        target: Path,
        spec: TensorSpec,
        *,
        run_id: str | None = None,
        keep_snapshots: int = 0,
        adopt: bool = False,
        allow_shrink: bool = False,
    ) -> Publication:
        """Make `target` a snapshot of this file; see `Warehouse`."""
        return publish_file(
            self,
            self.path,
            target,
            spec,
            run_id=run_id,
            keep_snapshots=keep_snapshots,
            adopt=adopt,
            allow_shrink=allow_shrink,
        )

    def differences(self, target: Path) -> Differences:
        """Compare this file with its published one; see `Warehouse`."""
        return differing_file(self, target)

    def open_published(
        self, target: Path
    ) -> AbstractContextManager[duckdb.DuckDBPyConnection | None]:
        """Open the published file; see `Warehouse`."""
        return opened_file(target)

    def pictures_folder(self, target: Path) -> Path:
        """Return the folder beside the published file, or beside this one if that is not its own."""
        return pictures_folder(self, self.path, target)

    def copy_progress(self, target: Path) -> tuple[Callable[[], int], int]:
        """Return a function for the MB copied so far, and the total."""
        return copy_progress(self.path, target)

    def release_copy(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Write everything into the file itself, which gets its name once it is closed."""
        connection.execute("CHECKPOINT")


def _why_not_opened(path: Path, error: duckdb.Error) -> str:
    if any(
        words in str(error)
        for words in ("file handle conflict", "already attached", "already exists")
    ):
        return f"{path} is open in this very process. Close that connection, then run again."
    return (
        f"{path} cannot be opened: {error}. If it is damaged, delete it: everything in it can be "
        "built again from the roots."
    )
