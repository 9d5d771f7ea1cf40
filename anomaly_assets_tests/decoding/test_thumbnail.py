"""Test thumbnails of tensors."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly_assets.decoding.thumbnail import SIDE, thumbnail_of


@pytest.mark.parametrize("channels", [1, 3])
def test_a_thumbnail_has_the_means_of_boxes(channels: int) -> None:
    boxes = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 1), np.uint8)
    pixels = boxes.repeat(8, axis=0).repeat(8, axis=1).repeat(channels, axis=2)
    assert thumbnail_of(pixels) == boxes.tobytes()


@pytest.mark.parametrize("size", [(32, 32), (33, 50), (100, 256), (256, 47)])
def test_every_size_gives_a_thumbnail_of_one_size(size: tuple[int, int]) -> None:
    ramp = np.linspace(0, 255, size[1]).astype(np.uint8)
    pixels = np.broadcast_to(ramp[None, :, None], (*size, 3))
    made = np.frombuffer(thumbnail_of(pixels) or b"", np.uint8).reshape(SIDE, SIDE)
    assert (np.diff(made.astype(int), axis=1) > 0).all()
    assert np.abs(made.astype(int) - made[0]).max() <= 1


@pytest.mark.parametrize("size", [(31, 32), (32, 31), (8, 6)])
def test_a_smaller_tensor_has_no_thumbnail(size: tuple[int, int]) -> None:
    assert thumbnail_of(np.zeros((*size, 3), np.uint8)) is None
