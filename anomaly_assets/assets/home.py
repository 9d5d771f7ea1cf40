"""The Dagster home, whose databases one process at a time creates.

Dagster creates its SQLite databases when a command opens the home, before it imports any code location. Two
commands that open an empty home together both find no table and both create them; one of them ends with
`table runs already exists`. The class below is the `instance_class` of `dagster.yaml`: Dagster asks it for
defaults before it opens the databases.
"""

import os
from contextlib import suppress
from typing import Any

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from filelock import FileLock

LOCK_NAME = ".creating.lock"

_LAST_DATABASE = os.path.join("schedules", "schedules.db")
_LOCK_SECONDS = 60.0  # creating takes one; a timeout is an OSError


class DagsterHome(dg.DagsterInstance):
    """A Dagster instance like any other, whose databases are created under a lock."""

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        """Return no further settings."""
        return {}

    @classmethod
    def config_defaults(cls, base_dir: str) -> dict[str, Any]:
        """Create the databases in a home that has none, and return Dagster's own defaults.

        Args:
            base_dir: The home: DAGSTER_HOME, or the temporary folder of a command that has none.
        """
        # Where nothing can be locked or written, Dagster goes on alone, and reports what it cannot do.
        with (
            suppress(OSError, NotImplementedError),
            FileLock(os.path.join(base_dir, LOCK_NAME), _LOCK_SECONDS),
        ):
            if not os.path.exists(os.path.join(base_dir, _LAST_DATABASE)):
                DagsterSqliteStorage(base_dir).dispose()
        return dict(InstanceRef.config_defaults(base_dir))
