"""Print the names that no source dataset can have, to be compared with `datasets/taken_names.json`.

After an upgrade of DuckDB or Dagster, or a new table or asset, write it again (`make tables` does):

    python -m anomaly_assets_tests.datasets.taken > anomaly_assets/datasets/taken_names.json
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import duckdb
from dagster._core.definitions.utils import DISALLOWED_NAMES

import anomaly_assets
from anomaly_assets.assets import broken
from anomaly_assets.datasets import SOURCE_DATASETS
from anomaly_assets.datasets.source_dataset import TAKEN_NAMES_FILE
from anomaly_assets.definitions import defs
from anomaly_assets.tables.ddl import ALIAS_SCHEMA
from anomaly_assets.tables.registry import CATALOGUE_TABLES, TABLES

PACKAGE = Path(anomaly_assets.__file__).parent
DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)),
}
FILE = PACKAGE / "datasets" / TAKEN_NAMES_FILE


def taken_text() -> str:
    """Return the existing meaning of each name, sorted, one name per line."""
    tables = {*TABLES, *CATALOGUE_TABLES}
    ours = {*graph_names(), *attached_names(), ALIAS_SCHEMA}
    taken = {
        "a word of SQL": words_of_sql(),
        "a schema or a database of DuckDB": names_in_duckdb(),
        "a word that Python or Dagster keeps for itself": DISALLOWED_NAMES,
        "a device of Windows, which dlt refuses": DEVICES,
        "a table of this project": tables,
        "a name of this project": ours - tables,
    }
    listed = {what: sorted(filter(_is_name, names)) for what, names in taken.items()}
    return json.dumps(listed, indent=2) + "\n"


def words_of_sql() -> set[str]:
    """Return keywords that need quotation marks as the name of a schema."""
    query = (
        "SELECT keyword_name FROM duckdb_keywords() "
        "WHERE keyword_category IN ('reserved', 'type_function')"
    )
    with duckdb.connect(":memory:") as connection:
        return {word for (word,) in connection.execute(query).fetchall()}


def names_in_duckdb() -> set[str]:
    """Return schemas and databases that every DuckDB instance has."""
    query = "SELECT schema_name FROM duckdb_schemas() UNION SELECT database_name FROM duckdb_databases()"
    with duckdb.connect(":memory:") as connection:
        return {name for (name,) in connection.execute(query).fetchall()}


def graph_names() -> set[str]:
    """Return assets, groups, ops, jobs, schedules, sensors and resources of no source dataset."""
    repository = defs.get_repository_def()
    specs = list(defs.resolve_all_asset_specs())
    names = {spec.key.path[0] for spec in specs} | {str(spec.group_name) for spec in specs}
    names.add(broken.GROUP)  # in the graph only if a declaration has an error
    names |= repository.get_top_level_resources().keys()
    for job in repository.get_all_jobs():
        names |= {job.name.removeprefix("refresh_"), *(node.name for node in job.graph.nodes)}
    names |= {sensor.name for sensor in repository.sensor_defs}
    names |= {schedule.name for schedule in repository.schedule_defs}
    return set(_of_no_dataset(names))


def attached_names() -> set[str]:
    """Return the names under which this project attaches databases: literals or constants of a module."""
    names: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        found = re.findall(r"\bATTACH [^\n]* AS (\{?)(\w+)", path.read_text("utf-8"))
        names.update(name for brace, name in found if not brace)
        for constant in (name for brace, name in found if brace and name.isupper()):
            dotted = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            names.add(getattr(import_module(dotted), constant))
    return names


def _of_no_dataset(names: Iterable[str]) -> Iterable[str]:
    return (
        name
        for name in names
        if not any(name == known or name.startswith(f"{known}_") for known in SOURCE_DATASETS)
    )


def _is_name(name: str) -> bool:
    return re.fullmatch("[a-z][a-z0-9_]*", name) is not None


if __name__ == "__main__":
    sys.stdout.write(taken_text())
