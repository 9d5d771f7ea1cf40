"""Show where the published database is and what it holds."""

from __future__ import annotations

import click

from anomaly_assets.cli.described import main
from anomaly_assets.cli.running import examples

__all__ = ["command", "main"]


@click.command(
    epilog=examples(
        "anomaly-assets info", "ANOMALY_DATABASE=/srv/anomaly.duckdb anomaly-assets info"
    )
)
def command() -> int:
    """Show where the published database is, what it holds, and how to read it."""
    return main()
