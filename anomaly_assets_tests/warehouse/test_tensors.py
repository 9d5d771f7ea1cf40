"""Test that a function is called with each stored tensor, and that few of them are in memory."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import pytest

from anomaly_assets.recipes import Recipe
from anomaly_assets.warehouse import tensors
from anomaly_assets.warehouse.tensors import Tensor, map_tensors
from anomaly_assets_tests.warehouse.project import Project, noise

SPEC = Recipe(32, 16, 3)
IDS = [f"mvtec_ad/bottle/train/good/{number:03}.png" for number in range(9)]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project.at(tmp_path)
    made.save({image_id: noise(number) for number, image_id in enumerate(IDS)})
    made.list_files()
    made.build(SPEC)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_named_tensors_come_in_the_order_of_their_ids(project: Project, workers: int) -> None:
    wanted = [IDS[0], "mvtec_ad/bottle/train/good/000.png.gone", *IDS[3:]]
    with project.warehouse.connect() as connection:
        found = [
            each for some in map_tensors(connection, wanted, lambda t: t, workers) for each in some
        ]
    assert sorted(each.image_id for each in found) == [IDS[0], *IDS[3:]]
    for each in found:
        assert np.array_equal(each.pixels, project.tensor(each.image_id, SPEC))
        stored = "SELECT content_sha256, transform FROM image_tensors WHERE image_id = ?"
        assert project.rows(stored, [each.image_id]) == [(each.content_sha256, each.transform)]


def test_the_database_may_have_any_name() -> None:
    """As on MotherDuck, where its name is that of the user's database."""
    with closing(duckdb.connect()) as connection:
        connection.execute('ATTACH \':memory:\' AS "my db"; USE "my db".main')
        connection.execute(
            "CREATE TABLE image_tensors AS SELECT 'one' AS image_id, '' AS content_sha256, "
            "'' AS transform, 1 AS height, 2 AS width, 1 AS channels, '\\x01\\x02'::BLOB AS image_tensor"
        )
        assert [*map_tensors(connection, ["one"], _name)] == [["one"]]


@pytest.mark.slow
def test_a_query_reads_a_few_tensors(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the sizes of the lists: DuckDB holds the whole result of a query in memory."""
    monkeypatch.setattr(tensors, "AT_ONCE_BYTES", 2 * 32 * 16 * 3)
    with project.warehouse.connect() as connection:
        parts = [len(some) for some in map_tensors(connection, IDS, _name, 2)]
    assert parts == [2, 2, 2, 2, 1]


@pytest.mark.slow
def test_a_tensor_above_the_limit_is_read_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensors, "AT_ONCE_BYTES", 1)
    with project.warehouse.connect() as connection:
        assert [*map_tensors(connection, IDS, _name)] == [[image_id] for image_id in IDS]
        assert [*map_tensors(connection, [], _name)] == []


def _name(tensor: Tensor) -> str:
    return tensor.image_id
