"""Make the thumbnail of a tensor, by which near duplicates are found."""

from __future__ import annotations

from PIL import Image

from anomaly_assets.decoding.tensors import UInt8Array

SIDE = 32
"""Height and width of a thumbnail, in pixels."""


def thumbnail_of(pixels: UInt8Array) -> bytes | None:
    """Return the grey thumbnail of a tensor: the mean of each of its boxes, row-major `SIDE` x `SIDE`.

    It is made from the stored pixels and not from the file. So an image that an earlier release decoded
    gets the same thumbnail without decoding it again.

    Args:
        pixels: uint8, height x width x channels, with 1 or 3 channels.

    Returns:
        The bytes; None if the tensor is smaller than a thumbnail.
    """
    height, width, channels = pixels.shape
    if min(height, width) < SIDE:
        return None
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    # `reduce` takes whole pixels only, and a third of the time of `resize`.
    small = picture.reduce((width // SIDE, height // SIDE))
    if small.size != (SIDE, SIDE):
        small = small.resize((SIDE, SIDE), Image.Resampling.BOX)
    return small.convert("L").tobytes()
