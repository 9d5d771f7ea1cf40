"""Test the SQL and the Python that the page gives: on a database they select what is on the screen.

Views are random. Names have quotes, backslashes, comments, line separators and letters of other scripts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import duckdb
import pytest

from anomaly_assets.gallery.build import build_gallery
from anomaly_assets_tests.declared.conftest import Declared
from anomaly_assets_tests.declared.test_attributes import load_parts
from anomaly_assets_tests.gallery.data_files import index
from anomaly_assets_tests.gallery.scripts import evaluated
from anomaly_assets_tests.warehouse.project import SPEC, Project

DECLARATION = """
[parts]
images = ["{category}/{split}/{defect_type}/{name}"]
licence = "CC 'BY'"

[[parts.tables]]
path = "parts.csv"
columns = { image = "file" }
attributes.camera = "camera"
attributes.serial = { column = "SN", type = "integer" }
attributes.weight = { column = "kg", type = "number" }
attributes.rework = { column = "rework", type = "boolean" }
attributes.captured_at = { column = "time", type = "time" }

[lids]
images = ["{defect_type}/{name}"]

[news]
images = ["{name}"]
"""
HOSTILE = 'it\'s "x" \\ --ä\u2028\u202e😀'
CATEGORIES = ("bolt", HOSTILE, "of train alone")
VIEWS = 120
RUN_IN_PYTHON = 25
EXPRESSION = """(() => {
  const table = tableOf(input.index);
  return input.views.map((address) => {
    const view = viewOf(address, table);
    const ids = Array.from(selected(table, view).rows, (row) => table.ids[row]);
    const byIds = ids.slice(0, 9);
    return { ids, sql: sqlOf(table, view, []), python: pythonOf(table, view, []), byIds,
      sqlByIds: sqlOf(table, view, byIds), pythonByIds: pythonOf(table, view, byIds) };
  });
})()"""


class Shown(NamedTuple):
    """Address of a view, the ids on the screen in their order, the code for them, and that by ids."""

    address: str
    ids: list[str]
    sql: str
    python: str
    byIds: list[str]
    sqlByIds: str
    pythonByIds: str


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Publish images of three datasets, and give them scores, areas, times and failed checks."""
    chance = random.Random(22)
    with pytest.MonkeyPatch.context() as patch:
        own = Declared(Project.at(tmp_path_factory.mktemp("project")), patch)
        own.declare(DECLARATION)
        paths = [
            f"{category}/{split}/{defect}/{number}.png"
            for category in CATEGORIES
            for split in ("train", "test")
            for defect in ("good", "Hole", f"stain {HOSTILE}")
            for number in range(3)
            if split == "train" or category != CATEGORIES[2] or defect != "good"
        ]
        own.image(*(f"parts/{path}" for path in paths))
        own.image(*(f"lids/{defect}/{n}.png" for defect in ("good", "hole") for n in range(4)))
        own.image("news/a.png", "news/b.png")
        values = (
            ("", "L", HOSTILE.replace('"', "")),
            ("", "7", "8"),
            ("", "0.1", "2.5"),
            ("", "yes", "no"),
            ("", "2026-01-02T03:04:05.5Z", "2026-01-03T23:59:59Z"),
        )
        rows = [
            ";".join(['"' + path.replace('"', '""') + '"', *map(chance.choice, values)]) + "\n"
            for path in paths
        ]
        own.text("parts/parts.csv", "file;camera;SN;kg;rework;time\n" + "".join(rows))
        load_parts(own, "parts", "lids", "news")
        path = own.project.folder / "anomaly.duckdb"
        own.project.warehouse.publish(path, SPEC)
        with duckdb.connect(str(path)) as connection:
            _measure(connection, chance)
        yield path


