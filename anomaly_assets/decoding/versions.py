"""Compare the versions that determine the pixels of a tensor; they must be equal on all machines."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import PIL
from PIL import features

from anomaly_assets.version import code_version

_LOSSY = ("jpg", "jpg_2000", "libtiff", "webp", "avif", "libjpeg_turbo")
"""Libraries in Pillow whose versions may change pixels. Inflating, as for PNG, always gives the same."""


def what_decides_pixels() -> dict[str, str]:
    """Return the versions that determine the pixels of a tensor, by name.

    NumPy is not among them, because it only holds pixels and adds integers.
    """
    return {
        "anomaly_assets": code_version(),
        "Pillow": PIL.__version__,
        **{f"{name} in Pillow": features.version(name) or "none" for name in _LOSSY},
        **{package: _installed(package) for package in ("cykooz-resizer", "isal", "pywuffs")},
    }


def how_it_differs(wanted: dict[str, str], host: str) -> str | None:
    """Compare the versions of this process with those of the driver.

    Args:
        wanted: Versions of the driver.
        host: Name of this machine in the message.

    Returns:
        A sentence with the differences; None if there are none.
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
