"""Cache a selection in memory-mapped files: later epochs read at the speed of memory.

    <directory>/<snapshot id>-<digest of the image ids>/
        images.npy     N x height x width x channels, uint8
        masks.npy      M x height x width, uint8 0/1: only samples that have one, in their order
        samples.arrow  the metadata
        about.json     snapshot and selection, and the statistics for `normalised()`

Files are written to a hidden folder, `.<name>.….unfinished`, and synced. Then it is renamed, so a folder
with the final name is complete. If the writer was killed, the next writer of the same selection removes its
hidden folder. Several processes may write the same selection at once; the first to finish renames its own.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from stat import S_ISDIR
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from anomaly_assets.atomic import replaced_folder, resolved, sync
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.reader.assignments import FOLD
from anomaly_assets.reader.batch import Batch, BoolArray, IntArray, UInt8Array
from anomaly_assets.reader.pixels.query import empty_masks, gathered
from anomaly_assets.reader.selection import Selection

_UNFINISHED = re.compile(r"\..+\.unfinished|\.unfinished-.+")
"""Names of hidden folders, of this release and of the first one."""

_FORMAT = 1
"""Version of the layout. It is part of the name, so no release opens a folder of another layout."""


class CacheError(AnomalyAssetsError, RuntimeError):
    """Damaged cache, or a folder that is not a cache; the message explains what to do."""


@dataclass(frozen=True)
class CachedSelection:
    """Folder below a cache directory.

    Attributes:
        folder: Path of the folder.
        snapshot_id: The snapshot it was read from; None if it is unfinished.
        asked_for: The filters, as a sentence; None if it is unfinished.
        samples: Number of samples; 0 if it is unfinished.
        size_bytes: Size of its files.
        changed_at: Time at which its newest file was written.
        complete: False while it is being written, or if its writer was killed.
    """

    folder: Path
    snapshot_id: str | None
    asked_for: str | None
    samples: int
    size_bytes: int
    changed_at: datetime
    complete: bool

    def remove(self) -> None:
        """Delete the folder; open readers continue on systems that allow the deletion of open files."""
        shutil.rmtree(self.folder)


def cached_selections(directory: str | Path) -> list[CachedSelection]:
    """Return the folders that `Samples.cache` wrote to a directory, oldest first, also unfinished ones.

    Raises:
        FileNotFoundError: The directory does not exist.
    """
    try:
        folders = [path for path in Path(directory).iterdir() if path.is_dir()]
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{directory} does not exist. Name the directory that was passed to Samples.cache."
        ) from None
    found = []
    for folder in filter(_is_ours, folders):
        with suppress(FileNotFoundError):  # renamed or removed since the directory was listed
            found.append(_entry(folder))
    return sorted(found, key=lambda entry: entry.changed_at)


def _is_ours(folder: Path) -> bool:
    return bool(_UNFINISHED.fullmatch(folder.name)) or (folder / "about.json").exists()


def _description(folder: Path) -> dict[str, Any]:
    """Return the content of `about.json`; empty if it is missing or damaged."""
    try:
        about = json.loads((folder / "about.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _entry(folder: Path) -> CachedSelection:
    about = {} if _UNFINISHED.fullmatch(folder.name) else _description(folder)
    complete = bool(about)
    stats = [path.stat() for path in (folder, *folder.rglob("*"))]
    return CachedSelection(
        folder=folder,
        snapshot_id=about.get("snapshot_id"),
        asked_for=about.get("asked_for"),
        samples=about.get("samples", 0),
        size_bytes=sum(stat.st_size for stat in stats if not S_ISDIR(stat.st_mode)),
        changed_at=datetime.fromtimestamp(max(stat.st_mtime for stat in stats), timezone.utc),
        complete=complete,
    )


def keep(directory: Path, selection: Selection, batches: Iterable[Batch]) -> Path:
    """Return the folder of a selection; write it if it is missing.

    Args:
        directory: Directory of the cache.
        selection: The selection to store.
        batches: Its samples; read only if the folder is missing.

    Raises:
        OSError: The folder cannot be written, for instance because the disk is too small.
        ValueError: The selection is empty, or the database was never published and has no snapshot id.
    """
    if not selection.table.num_rows:
        raise ValueError("There are no samples to cache.")
    if selection.snapshot_id is None:
        raise ValueError("Only a published database can be cached: run `make materialize` first.")
    directory = resolved(directory)
    folder = directory / f"{selection.snapshot_id[:16]}-{_digest(selection)}"
    if folder.is_dir():
        return folder
    directory.mkdir(parents=True, exist_ok=True)
    _refuse_full_disk(directory, selection)
    with replaced_folder(folder, keep_existing=True, make_durable=sync) as unfinished:
        _write(unfinished, selection, batches)
    return folder


def read(folder: Path) -> tuple[Selection, CachedPixels]:
    """Read the metadata of a cached selection and open its pixels.

    Raises:
        CacheError: The folder is not a cached selection, or is damaged.
    """
    try:
        about = json.loads((folder / "about.json").read_text("utf-8"))
        with pa.memory_map(str(folder / "samples.arrow")) as file:
            table = pa.ipc.open_file(file).read_all()
        statistics = {
            (dataset, category): (means, deviations)
            for dataset, category, means, deviations in about["statistics"]
        }
        selection = Selection.of(
            table,
            about["snapshot_id"],
            statistics,
            about["asked_for"],
            further_recipe=about.get("further_recipe"),
            recipes={name: tuple(of) for name, of in about.get("recipes", {}).items()},
        )
        pixels = CachedPixels(folder, selection.mask_from_file)
        pixels.check(selection.shape)
    except (OSError, ValueError, KeyError, TypeError, EOFError, pa.ArrowInvalid) as error:
        raise _unreadable(folder, error) from error
    return selection, pixels


def _unreadable(folder: Path, error: Exception) -> CacheError:
    return CacheError(
        f"{folder} is not a cached selection, or is damaged: {error}. Delete it; Samples.cache "
        "writes a new one."
    )


class CachedPixels:
    """Pixels in memory-mapped files; see `pixels.query.Pixels`.

    Args:
        folder: Folder with `images.npy` and `masks.npy`.
        mask_from_file: bool, one per sample; True if `masks.npy` has its mask.
    """

    samples_at_once = 1
    threads = 0

    def __init__(self, folder: Path, mask_from_file: BoolArray) -> None:
        self._folder = folder
        self._mask_from_file = mask_from_file
        self._mask_number = np.cumsum(mask_from_file) - 1
        self._open()

    def _open(self) -> None:
        self._images = np.load(self._folder / "images.npy", mmap_mode="r")
        self._masks = np.load(self._folder / "masks.npy", mmap_mode="r")

    def check(self, shape: tuple[int, int, int]) -> None:
        """Compare the shapes of the files with the metadata.

        Raises:
            ValueError: The shapes differ.
        """
        expected = (len(self._mask_from_file), *shape), (self._mask_from_file.sum(), *shape[:2])
        if (self._images.shape, self._masks.shape) != expected:
            raise ValueError(f"its arrays are {self._images.shape} and {self._masks.shape}")

    def images(self, positions: IntArray, into: UInt8Array | None = None) -> UInt8Array:
        """Return images; see `Pixels`."""
        if into is None:
            into = np.empty((len(positions), *self._images.shape[1:]), np.uint8)
        if len(positions) and (np.diff(positions) == 1).all():
            into[:] = self._images[positions[0] : positions[-1] + 1]
            return into
        return gathered(self._images, positions, into)

    def masks(self, positions: IntArray, into: UInt8Array | None = None) -> UInt8Array:
        """Return masks; see `Pixels`."""
        marked = self._mask_from_file[positions]
        masks = empty_masks(marked, self._masks.shape[1:], into)
        from_file = np.flatnonzero(marked)
        for place, number in zip(from_file, self._mask_number[positions[from_file]], strict=True):
            masks[place] = self._masks[number]
        return masks

    def close(self) -> None:
        """Do nothing: each memory map is closed with the last array that refers to it."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_images": None, "_masks": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        try:
            self._open()
        except (OSError, ValueError, EOFError) as error:
            raise _unreadable(self._folder, error) from error


