"""What decides which pixels a file becomes: versions that are equal wherever images are decoded."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import PIL
from PIL import features

from anomaly_assets.version import code_version

_LOSSY = ("jpg", "jpg_2000", "libtiff", "webp", "avif", "libjpeg_turbo")
"""Libraries in Pillow whose versions may give other pixels. Inflating, as for PNG, gives the same."""


def what_decides_pixels() -> dict[str, str]:
    """Return the versions of all that the pixels of a tensor follow from, by name.

    NumPy is not among them: it holds pixels, and adds integers.
    """
    return {
        "anomaly_assets": code_version(),
        "Pillow": PIL.__version__,
        **{f"{name} in Pillow": features.version(name) or "none" for name in _LOSSY},
        **{package: _installed(package) for package in ("isal", "pywuffs")},
    }


def how_it_differs(wanted: dict[str, str], host: str) -> str | None:
    """Compare the versions of this process with those of the driver.

    Args:
        wanted: The driver's.
        host: What to call this machine.

    Returns:
        A sentence that names what differs; None where nothing does.
    """
    here = what_decides_pixels()
    names = [name for name in {**wanted, **here} if here.get(name) != wanted.get(name)]
    if not names:
        return None
    theirs, ours = (
        ", ".join(f"{name} {versions.get(name, 'none')}" for name in names)
        for versions in (here, wanted)
    )
    return f"{host} has {theirs}, the driver {ours}: install the same."


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
