"""What decodes: batches that bound the driver's memory, and words for what is missing."""

from __future__ import annotations

import sys

import pytest

from anomaly_assets.tensors.cluster import _batches, decode_on_worker
from anomaly_assets.tensors.compute import ComputeError, open_compute
from anomaly_assets.tensors.spec import TensorSpec
from anomaly_assets.version import code_version


@pytest.mark.parametrize("threads", [1, 2, 8, 64, 256, 1000])
@pytest.mark.parametrize("side", [32, 256, 1024, 4096])
def test_the_tensors_in_flight_are_bounded_and_tasks_are_worth_their_overhead(
    threads: int, side: int
) -> None:
    spec = TensorSpec(side, side, 3)
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
        pytest.raises(ComputeError, match=r"pip install 'anomaly_assets\[dask\]'"),
        open_compute("dask://127.0.0.1:8786", {}, TensorSpec(), workers=1),
    ):
        pass


def test_a_worker_that_came_later_with_another_version_refuses_the_task() -> None:
    assert decode_on_worker(code_version(), [], {}, TensorSpec()).images == 0
    with pytest.raises(ComputeError, match="install the same"):
        decode_on_worker("0.0.1+000000000000", [], {}, TensorSpec())