def _write(folder: Path, selection: Selection, batches: Iterable[Batch]) -> None:
    count, (height, width, channels) = selection.table.num_rows, selection.shape
    marked = int(selection.mask_from_file.sum())
    with (
        _array_file(folder / "images.npy", (count, height, width, channels)) as images,
        _array_file(folder / "masks.npy", (marked, height, width)) as masks,
    ):
        for batch in batches:
            images.write(batch.images.data)
            masks.write(batch.masks[batch.mask_from_file].data)
    with (
        _synced(folder / "samples.arrow") as file,
        pa.ipc.new_file(file, selection.table.schema) as writer,
    ):
        writer.write_table(selection.table)
    with _synced(folder / "about.json") as file:
        file.write(json.dumps(_about(selection), indent=1).encode())


@contextmanager
def _array_file(path: Path, shape: tuple[int, ...]) -> Iterator[BinaryIO]:
    """Open a `.npy` file and write its header; the caller appends the values."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with _synced(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        yield file


@contextmanager
def _synced(path: Path) -> Iterator[BinaryIO]:
    with open(path, "xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _about(selection: Selection) -> dict[str, Any]:
    return {
        "snapshot_id": selection.snapshot_id,
        "asked_for": selection.asked_for,
        "samples": selection.table.num_rows,
        "statistics": [[*key, *map(list, found)] for key, found in selection.statistics.items()],
        "further_recipe": selection.further_recipe,
        "recipes": {name: list(of) for name, of in selection.recipes.items()},
    }


def _digest(selection: Selection) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {selection.snapshot_id} {selection.shape}".encode())
    for column in ("image_id", "content_sha256"):
        digest.update("\n".join(selection.table[column].to_pylist()).encode())
    if FOLD in selection.table.column_names:
        digest.update("\n".join([FOLD, *selection.table[FOLD].to_pylist()]).encode())
    if selection.further_recipe is not None:
        tiles = " ".join(map(str, selection.table["tile"].to_pylist()))
        digest.update(f"{selection.further_recipe} {tiles}".encode())
    return digest.hexdigest()[:16]


def _refuse_full_disk(directory: Path, selection: Selection) -> None:
    height, width, channels = selection.shape
    marked = int(selection.mask_from_file.sum())
    needed = height * width * (selection.table.num_rows * channels + marked)
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"The cache needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free. Name another "
            "directory, or remove some of cached_selections()",
            str(directory),
        )
