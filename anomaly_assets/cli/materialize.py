"""Refresh every asset, or a selection of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from anomaly_assets.cli.described import described, nothing_yet
from anomaly_assets.cli.running import CommandError, UsageError, begin_work, examples, interrupted
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.garbage import uncollected


def _refuse_partition(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Raise `UsageError` if `--partition` of `dagster asset materialize` is used; no asset has any."""
    if value is not None:
        raise UsageError(
            "No asset has partitions, so there is no --partition. To load one category, run anomaly-assets "
            """load NAME --category CATEGORY, or use --config-json '{"ops": {"NAME": {"config": """
            """{"categories": ["CATEGORY"]}}}}', where NAME is a source dataset such as mvtec_ad."""
        )


@click.command(
    epilog=examples(
        "anomaly-assets materialize",
        "MVTEC_AD_ROOT=/data/mvtec_ad anomaly-assets materialize --select '+image_tensors'",
        "anomaly-assets materialize \\",
        """    --config-json '{"ops": {"mvtec_ad": {"config": {"allow_shrink": true}}}}'""",
    )
)
@click.option(
    "--select",
    default="not group:evaluation",
    show_default=True,
    help="Assets, in Dagster's selection syntax.",
)
@click.option("--config-json", metavar="JSON", help="Run config of this run.")
@click.option(
    "-c",
    "--config",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="YAML file with run config; may be repeated.",
)
@click.option("--verbose", is_flag=True, help="Print Dagster's own log, with stack traces.")
@click.option("--partition", hidden=True, expose_value=False, callback=_refuse_partition)
def command(select: str, config_json: str | None, config: tuple[str, ...], verbose: bool) -> int:
    """Refresh the database: list the roots, decode what changed, check, publish.

    The run is stored in the Dagster home (DAGSTER_HOME, or data/dagster_home below the working folder) and
    appears in the UI. Failed checks are listed at the end. Those that block publishing fail the run.
    """
    run_config = _run_config(config_json, config)
    published = run_graph(select, run_config, config_files=config, verbose=verbose)
    if not isinstance(published, bool):
        return published
    print("" if published else f"\n{_NOT_PUBLISHED}")
    try:
        text = described()
    except (AnomalyAssetsError, LookupError, OSError, ValueError) as error:
        text = nothing_yet(error)
    print(text)
    return 0


def run_graph(
    select: str,
    run_config: Mapping[str, Any],
    *,
    config_files: Sequence[str] = (),
    verbose: bool = False,
) -> bool | int:
    """Run a part of the graph in this process; see `assets.run.materialize`.

    Returns:
        True if the published database was part of the run, else False; after Ctrl-C the exit code.

    Raises:
        UsageError: The selection or the run config cannot be used.
        CommandError: The run failed.
    """
    # Dagster takes seconds to import, which wrong arguments need not wait for.
    with uncollected():
        from anomaly_assets.assets.run import (
            RunConfigError,
            RunFailedError,
            RunStoppedError,
            materialize,
        )

    begin_work()
    try:
        return materialize(select, run_config, config_files=config_files, verbose=verbose)
    except RunStoppedError as stopped:
        return interrupted(str(stopped))
    except RunConfigError as error:
        raise UsageError(str(error)) from error
    except RunFailedError as error:
        raise CommandError(str(error)) from error


_NOT_PUBLISHED = "Not published in this run, because --select leaves out published_database."


def _run_config(text: str | None, files: tuple[str, ...]) -> Mapping[str, Any]:
    """Return the run config that `--config-json` holds."""
    if text is None:
        return {}
    if files:
        raise UsageError("Use --config-json or --config, not both.")
    try:
        config = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--config-json is not JSON: {error}.") from error
    if not isinstance(config, dict):
        raise UsageError("--config-json has to be a JSON object, such as '{\"ops\": {}}'.")
    return config
