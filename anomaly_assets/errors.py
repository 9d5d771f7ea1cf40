"""Define the common base class of all errors that this package raises on purpose.

Their messages explain what to do. Each error is defined beside the code that raises it, and is also a
built-in exception if callers may expect one::

    AnomalyAssetsError
    ├── SettingsError (ValueError)                settings: an environment variable has an invalid value
    ├── NotifyError (RuntimeError)                notify: notices cannot be sent to an address
    ├── LocationError (ValueError)                locations: the location of a database is malformed
    ├── TargetError (OSError)                     atomic: a file or folder cannot be replaced
    ├── TargetBusyError (RuntimeError)            atomic: another process is replacing it
    ├── RootError (RuntimeError)                  roots: a root is missing, unreadable or of an unknown kind
    ├── FileUnreadableError (OSError)             roots: one file cannot be read
    │   ├── AccessDeniedError                     … because its store rejects the credentials
    │   ├── FileChangedError                      … because it is not the file that was listed
    │   └── FileTooLargeError                     … because it is larger than its limit
    ├── ShrunkRootError (RuntimeError)            catalogue: a root lists far fewer images than before
    ├── UnrecognisedRootError (RuntimeError)      catalogue: most files of a root have another layout
    ├── RootTakenError (RuntimeError)             catalogue: its images are loaded as another dataset
    ├── NotListedError (ValueError)               catalogue: options for a dataset that is not listed
    ├── UnknownCategoryError (ValueError)         catalogue: run config names a category that does not exist
    ├── UnusableImageError (ValueError)           decoding: the bytes of a file are not a usable image
    ├── DecodingError (RuntimeError)              decoding: a batch failed, but no file is the cause
    ├── ComputeError (RuntimeError)               decoding: the Dask cluster cannot decode
    ├── SamplesLostError (RuntimeError)           decoding: too many good tensors would be replaced
    ├── TooManyUnreadableError (RuntimeError)     decoding: many files of a root cannot be read
    ├── SimdUnavailableError (RuntimeError)       decoding: this machine lacks the resize of the warehouse
    ├── CorrectionsError (ValueError)             curation: a file of corrections cannot be used
    ├── AssignmentError (ValueError)              splitting: an assignment or its file cannot be used
    ├── WarehouseError (RuntimeError)             warehouse: it cannot be opened, or lacks a table
    │   └── ExpiredVersionError                   … because its version of a lake was deleted
    ├── WarehouseBusyError (RuntimeError)         warehouse: another run holds its lock
    ├── PublishRefusedError (RuntimeError)        warehouse: a check fails, or the target is not its own
    │   └── UnpublishedDataError                  … because data wait that no refresh has published
    ├── CopyError (RuntimeError)                  warehouse: it cannot be copied
    ├── DatabaseError (RuntimeError)              reader: the published database cannot be opened or queried
    ├── CommercialUseError (ValueError)           reader: samples may not be used commercially
    ├── CacheError (RuntimeError)                 reader: a cache of arrays cannot be written or used
    ├── BaselineUnavailable (RuntimeError)        evaluation: the network of the baseline cannot be used
    ├── EvaluationError (ValueError)              evaluation: it cannot be made, or a category failed
    ├── ExportError (RuntimeError)                export: nothing was exported
    ├── GalleryError (RuntimeError)               gallery: it was not written
    ├── RunFailedError (RuntimeError)             assets: a run of the graph failed
    ├── RunStoppedError (RuntimeError)            assets: Ctrl-C or SIGTERM stopped a run of the graph
    ├── RunConfigError (ValueError)               assets: a selection or run config cannot be used
    ├── ExcerptError (RuntimeError)               command: an excerpt of a root cannot be made
    ├── CommandError (RuntimeError)               command: another library found the reason of a failure
    ├── UsageError (ValueError)                   command: its arguments cannot be used
    └── HomeError (click.ClickException)          assets: Dagster's home cannot be used
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


class AnomalyAssetsError(Exception):
    """Base class; the message explains the reason and what to do."""


class WarehouseError(AnomalyAssetsError, RuntimeError):
    """The warehouse cannot be opened, or its content is not as expected."""


class WarehouseBusyError(AnomalyAssetsError, RuntimeError):
    """Another run held a lock of the warehouse for too long; the message names that run."""


def rerun_with(step: str, option: str) -> str:
    """Return how to run once with an option of a step, as the end of a sentence.

    Args:
        step: Name of the step (Dagster's op), such as `mvtec_ad` or `published_database`.
        option: Name of a boolean in its run config, such as `allow_shrink`.
    """
    config = rf"{{\"ops\": {{\"{step}\": {{\"config\": {{\"{option}\": true}}}}}}}}"
    return (
        "run, with the same variables: make materialize "
        f"ARGS=\"--config-json '{config}'\", or set {option} in the launchpad."
    )


def install_extra(extra: str) -> str:
    """Return the command that installs an extra of this package, for the end of a message.

    The package is on no index. pip finds an installed package by its name, but a checkout only by its
    folder. In a checkout the command names the Python of this process, because `pip` alone is often that of
    the system. It installs with `-e`, because a copy of the checkout would not follow its changes.

    Args:
        extra: Name of the extra in `pyproject.toml`, such as `torch`.
    """
    project = Path(__file__).parents[1]
    if not _is_checkout(project):
        return f"pip install 'anomaly_assets[{extra}]'"
    python = shlex.quote(sys.executable or "python3")
    return f"{python} -m pip install -e {shlex.quote(f'{project}[{extra}]')}"


def _is_checkout(folder: Path) -> bool:
    try:
        text = (folder / "pyproject.toml").read_text("utf-8")
    except (OSError, ValueError):
        return False
    return 'name = "anomaly_assets"' in text  # other packages put their own file into site-packages
