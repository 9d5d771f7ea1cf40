"""Write the shape of the asset graph as text, to be compared with `asset_graph.json`.

After an intended change, write the file again and read the diff:

    python -m anomaly_assets_tests.assets.graph > anomaly_assets_tests/asset_graph.json
"""

import json
import sys
from pathlib import Path
from typing import Any

import dagster as dg

from anomaly_assets.definitions import defs

SNAPSHOT = Path(__file__).parents[1] / "asset_graph.json"


def graph_text() -> str:
    """Return assets, jobs, schedules and sensors, sorted, one fact per line."""
    repository = defs.get_repository_def()
    shape = {
        "assets": {
            spec.key.to_user_string(): _asset(spec) for spec in defs.resolve_all_asset_specs()
        },
        "jobs": {job.name: _selected(job) for job in repository.get_all_jobs() if _is_ours(job)},
        "schedules": {
            schedule.name: {
                "job": schedule.job_name,
                "execution_timezone": schedule.execution_timezone,
                "default_status": schedule.default_status.value,
            }
            for schedule in repository.schedule_defs
        },
        "sensors": {
            sensor.name: {
                "job": sensor.job_name,
                "minimum_interval_seconds": sensor.minimum_interval_seconds,
                "default_status": sensor.default_status.value,
            }
            for sensor in repository.sensor_defs
        },
    }
    return json.dumps(shape, indent=2, sort_keys=True) + "\n"


def _asset(spec: dg.AssetSpec) -> dict[str, Any]:
    graph = defs.resolve_asset_graph()
    node = graph.get(spec.key)
    checks = [graph.get(key) for key in node.check_keys]
    return {
        "upstreams": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
        "group": spec.group_name,
        "kinds": sorted(spec.kinds),
        "owners": sorted(spec.owners),
        "external": node.is_external,
        "pools": sorted(node.pools or ()),
        "checks": {
            check.key.name: "blocking" if check.blocking else "not blocking" for check in checks
        },
    }


def _selected(job: dg.JobDefinition) -> list[str]:
    return sorted(key.to_user_string() for key in job.asset_layer.selected_asset_keys)


def _is_ours(job: dg.JobDefinition) -> bool:
    return not job.name.startswith("__")


if __name__ == "__main__":
    sys.stdout.write(graph_text())
