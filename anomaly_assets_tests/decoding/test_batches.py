"""Test transactions and tasks: which images are stored together."""

from __future__ import annotations

import pyarrow as pa
import pytest

from anomaly_assets.decoding.batches import images_alike, transactions_of
from anomaly_assets.recipes import Recipe, Recipes

RECIPES = Recipes(Recipe(), {"dagm_2007": (Recipe(512, 512, 1),)})


@pytest.mark.parametrize(
    ("source_datasets", "expected"),
    [
        (["dagm_2007"] * 3 + ["mvtec_ad"] * 2, [3, 2]),
        (["btad", "dagm_2007", "dagm_2007", "mpdd", "mvtec_ad"], [1, 2, 2]),
        (["btad", "mpdd", "mvtec_ad"], [3]),
        ([], []),
    ],
)
def test_images_are_divided_where_the_recipes_change(
    source_datasets: list[str], expected: list[int]
) -> None:
    """Avoid that DuckDB holds a full row group of one recipe and two copies of the beginning of another."""
    stale = pa.table({"source_dataset": pa.array(source_datasets, pa.string())})
    assert images_alike(stale, RECIPES) == expected


def test_the_incomplete_transaction_is_the_first() -> None:
    assert transactions_of(5000, 2048) == [904, 2048, 2048]
    assert transactions_of(4096, 2048) == [2048, 2048]
