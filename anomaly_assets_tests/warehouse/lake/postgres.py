"""Start Debian's PostgreSQL, with a password, and make a separate database for every test."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from anomaly_assets_tests.stores.servers import (
    HOST,
    NotInstalledError,
    free_ports,
    running,
    temporary_folder,
)

USER = "anomaly_tests"
PASSWORD = "lake+secret '0123\\"
NOBODY = "nobody"
"""PostgreSQL refuses to run as root, so root lets it run as this user."""


@dataclass(frozen=True)
class Postgres:
    """A running server.

    Attributes:
        port: Port on loopback.
    """

    port: int

    def conninfo(self, database: str, **values: str) -> str:
        return psycopg.conninfo.make_conninfo(
            host=HOST, port=self.port, user=USER, dbname=database, **values
        )

    def location(self, database: str, **values: str) -> str:
        """Return the location as users set it, with `PGPASSWORD` in the environment."""
        return f"ducklake:postgres:{self.conninfo(database, **values)}"

    def create(self, database: str, template: str = "template1") -> None:
        with self.session("postgres") as session:
            session.execute(f"CREATE DATABASE {database} TEMPLATE {template}".encode())

    def session(self, database: str) -> psycopg.Connection:
        return psycopg.connect(self.conninfo(database, password=PASSWORD), autocommit=True)

    def answers(self) -> bool:
        try:
            self.session("postgres").close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgresql() -> Iterator[Postgres]:
    """Run PostgreSQL.

    Raises:
        NotInstalledError: Debian's package `postgresql` is missing.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    programs = found[-1].parent if found else shutil.which("postgres")
    if programs is None:
        raise NotInstalledError("postgres is not installed: make stores")
    folder_of_programs = Path(programs) if found else Path(programs).parent
    with temporary_folder() as folder:
        data = folder / "data"
        data.mkdir()
        password = folder / "password"
        password.write_text(PASSWORD)
        prefix = []
        if os.geteuid() == 0:
            folder.chmod(0o755)
            shutil.chown(data, NOBODY)
            prefix = ["setpriv", f"--reuid={NOBODY}", "--clear-groups"]
        subprocess.run(
            [
                *prefix,
                str(folder_of_programs / "initdb"),
                *("-D", str(data), "-U", USER, "--pwfile", str(password)),
                *("--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C"),
            ],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        (port,) = free_ports(1)
        command = [
            *prefix,
            str(folder_of_programs / "postgres"),
            *("-D", str(data), "-h", HOST, "-p", str(port), "-k", "", "-F"),
            # It is killed at the end, and would leave 2 MB in /dev/shm.
            *("-c", "dynamic_shared_memory_type=mmap"),
        ]
        server = Postgres(port)
        with running(command, server.answers, folder):
            yield server
