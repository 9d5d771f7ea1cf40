"""A selection in memory-mapped files, so that later epochs read at the speed of memory.

    <directory>/<snapshot id>-<digest of the image ids>/
        images.npy     N x height x width x channels, uint8
        masks.npy      M x height x width, uint8 0/1: of the samples that have one, in their order
        samples.arrow  the metadata
        about.json     which snapshot and selection it is; the statistics for `normalised()`

A folder gets that name when everything in it is on disk, so what has it is complete. Until then it lies in
a hidden folder, `.<name>.….unfinished`, which the next writer of the same selection removes if its writer
was killed. Several processes may write the same selection at once: the first one that is ready gives it
its name.
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
from anomaly_assets.reader.batch import Batch, BoolArray, IntArray, UInt8Array
from anomaly_assets.reader.selection import Selection

_UNFINISHED = re.compile(r"\..+\.unfinished|\.unfinished-.+")
"""A hidden folder, as this release names it or the first one did."""

_FORMAT = 1
"""Part of the name, so that no version of this module opens what another one wrote differently."""


class CacheError(AnomalyAssetsError, RuntimeError):
    """A folder is no cached selection, or is damaged; the message says what to do."""


@dataclass(frozen=True)
class CachedSelection:
    """A folder below a cache directory.

    Attributes:
        folder: Where it is.
        snapshot_id: The snapshot it was read from; None where it is unfinished.
        asked_for: The filters, as a sentence; None where it is unfinished.
        samples: Number of samples; 0 where it is unfinished.
        size_bytes: Size of its files.
        changed_at: When its newest file was written.
        complete: False for what is being written now, or was when its writer was killed.
    """

    folder: Path
    snapshot_id: str | None
    asked_for: str | None
    samples: int
    size_bytes: int
    changed_at: datetime
    complete: bool

    def remove(self) -> None:
        """Delete it. Who reads from it keeps reading, on systems where open files can be deleted."""
        shutil.rmtree(self.folder)


def cached_selections(directory: str | Path) -> list[CachedSelection]:
    """What `Samples.cache` left in a directory, the oldest first: of every snapshot, half-written too.

    Raises:
        FileNotFoundError: There is no such directory.
    """
    try:
        folders = [path for path in Path(directory).iterdir() if path.is_dir()]
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{directory} does not exist: name the directory that Samples.cache was given."
        ) from None
    found = []
    for folder in filter(_is_ours, folders):
        with suppress(FileNotFoundError):  # finished, or removed, since the directory was listed
            found.append(_entry(folder))
    return sorted(found, key=lambda entry: entry.changed_at)


def _is_ours(folder: Path) -> bool:
    return bool(_UNFINISHED.fullmatch(folder.name)) or (folder / "about.json").exists()


def _description(folder: Path) -> dict[str, Any]:
    """What a folder says of itself; nothing where that is damaged, as in one that was half-written."""
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
    """The folder of a selection, written first where it is missing.

    Args:
        directory: Where cached selections lie.
        selection: What is to be in the folder.
        batches: Its samples; read only when they have to be written.

    Raises:
        OSError: It cannot be written, for instance because the disk is too small.
        ValueError: There are no samples, or the database was never published, so that nothing names its
            content.
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
    """What is known about the samples in a folder, and their pixels.

    Raises:
        CacheError: It is no cached selection, or is damaged.
    """
    try:
        about = json.loads((folder / "about.json").read_text("utf-8"))
        with pa.memory_map(str(folder / "samples.arrow")) as file:
            table = pa.ipc.open_file(file).read_all()
        statistics = {
            (dataset, category): (means, deviations)
            for dataset, category, means, deviations in about["statistics"]
        }
        selection = Selection.of(table, about["snapshot_id"], statistics, about["asked_for"])
        pixels = CachedPixels(folder, selection.mask_from_file)
        pixels.check(selection.shape)
    except (OSError, ValueError, KeyError, TypeError, EOFError, pa.ArrowInvalid) as error:
        raise _unreadable(folder, error) from error
    return selection, pixels


def _unreadable(folder: Path, error: Exception) -> CacheError:
    return CacheError(
        f"{folder} is no cached selection, or is damaged: {error}. Delete it; Samples.cache "
        "writes it again."
    )


class CachedPixels:
    """Pixels in memory-mapped files; see `fetch.Pixels`.

    Args:
        folder: Has `images.npy` and `masks.npy`.
        mask_from_file: Which samples have a mask in there.
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
        """Compare the files with what the metadata says.

        Raises:
            ValueError: They differ.
        """
        expected = (len(self._mask_from_file), *shape), (self._mask_from_file.sum(), *shape[:2])
        if (self._images.shape, self._masks.shape) != expected:
            raise ValueError(f"its arrays are {self._images.shape} and {self._masks.shape}")

    def images(self, positions: IntArray) -> UInt8Array:
        """A new array, N x height x width x channels."""
        return _copied(self._images, positions)

    def masks(self, positions: IntArray) -> UInt8Array:
        """A new array, N x height x width; zeros where there is no mask."""
        masks = np.zeros((len(positions), *self._masks.shape[1:]), np.uint8)
        from_file = np.flatnonzero(self._mask_from_file[positions])
        for place, number in zip(from_file, self._mask_number[positions[from_file]], strict=True):
            masks[place] = self._masks[number]
        return masks

    def close(self) -> None:
        """Nothing to do: files are let go of with the last array that shows them."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_images": None, "_masks": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        try:
            self._open()
        except (OSError, ValueError, EOFError) as error:
            raise _unreadable(self._folder, error) from error


def _copied(mapped: UInt8Array, positions: IntArray) -> UInt8Array:
    if len(positions) and (np.diff(positions) == 1).all():
        return np.array(mapped[positions[0] : positions[-1] + 1])
    return np.take(mapped, positions, axis=0)


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
    """A `.npy` file whose values are written to it one after the other."""
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
    }


def _digest(selection: Selection) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {selection.snapshot_id} {selection.shape}".encode())
    for column in ("image_id", "content_sha256"):
        digest.update("\n".join(selection.table[column].to_pylist()).encode())
    return digest.hexdigest()[:16]


def _refuse_full_disk(directory: Path, selection: Selection) -> None:
    height, width, channels = selection.shape
    marked = int(selection.mask_from_file.sum())
    needed = height * width * (selection.table.num_rows * channels + marked)
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"The cache takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free. Name another "
            "directory, or remove some of cached_selections()",
            str(directory),
        )
