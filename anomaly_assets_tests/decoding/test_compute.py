"""Test executors of decoding: batches that limit the driver's memory, and messages for missing packages."""

from __future__ import annotations

import re
import sys

import pytest

from anomaly_assets.decoding.dask import _batches, decode_on_worker
from anomaly_assets.decoding.open import open_compute
from anomaly_assets.decoding.versions import how_it_differs, what_decides_pixels
from anomaly_assets.decoding.workers import ComputeError
from anomaly_assets.errors import install_extra
from anomaly_assets.recipes import Recipe


@pytest.mark.parametrize("threads", [1, 2, 8, 64, 256, 1000])
@pytest.mark.parametrize("side", [32, 256, 1024, 4096])
def test_the_tensors_in_flight_are_bounded_and_tasks_are_worth_their_overhead(
    threads: int, side: int
) -> None:
    spec = Recipe(side, side, 3)
    batch_images, window = _batches(threads, spec)
    assert 1 <= batch_images <= 32
    image_bytes = side * side * 4
    assert batch_images == 32 or (batch_images + 1) * image_bytes > 2 * 1024**2
    in_flight = batch_images * window
    assert in_flight * image_bytes <= max(1024**3, threads * image_bytes)
    assert in_flight >= threads - batch_images
    if threads <= 256 and side <= 256:
        assert window >= 2 * threads


def test_a_cluster_without_dask_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ComputeError, match=re.escape(install_extra("dask"))),
        open_compute("dask://127.0.0.1:8786", {}, Recipe(), workers=1),
    ):
        pass


def test_a_worker_that_came_later_with_another_version_refuses_the_task() -> None:
    wanted = what_decides_pixels()
    assert decode_on_worker(wanted, [], {}, Recipe()).images == 0
    with pytest.raises(ComputeError, match="install the same"):
        decode_on_worker({**wanted, "Pillow": "9.5.0"}, [], {}, Recipe())


@pytest.mark.parametrize(
    "name", ["anomaly_assets", "Pillow", "jpg in Pillow", "cykooz-resizer", "isal", "pywuffs"]
)
def test_whatever_decides_pixels_is_named_with_both_versions_where_it_differs(name: str) -> None:
    wanted = what_decides_pixels()
    assert how_it_differs(wanted, "host") is None
    assert how_it_differs({**wanted, name: "0.0.1"}, "host") == (
        f"host has {name} {wanted[name]}, the driver {name} 0.0.1: install the same."
    )


def test_all_that_differs_is_named_in_one_sentence() -> None:
    wanted = {**what_decides_pixels(), "Pillow": "9.5.0", "new": "1"}
    assert how_it_differs(wanted, "host") == (
        f"host has Pillow {what_decides_pixels()['Pillow']}, new none, the driver Pillow 9.5.0, new 1: "
        "install the same."
    )