def _measure(connection: duckdb.DuckDBPyConnection, chance: random.Random) -> None:
    found = connection.execute("SELECT image_id, label FROM anomaly.samples_without_tensors")
    for image_id, label in found.fetchall():
        score = chance.choice([None, 0.25, 0.25 + chance.random() / 1e6, chance.random()])
        connection.execute(
            "INSERT INTO baseline_scores BY NAME SELECT image_id, ? AS recipe, source_dataset, category, "
            "if(?, 'replaced', content_sha256) AS content_sha256, 'test' AS role, label, ? AS score "
            "FROM samples WHERE image_id = ?",
            [SPEC.name, chance.random() < 0.2, score, image_id],
        )
        area = chance.choice([0.03, 0.03 - 1e-9, chance.random()]) if label == "anomalous" else None
        loaded = datetime(2026, 11, 29) + timedelta(seconds=chance.choice([0, 0.25, 86399.75]))
        connection.execute(
            "UPDATE image_tensors SET loaded_at = $1, mask_area_fraction = $2, mask_tensor = "
            "CASE WHEN $2 >= 0 THEN repeat('\\x01'::BLOB, height * width) END WHERE image_id = $3",
            [loaded, area, image_id],
        )
        for asset, check in (("samples", "pairs"), ("images", "copies"), ("samples", HOSTILE)):
            if chance.random() < 0.2:
                connection.execute(
                    "INSERT INTO quality_images BY NAME SELECT ? AS asset, ? AS check_name, "
                    "(SELECT count(*) FROM quality_images) + 1 AS place, ? AS image_id, '' AS affected",
                    [asset, check, image_id],
                )
    connection.execute(
        "INSERT INTO quality BY NAME SELECT DISTINCT asset, check_name, false AS passed, "
        "'warning' AS severity, 1 AS affected, asset AS sentence FROM quality_images "
        "WHERE (asset, check_name) NOT IN (SELECT (asset, check_name) FROM quality)"
    )


@pytest.fixture(scope="module")
def views(database: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Shown]:
    folder = tmp_path_factory.mktemp("gallery")
    build_gallery(folder, str(database), details=False)
    data = index(folder)
    chance = random.Random(1)
    addresses = ["", *(_address(data, chance) for _ in range(VIEWS))]
    answers = evaluated(EXPRESSION, {"index": data, "views": addresses})
    return [Shown(address, **each) for address, each in zip(addresses, answers, strict=True)]


def _address(data: dict[str, Any], chance: random.Random) -> str:
    """Return a random view; every value and every end of a range is one of the data."""
    words, columns, attributes = data["words"], data["columns"], data["attributes"]
    datasets = words["source_dataset"]
    choices = {
        "category": [
            f"{datasets[each['source_dataset']]}/{each['name']}" for each in words["category"]
        ],
        "check": [each["name"] for each in words["check"]],
        "dataset": datasets,
        "label": words["label"],
        "defect": words["defect_type"],
        "split": words["split"],
        "evidence": words["label_source"],
        "licence": words["licence"],
    }
    values = {key: columns[key] for key in ("score",)}
    values |= {"area": columns["defect_area"], "loaded": columns["loaded_at"], "rank": [0, 0.5, 1]}
    for name, each in attributes.items():
        if "words" in each:
            choices[f"a.{name}"] = each["words"]
        else:
            values[f"a.{name}"] = each["values"]
    parts: list[tuple[str, str]] = []
    for key, found in choices.items():
        if chance.random() < 0.2:
            parts += [(key, word) for word in {chance.choice([*found, ""]) for _ in range(2)}]
    for key, numbers in values.items():
        if chance.random() < 0.2:
            known = sorted({float(f"{each:.12g}") for each in numbers if each is not None})
            low, high = (chance.choice([*known, ""]) for _ in range(2))
            parts.append((key, f"{low}..{high}"))
    if chance.random() < 0.2:
        parts.append(("search", chance.choice(["HOLE", "1.png bolt", "Ä", "\u202e"])))
    parts.append(("sort", chance.choice(["", "-"]) + chance.choice([*values])))
    return urlencode(parts)


def test_the_sql_selects_what_is_on_the_screen_in_its_order(
    database: Path, views: list[Shown]
) -> None:
    with duckdb.connect(str(database), read_only=True) as connection:
        for view in views:
            asked = [(view.sql, view.ids)]
            if view.byIds:
                asked.append((view.sqlByIds, view.byIds))
            for query, ids in asked:
                found = [row[0] for row in connection.execute(query).fetchall()]
                assert found == ids, f"{view.address}\n{query}"
    assert sum(0 < len(view.ids) < len(views[0].ids) for view in views) > VIEWS / 3


@pytest.mark.slow
def test_the_python_selects_what_is_on_the_screen(
    database: Path, views: list[Shown], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the text that the page shows, as a user does who set the location of the database."""
    monkeypatch.setenv("ANOMALY_DATABASE", str(database))
    shown = [each for each in views if each.ids][:RUN_IN_PYTHON]
    asked = [(each.python, each.ids) for each in shown]
    asked += [(each.pythonByIds, each.byIds) for each in shown[:3]]
    for python, ids in asked:
        names: dict[str, Any] = {}
        exec(python, names)
        assert sorted(names["samples"].table["image_id"].to_pylist()) == sorted(ids), python
