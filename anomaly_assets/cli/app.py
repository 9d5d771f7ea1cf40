"""List the sub-commands of `anomaly-assets`; each is imported when it is used."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import click

from anomaly_assets.cli.running import NAME, examples, program, run
from anomaly_assets.version import __version__

_MODULES = {
    "materialize": "materialize",
    "evaluate": "evaluate",
    "datasets": "datasets",
    "load": "load",
    "forget": "forget",
    "split": "split",
    "export": "export",
    "gallery": "gallery",
    "corrections": "corrections",
    "copy": "copy",
    "expire": "expire",
    "excerpt": "excerpt",
    "info": "info",
    "log": "log",
    "completion": "completion",
}
"""Modules of the sub-commands, in the order of the help text; each has its command as `command`."""


class _Commands(click.Group):
    """Import the module of a sub-command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, in the order in which they are needed."""
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one sub-command; None if there is none of this name."""
        if cmd_name not in _MODULES:
            return None
        module = import_module(f"anomaly_assets.cli.{_MODULES[cmd_name]}")
        found: click.Command = module.command
        return found


@click.command(
    cls=_Commands,
    epilog=examples(
        "anomaly-assets materialize",
        "anomaly-assets export --format parquet --out export/parquet",
        "anomaly-assets export --help",
    )
    + "\n\n\b\nExit codes:\n  0    success\n  1    the command failed; the reason is on stderr\n"
    "  2    the arguments cannot be used; nothing was read or run\n  130  stopped by Ctrl-C",
)
@click.version_option(__version__, prog_name=NAME)
def command() -> None:
    """Build, read and export one database of anomaly-detection images."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(command, arguments, program())
