"""Evaluate the baseline on the published images, and print its metrics."""

from __future__ import annotations

import click

from anomaly_assets.cli.materialize import run_graph
from anomaly_assets.cli.running import begin_work, examples, expected
from anomaly_assets.settings import published_database


@click.command(
    epilog=examples(
        "anomaly-assets evaluate", "anomaly-assets evaluate --category bolt --category woven"
    )
)
@click.option("--category", multiple=True, help="Only this category; may be repeated.")
@click.option("--verbose", is_flag=True, help="Print Dagster's own log, with stack traces.")
def command(category: tuple[str, ...], verbose: bool) -> int:
    """Train the baseline on good images, score all others, publish the results.

    It reads the published database and needs the extra `baseline`. Only categories whose images, labels or
    settings changed since the last evaluation are evaluated. An interrupted evaluation goes on from there.
    The data and their snapshot id do not change.
    """
    begin_work()
    with expected(ImportError, OSError):
        from anomaly_assets.evaluation.backbone import open_backbone
        from anomaly_assets.settings import Settings

        open_backbone(Settings.from_environment().backbone)  # else the run would only warn
    config = {"evaluation": {"config": {"categories": list(category)}}} if category else {}
    ended = run_graph("group:evaluation", {"ops": config} if config else {}, verbose=verbose)
    if not isinstance(ended, bool):
        return ended
    from anomaly_assets.assets.evaluation import unpublished
    from anomaly_assets.evaluation.report import metric_lines

    print()
    for reason in unpublished:
        print(f"{reason} The table shows the results that were published before.")
    for line in metric_lines(published_database(), category):
        print(line)
    return 0
