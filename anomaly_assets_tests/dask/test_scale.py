"""Test the cost model, compared with known results."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="needs the extra `dask`")

from anomaly_assets.decoding.batches import tasks_of
from anomaly_assets.decoding.workers import Compute
from anomaly_assets.warehouse.base import ROW_GROUP_SIZE
from benchmarks.chart import write_between, write_table
from benchmarks.costs import Costs
from benchmarks.dask import PAGE, RESULTS
from benchmarks.lake import LakeCosts
from benchmarks.model import (
    _sizes,
    fewest_workers,
    lake_rates,
    load_seconds,
    rates,
    simulate,
)
from benchmarks.scale import COSTS, tables
from benchmarks.scale_tables import ceilings, predicted

FREE = Costs(0.0, 0.0, 0.01, 0.0, 0.0, 0.0, 1e-9, 1.0, 1.0, 1.0)
"""Nothing costs anything but decoding: 10 ms."""

USUAL = Costs(1.0, 3e-5, 0.01, 1e-3, 2e-3, 5e-4, 1e-3, 250_000.0, 1e6, 500.0)

LAKE = LakeCosts(1e-3, 0.5e-3, 5e-3, 10e-3)


@pytest.mark.parametrize("images", [1, 7, 64, 2048, 2049, 5000])
@pytest.mark.parametrize(("batch_images", "window"), [(32, 8), (8, 32), (1, 1)])
def test_the_simulation_cuts_tasks_as_the_build_does(
    images: int, batch_images: int, window: int
) -> None:
    first = images % ROW_GROUP_SIZE
    rows = [first] * bool(first) + [ROW_GROUP_SIZE] * (images // ROW_GROUP_SIZE)
    compute = Compute(None, batch_images, window)  # type: ignore[arg-type]
    built = [task for transaction in tasks_of(rows, compute) for task in transaction]
    assert [*_sizes(images, batch_images, window)] == built
    assert sum(built) == images


@pytest.mark.parametrize("workers", [1, 2, 8, 100])
def test_where_only_decoding_costs_workers_share_it_evenly(workers: int) -> None:
    images = 20_000
    assert simulate(FREE, workers, images) == pytest.approx(images * 0.01 / workers, rel=0.03)


def test_workers_are_the_bottleneck_until_the_driver_is() -> None:
    assert load_seconds(USUAL, 1, 10_000)[1] == "workers"
    assert load_seconds(USUAL, 1000, 10_000)[1] == "driver"
    seconds = [load_seconds(USUAL, workers, 10**6)[0] for workers in (1, 10, 100)]
    assert seconds == sorted(seconds, reverse=True)


def test_model_and_simulation_agree_on_a_long_load() -> None:
    for workers in (1, 4, 32):
        told, _ = load_seconds(replace(USUAL, listing_seconds=0.0), workers, 100_000)
        assert simulate(USUAL, workers, 100_000) == pytest.approx(told, rel=0.05)


def test_an_added_cost_is_added() -> None:
    assert simulate(FREE, 1, 100, sleep=0.09) == pytest.approx(10.0, rel=0.001)


def test_the_tables_have_a_row_for_each_number_of_workers() -> None:
    assert len(predicted(USUAL)) == len(ceilings(USUAL)) == 2 + 4
    assert rates(USUAL, 1)["network"] == pytest.approx(5000)


def test_workers_that_write_are_slower_until_the_driver_that_writes_is_at_its_end() -> None:
    worker, end = 1 / (0.01 + 1e-3), 1 / (1e-3 + 2e-3 / 32)
    assert lake_rates(USUAL, LAKE, 1) == pytest.approx((worker, 1 / (0.01 + 1.5e-3)))
    assert lake_rates(USUAL, LAKE, 100)[0] == pytest.approx(end, rel=0.05)
    turn = fewest_workers(lambda n: lake_rates(USUAL, LAKE, n)[1] > lake_rates(USUAL, LAKE, n)[0])
    assert turn == 11  # 11 workers that write do 957 a second, the driver 941 and ten workers 909
    with pytest.raises(LookupError):
        fewest_workers(lambda workers: False)


def test_the_page_says_what_was_measured_and_what_follows_from_it(tmp_path: Path) -> None:
    page = Path(shutil.copy(PAGE, tmp_path))
    write_table(json.loads(RESULTS.read_text("utf-8")), page)
    for name, lines in tables(json.loads(COSTS.read_text("utf-8"))).items():
        write_between(page, f"<!-- {name}, written by make bench-dask -->", lines)
    assert page.read_text("utf-8") == PAGE.read_text("utf-8")
