"""Start Debian's PgBouncer in front of the PostgreSQL of the tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from anomaly_assets_tests.stores.servers import (
    HOST,
    free_ports,
    installed,
    running,
    temporary_folder,
)
from anomaly_assets_tests.warehouse.lake.postgres import NOBODY, PASSWORD, USER, Postgres

_SETTINGS = """
[databases]
* = host={host} port={server} user={user} password='{password}'

[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
ignore_startup_parameters = options
server_round_robin = {round_robin}
"""


@contextmanager
def pgbouncer(postgres: Postgres, mode: str, *, round_robin: bool = False) -> Iterator[Postgres]:
    """Run a pooler, which is reached like the server itself.

    Args:
        postgres: The server.
        mode: `transaction` or `session`.
        round_robin: Use its sessions in turns, instead of the latest one first.

    Raises:
        NotInstalledError: Debian's package `pgbouncer` is missing.
    """
    program = installed("pgbouncer")
    (port,) = free_ports(1)
    with temporary_folder() as folder:
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            _SETTINGS.format(
                host=HOST,
                server=postgres.port,
                port=port,
                user=USER,
                password=PASSWORD.replace("'", "''"),
                mode=mode,
                round_robin=int(round_robin),
            )
        )
        command = [program, str(settings)]
        if os.geteuid() == 0:  # it refuses to run as root, like PostgreSQL
            folder.chmod(0o755)
            shutil.chown(settings, NOBODY)
            command = ["setpriv", f"--reuid={NOBODY}", "--clear-groups", *command]
        pooler = replace(postgres, port=port)
        with running(command, pooler.answers, folder):
            yield pooler
