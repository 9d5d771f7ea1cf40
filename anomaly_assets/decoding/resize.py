"""Resize images with LANCZOS, with Pillow or with SIMD instructions.

Each implementation is a backend. Both compute the same filter in two passes, one for the width and one for
the height, and round to 8 bits in between. Their rounding differs: values of the two backends differ by at
most 2 levels. The order of the passes matters more, up to 60 levels at sharp edges. The backend `simd` has
the order of Pillow 13; Pillow 12 and older resize the width first. Each tensor is stored with the name of
the backend that resized it.

The package `cykooz-resizer` chooses its instructions by the processor: AVX2, SSE4.1, NEON, or none. All
must give the same pixels. Not all of them can be tested here, so each process resizes small pictures first,
and compares the result with a digest.
"""

from __future__ import annotations

import hashlib
import threading
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from anomaly_assets.errors import AnomalyAssetsError

BACKENDS = ("pillow", "simd")
"""Names of the resize backends."""

_PACKAGE = "cykooz-resizer"
_DIGEST = "ba6df9da056cfa12c424dfa9bf24ebdca003d4372e32c9de670cdb44c1fb409a"
"""SHA-256 of the built-in pictures, resized; it is the same on all processors."""

_PICTURES = (
    ("L", (67, 41), (19, 16)),
    ("L", (31, 53), (70, 90)),
    ("RGB", (61, 37), (17, 15)),
    ("RGB", (29, 17), (43, 35)),
    ("RGB", (97, 13), (32, 29)),
    ("L", (1031, 9), (64, 7)),
    ("L", (9, 1031), (7, 64)),
    ("RGB", (1027, 7), (61, 9)),
    ("RGB", (7, 1027), (9, 61)),
    ("RGB", (23, 40), (25, 17)),
)
"""Mode, size and new size: smaller, larger and both, long filters, widths that fill no whole register."""

_this_thread = threading.local()


class SimdUnavailableError(AnomalyAssetsError, RuntimeError):
    """This machine cannot resize with the backend `simd`; the message names the package to install."""


def resize_image(image: Image.Image, width: int, height: int, backend: str) -> Image.Image:
    """Resize an image with LANCZOS; other threads run meanwhile.

    Args:
        image: An image of mode `L` or `RGB`.
        width: New width, in pixels.
        height: New height, in pixels.
        backend: One of `BACKENDS`.

    Returns:
        A new image of the same mode. A direction whose size stays the same is not filtered.

    Raises:
        SimdUnavailableError: The backend is `simd`, and `why_not_simd` returns a reason.
        ValueError: The backend is unknown, or the image has another mode.
    """
    if backend not in BACKENDS:
        raise ValueError(
            f"Unknown resize backend {backend!r}; choose one of {', '.join(BACKENDS)}."
        )
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"An image of mode {image.mode} has to be converted to L or RGB first.")
    if backend == "pillow":
        return image.resize((width, height), Image.Resampling.LANCZOS)
    return _in_two_passes(_checked_resizer(), image, width, height)


@cache
def why_not_simd() -> str | None:
    """Return the reason why this machine cannot resize with the backend `simd`; None if it can.

    The answer is computed once per process, in less than 2 ms.
    """
    try:
        resizer = _new_resizer()
    except ImportError as error:
        return (
            f"The package {_PACKAGE} cannot be imported ({error}). Install it: pip install {_PACKAGE}. "
            "On a system without a ready-made wheel, pip needs Rust to build it."
        )
    if _digest(resizer) != _DIGEST:
        return (
            f"The package {_PACKAGE} gives other pixels on this machine than on others: its test picture "
            "has another digest. Install the version of requirements.lock; if that does not help, report "
            "the processor."
        )
    return None


def _new_resizer() -> tuple[Any, Any]:
    """Return a resizer and its options, for one thread: neither is thread-safe."""
    import cykooz_resizer as package

    # Without a thread pool in the options, all work is done in the calling thread.
    lanczos = package.ResizeAlg.convolution(package.FilterType.lanczos3)
    return package.Resizer(), package.ResizeOptions(lanczos)


def _checked_resizer() -> tuple[Any, Any]:
    """Return this thread's resizer and options, once the check has passed in this process."""
    kept = _this_thread.__dict__.get("resizer")
    if kept is None:
        if (reason := why_not_simd()) is not None:
            raise SimdUnavailableError(reason)
        kept = _this_thread.resizer = _new_resizer()
    return kept


def _in_two_passes(
    resizer: tuple[Any, Any], image: Image.Image, width: int, height: int
) -> Image.Image:
    """Resize one direction, then the other; in one call the package differs from Pillow by 20 levels.

    It reads and writes the memory of Pillow's images, without a copy.
    """
    resize, options = resizer
    source = image
    half_way = (
        (image.width, height) if _height_first(image, width, height) else (width, image.height)
    )
    for size in (half_way, (width, height)):
        if size != image.size:
            target = Image.new(image.mode, size)
            resize.resize_pil(image, target, options)
            image = target
    return image.copy() if image is source else image


def _height_first(image: Image.Image, width: int, height: int) -> bool:
    """Return whether the height is resized first: if it loses more than twice the pixels of the width."""
    lost = image.height - height
    return lost > 0 and lost > 2 * (image.width - width)


def _digest(resizer: tuple[Any, Any]) -> str:
    """Return the SHA-256 of all built-in pictures, resized."""
    sha256 = hashlib.sha256()
    for mode, (width, height), size in _PICTURES:
        picture = _picture(mode, width, height)
        sha256.update(_in_two_passes(resizer, picture, *size).tobytes())
    return sha256.hexdigest()


def _picture(mode: str, width: int, height: int) -> Image.Image:
    """Return a picture with noise, edges and flat areas, the same on every machine."""
    at = np.arange(width * height * len(mode), dtype=np.uint32)
    noise = (at * at * np.uint32(2654435761) + at * np.uint32(40503)) >> np.uint32(24)
    flat = np.where(at // 211 % 3 == 0, at // 633 % 2 * 255, noise)
    return Image.frombytes(mode, (width, height), flat.astype(np.uint8).tobytes())
