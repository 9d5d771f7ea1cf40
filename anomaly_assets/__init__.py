"""Load image datasets for anomaly detection into one DuckDB database, and read samples from it.

    import anomaly_assets

    samples = anomaly_assets.open_samples(category="woven", split="train")
    anomaly_assets.to_parquet("export/woven", category="woven")

These names are imported when they are first used, so `import anomaly_assets` alone loads neither NumPy nor
DuckDB. `anomaly_assets.reader` and `anomaly_assets.export` have the rest of what other projects may use;
`anomaly_assets.definitions` is the asset graph that Dagster loads. `docs/architecture.md` describes the
packages.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anomaly_assets.errors import AnomalyAssetsError
    from anomaly_assets.export import (
        Export,
        to_anomalib,
        to_coco,
        to_imagefolder,
        to_label_studio,
        to_mvtec,
        to_parquet,
    )
    from anomaly_assets.reader import Batch, Sample, Samples, open_cache, open_samples
    from anomaly_assets.version import __version__

__all__ = [
    "AnomalyAssetsError",
    "Batch",
    "Export",
    "Sample",
    "Samples",
    "__version__",
    "open_cache",
    "open_samples",
    "to_anomalib",
    "to_coco",
    "to_imagefolder",
    "to_label_studio",
    "to_mvtec",
    "to_parquet",
]

_DEFINED_IN = {
    "AnomalyAssetsError": "errors",
    "Batch": "reader",
    "Export": "export",
    "Sample": "reader",
    "Samples": "reader",
    "__version__": "version",
    "open_cache": "reader",
    "open_samples": "reader",
    "to_anomalib": "export",
    "to_coco": "export",
    "to_imagefolder": "export",
    "to_label_studio": "export",
    "to_mvtec": "export",
    "to_parquet": "export",
}
"""Map of a public name to the package or module below this one that is imported for it."""

_SET_BY_PYTHON = ("__all__", "__doc__", "__file__", "__name__", "__path__")

if not TYPE_CHECKING:  # with a visible __getattr__, a type checker would accept any name

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used, and keep it as an attribute."""
        if name not in _DEFINED_IN:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__name__}.{_DEFINED_IN[name]}"), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    """Return the public names, and those that Python sets for every module."""
    return sorted({*__all__, *(name for name in globals() if name in _SET_BY_PYTHON)})
