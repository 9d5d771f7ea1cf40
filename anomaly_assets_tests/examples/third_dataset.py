"""Actions in a checkout with a third source dataset, for `test_third_dataset.py`; prints JSON.

It runs in a separate process, in which `anomaly_assets` is that checkout's.
"""

import json

from anomaly_assets.cli.excerpt import make_excerpt
from anomaly_assets.definitions import defs
from anomaly_assets.reader import open_samples
from anomaly_assets.roots.open import open_root
from anomaly_assets.settings import Settings
from anomaly_assets_tests.assets.runs import Run, offenders, run_job


def main() -> None:
    """Inspect the graph; run without the dataset, with it, and for it alone; read and cut it."""
    settings = Settings.from_environment()
    root = settings.roots["btad"]
    assert root
    first, again = run_job(), run_job("refresh_btad")
    samples = open_samples(source_dataset="btad", database=settings.database)
    excerpt = make_excerpt(open_root(root), settings.database.parent / "excerpt", 1, 0)
    repository = defs.get_repository_def()
    print(
        json.dumps(
            {
                "assets": sorted(
                    spec.key.to_user_string()
                    for spec in defs.resolve_all_asset_specs()
                    if spec.group_name == "btad"
                ),
                "jobs": sorted(job.name for job in repository.get_all_jobs()),
                "sensors": sorted(sensor.name for sensor in repository.sensor_defs),
                "first": _told(first),
                "again": _told(again),
                "read": {"samples": len(samples), "shape": samples.images[0].shape},
                "excerpt": [excerpt.source_dataset, excerpt.images, excerpt.masks],
            }
        )
    )


def _told(run: Run) -> dict[str, object]:
    return {
        "success": run.success,
        "failures": run.failures,
        "checks": sorted(run.checks),
        "failed_checks": {name: offenders(run.checks[name]) for name in sorted(run.failed_checks)},
        "added": {name: metadata.get("rows_added") for name, metadata in run.materialized.items()},
        "sheets": sorted(run.materialized.get("contact_sheets", {})),
    }


if __name__ == "__main__":
    main()
