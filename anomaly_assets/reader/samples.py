"""Read the samples of a selection in training code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from anomaly_assets.buffers import Buffers
from anomaly_assets.datasets.licences import Terms
from anomaly_assets.datasets.names import counted, shown
from anomaly_assets.errors import install_extra
from anomaly_assets.reader import cache
from anomaly_assets.reader.arrays import FetchedArray, chosen_positions, ordered, whole_number
from anomaly_assets.reader.batch import Batch, BoolArray, ImageArray, IntArray, Sample, UInt8Array
from anomaly_assets.reader.normalise import Normalisation
from anomaly_assets.reader.pictures import Picture, Pictured, spread
from anomaly_assets.reader.pixels.query import Pixels, read_ahead
from anomaly_assets.reader.recipes import stitched
from anomaly_assets.reader.scores import scores_of
from anomaly_assets.reader.selection import Selection
from anomaly_assets.tables.recipes import RecipeNames

if TYPE_CHECKING:
    import pandas as pd

    from anomaly_assets.reader.loader import SamplesLoader
    from anomaly_assets.reader.torch import SamplesDataset


class Samples(Pictured):
    """Selection of samples, ordered by `image_id`; the order is the same in every snapshot.

    A notebook shows some of their pictures, as they are stored.

    In memory are the metadata (about 500 bytes per sample) and the arrays being read. If DuckDB has to read
    the pixels, it caches up to 512 MB in each process that reads. All reads use the opened snapshot, here
    and in workers, also after another one was published. It can be pickled.
    """

    def __init__(
        self,
        selection: Selection,
        pixels: Pixels,
        positions: IntArray | None = None,
        normalisation: Normalisation | None = None,
    ) -> None:
        self._selection = selection
        self._pixels = pixels
        self._positions = np.arange(selection.table.num_rows) if positions is None else positions
        self._normalisation = normalisation
        self._memory = Buffers(), Buffers(), Buffers()  # images as stored, masks, finished images

    def __len__(self) -> int:
        return len(self._positions)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._position_by_id

    def __repr__(self) -> str:
        size = "×".join(map(str, self.shape))
        left_out = self.unknown_left_out
        unknown = f"; {left_out} with an unknown label left out" if left_out else ""
        # Not for the common recipe, which the size describes.
        recipe = f" ({self.recipe})" if "recipe" in self.table.column_names else ""
        found = self._selection.table.num_rows
        chosen = "" if len(self) == found else f"; chosen from {found}"
        number = counted(len(self), "sample")
        return f"<{number} of {size}{recipe}: {self._selection.asked_for}{chosen}{unknown}>"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return height, width and channels of every sample."""
        return self._selection.shape

    @property
    def recipe(self) -> str:
        """Return the name of the recipe of these samples, such as `256x256x3`."""
        return self._selection.recipe

    @property
    def recipes(self) -> RecipeNames:
        """Return the names of all recipes of the database by source dataset, the common one first."""
        return self._selection.recipes

    @property
    def snapshot_id(self) -> str | None:
        """Return the id of the snapshot; store it with models trained on these samples."""
        return self._selection.snapshot_id

    @property
    def licences(self) -> dict[str, str]:
        """Return the licence of each source dataset of these samples; empty for a cache."""
        return {name: of_dataset.licence for name, of_dataset in self.terms.items()}

    @property
    def terms(self) -> dict[str, Terms]:
        """Return licence, commercial use and citation of each source dataset; empty for a cache."""
        datasets = self.table["source_dataset"].unique().to_pylist()
        return {name: terms for name, terms in self._selection.terms.items() if name in datasets}

    @property
    def published_on(self) -> str | None:
        """Return the day on which the snapshot was published, such as `2026-11-29`; None for a cache."""
        return self._selection.published_on

    @property
    def unknown_left_out(self) -> int:
        """Return how many samples `open_samples` left out, because their label is unknown."""
        return self._selection.unknown_left_out

    @cached_property
    def table(self) -> pa.Table:
        """Return the columns of the view `samples` without tensors; one row per sample, in their order."""
        table = self._selection.table
        if np.array_equal(self._positions, np.arange(table.num_rows)):
            return table
        return table.take(self._positions)

    def df(self) -> pd.DataFrame:
        """Return `table` as a pandas data frame.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas  # noqa: F401
        except ImportError as error:
            raise ImportError("df() needs pandas: pip install pandas. `table` does not.") from error
        return self.table.to_pandas()

    @property
    def has_mask(self) -> BoolArray:
        """Return bool, N: the mask is known; see `Batch`."""
        return self._has_mask(self._positions)

    @property
    def images(self) -> FetchedArray:
        """Return all images: N x height x width x channels, uint8, or float32 after `normalised()`."""
        dtype = np.uint8 if self._normalisation is None else np.float32
        return FetchedArray((len(self), *self.shape), dtype, self._images)

    @property
    def masks(self) -> FetchedArray:
        """Return all masks: N x height x width, uint8 0/1. Use only those with `has_mask`; see `Batch`."""
        shape = (len(self), *self.shape[:2])
        return FetchedArray(
            shape, np.uint8, lambda chosen: self._pixels.masks(self._positions[chosen])
        )

    @overload
    def __getitem__(self, key: int | str) -> Sample: ...

    @overload
    def __getitem__(self, key: slice | Sequence[int] | list[str] | npt.NDArray[Any]) -> Samples: ...

    def __getitem__(self, key: Any) -> Sample | Samples:
        """Return one sample by position or `image_id`; several by slice, positions, booleans or ids."""
        if isinstance(key, str):
            key = self._position_of(key)
        elif not isinstance(key, slice) and isinstance(next(iter(np.ravel(key)), None), str):
            return self.select_ids(key)
        chosen = chosen_positions(key, len(self))
        if isinstance(chosen, int):
            return next(self._samples(self.batch([chosen]), chosen))
        return self.select(chosen)

    def __iter__(self) -> Iterator[Sample]:
        start = 0
        for batch in self.batches(_ITERATED_AT_ONCE):
            yield from self._samples(batch, start)
            start += len(batch)

    def select(self, positions: Sequence[int] | npt.NDArray[Any]) -> Samples:
        """Return some of these samples, in the order of `positions`, without reading pixels.

        Args:
            positions: Integers, duplicates allowed, or one boolean per sample.

        Raises:
            IndexError: A position is out of range.
        """
        chosen = np.atleast_1d(chosen_positions(positions, len(self)))
        return Samples(self._selection, self._pixels, self._positions[chosen], self._normalisation)

    def select_ids(self, image_ids: Iterable[str]) -> Samples:
        """Return the samples with these ids, in the given order, without reading pixels.

        Args:
            image_ids: Ids, duplicates allowed: a list, a column of a data frame, the lines of a file.

        Raises:
            KeyError: An id is not among these samples, or the samples are tiles.
            TypeError: The argument is one string instead of a list.
        """
        return self.select(self._positions_of("select_ids", image_ids))

    def take(self, image_ids: Sequence[str]) -> Batch:
        """Return the samples with these ids, in the given order; duplicates are allowed.

        Raises:
            KeyError: An id is not in the selection.
            TypeError: The argument is one string instead of a list.
            ValueError: No id was given.
        """
        positions = self._positions_of("take", image_ids)
        if not positions:
            raise ValueError("Give at least one image_id.")
        return self.batch(positions)

    def batch(self, positions: Sequence[int] | npt.NDArray[Any]) -> Batch:
        """Return the samples at these positions, in this order; see `select` for arguments and errors."""
        chosen = self._positions[np.atleast_1d(chosen_positions(positions, len(self)))]
        return self._described(chosen, self._pixels.images(chosen), self._pixels.masks(chosen))

    def batches(
        self, size: int, *, shuffle: int | None = None, drop_last: bool = False
    ) -> Iterator[Batch]:
        """Yield all samples, `size` at a time.

        If DuckDB has to read, two fetches of about 16 MB and the masks of eight are read ahead. The arrays
        of a batch may share memory with those of the batches before and after it.

        Args:
            size: Number of samples in a batch.
            shuffle: Seed of a random order. The same seed and samples give the same order on every machine;
                use another seed for each epoch. None keeps the order.
            drop_last: Leave out the last batch if it is smaller.

        Raises:
            TypeError: The size or the seed is not a whole number.
            ValueError: The size is below 1, or the seed below 0.
        """
        size = whole_number("size", size, 1, "the number of samples in a batch, such as 64")
        order = ordered(len(self), shuffle)
        if drop_last:
            order = order[: len(order) - len(order) % size]
        return (self._described(*read) for read in self._in_order(order, size))

    def normalised(self) -> Samples:
        """Return the same samples with float32 images: (pixel / 255 - mean) / standard deviation.

        Mean and standard deviation are those of each channel of the good training images of the sample's
        category, as stored in `pixel_statistics`. For a constant channel, only the mean is subtracted.
        Masks are unchanged.

        Raises:
            LookupError: No statistics are stored for the category of a sample.
        """
        normalisation = Normalisation.of(
            self._selection.table, self._positions, self._selection.statistics
        )
        return Samples(self._selection, self._pixels, self._positions, normalisation)

    normalized = normalised
    """American spelling of `normalised`."""

    def as_float(self) -> Samples:
        """Return the same samples with float32 images: pixel / 255, from 0 to 1."""
        unit = Normalisation.to_unit(self._selection.table.num_rows, self.shape[2])
        return Samples(self._selection, self._pixels, self._positions, unit)

    def to_torch(self, transform: Callable[[dict[str, Any]], Any] | None = None) -> SamplesDataset:
        """Return a map-style `torch.utils.data.Dataset`; `SamplesDataset` describes its items.

        Args:
            transform: Called with each item; its result replaces the item.

        Raises:
            ImportError: PyTorch is not installed.
        """
        try:
            from anomaly_assets.reader.torch import SamplesDataset
        except ImportError as error:
            raise ImportError(f"to_torch() needs PyTorch: {install_extra('torch')}.") from error
        return SamplesDataset(self, transform)

    def to_loader(
        self,
        batch_size: int,
        *,
        shuffle: int | None = None,
        drop_last: bool = False,
        num_workers: int = 0,
        channels_last: bool = True,
        pin_memory: bool = False,
        persistent_workers: bool = False,
        prefetch_factor: int | None = None,
        multiprocessing_context: Any = None,
    ) -> SamplesLoader:
        """Return an iterable of collated PyTorch batches, each copied once; `SamplesLoader` describes them.

        Use `to_torch` with a `DataLoader` if each item needs a transform of its own in the workers.

        Raises:
            ImportError: PyTorch is not installed.
            TypeError: The batch size, the seed or the number of workers is not a whole number.
            ValueError: A number is too small, or an option of workers is given without workers.
        """
        try:
            from anomaly_assets.reader.loader import SamplesLoader
        except ImportError as error:
            raise ImportError(f"to_loader() needs PyTorch: {install_extra('torch')}.") from error
        return SamplesLoader(
            self,
            batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            num_workers=num_workers,
            channels_last=channels_last,
            pin_memory=pin_memory,
            persistent_workers=persistent_workers,
            prefetch_factor=prefetch_factor,
            multiprocessing_context=multiprocessing_context,
        )

    def cache(self, directory: str | Path) -> Samples:
        """Write these samples to a cache once, and return samples that are read from it at memory speed.

        The directory has one folder for each snapshot and selection; an existing folder is used unchanged.
        `cached_selections` lists the folders, including those of older snapshots, and can remove them.
        Images are stored as uint8; masks only if the sample has one. Several processes may call this at
        once.

        Args:
            directory: Any folder; it is created if it is missing.

        Returns:
            The same samples in the same order, read from memory-mapped files. The new samples do
            not need the database.

        Raises:
            OSError: The folder cannot be written; a partly written folder is never used as a cache.
            ValueError: The selection is empty, or the database was never published.
            DatabaseError: The database cannot be read.
            CacheError: The existing folder is damaged.
        """
        raw = Samples(self._selection, self._pixels, self._positions)
        selection = self._selection.narrowed(self.table, self._positions)
        folder = cache.keep(Path(directory), selection, raw.batches(_ITERATED_AT_ONCE))
        cached = Samples(*cache.read(folder))
        if self._normalisation is None:
            return cached
        kept = replace(
            self._normalisation, of_sample=self._normalisation.of_sample[self._positions]
        )
        return Samples(cached._selection, cached._pixels, normalisation=kept)

    def scores(self) -> pa.Table:
        """Return the scores of the baseline for these samples, one row per sample, in their order.

        Columns: `image_id`; `role`: bank, validation, test, scored (for an unknown label) or left_out;
        `reason` of the last two; `label_when_scored`; `score`, higher for more unusual images;
        `out_of_fold_score`, the same for images of the bank, whose own patches are not compared;
        `above_threshold`; `threshold`. All are null for an image that was never evaluated, or whose file
        was replaced since. Scores of different categories or recipes cannot be compared.

        Raises:
            LookupError: The database has no scores of this recipe, or the samples come from a cache.
            DatabaseError: The database cannot be read.
        """
        return scores_of(self.table, self.recipe, self._selection.database)

    def stitch(self, maps: npt.ArrayLike) -> dict[str, npt.NDArray[Any]]:
        """Put maps of tiles together, into one array per image in the image's own size.

        Where tiles overlap, the result is the mean.

        Args:
            maps: A map per sample, in their order: N x tile height x tile width, with or without channels;
                floating-point numbers or uint8.

        Returns:
            Map of each `image_id` to an array of the type of `maps`, height x width, with or without
            channels.

        Raises:
            TypeError: The maps have another type.
            ValueError: The samples are not tiles, an image lacks tiles, or the maps have another shape.
        """
        return stitched(self.table, self.recipe, maps)

    def close(self) -> None:
        """Close the database, for these samples and for all samples selected from them."""
        self._pixels.close()

    def __enter__(self) -> Samples:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _in_order(
        self, order: IntArray, size: int
    ) -> Iterator[tuple[IntArray, UInt8Array, UInt8Array]]:
        """Yield rows of the selection's table, images as stored, and masks of each batch."""
        return read_ahead(self._pixels, self._positions[order], size, self.shape, self._memory[:2])

    def _has_mask(self, chosen: IntArray) -> BoolArray:
        selection = self._selection
        mask: BoolArray = selection.mask_from_file[chosen] | (selection.label_indices[chosen] == 0)
        return mask

    def _described(self, chosen: IntArray, images: UInt8Array, masks: UInt8Array) -> Batch:
        return replace(self._known(chosen), images=self._finished(images, chosen), masks=masks)

    def _known(self, chosen: IntArray) -> Batch:
        """Return a batch without pixels."""
        labels = self._selection.label_indices[chosen]
        from_file = self._selection.mask_from_file[chosen]
        texts = {name: column[chosen].tolist() for name, column in self._selection.texts.items()}
        return Batch(
            image_ids=texts["image_id"],
            images=_NO_PIXELS,
            masks=_NO_PIXELS,
            has_mask=self._has_mask(chosen),
            mask_from_file=from_file,
            label_indices=labels,
            categories=texts["category"],
            splits=texts["split"],
            defect_types=texts["defect_type"],
        )

    def _pictures(self, most: int) -> Sequence[Picture]:
        chosen = self._positions[spread(self._selection.label_indices[self._positions], most)]
        stored = Samples(self._selection, self._pixels, chosen)
        return stored.batch(np.arange(len(chosen)))._pictures(most)

    def _images(self, chosen: IntArray) -> ImageArray:
        at = self._positions[chosen]
        return self._finished(self._pixels.images(at), at)

    def _read_into(self, chosen: IntArray, images: ImageArray, masks: UInt8Array) -> None:
        """Read into arrays of shape N x height x width x channels, and N x height x width."""
        if self._normalisation is None and images.flags.c_contiguous:
            self._pixels.images(chosen, images)
        else:
            stored = self._memory[0].array((len(chosen), *self.shape))
            self._finished(self._pixels.images(chosen, stored), chosen, images)
        self._pixels.masks(chosen, masks)

    def _finished(
        self, images: UInt8Array, chosen: IntArray, into: ImageArray | None = None
    ) -> ImageArray:
        """Return the images of a batch as they were asked for, or write them into an array."""
        if self._normalisation is not None:
            return self._normalisation.apply(images, chosen, into)
        if into is None:
            return images
        np.copyto(into, images)
        return into

    def _samples(self, batch: Batch, first: int) -> Iterator[Sample]:
        rows = self.table.slice(first, len(batch)).to_pylist()
        for number, row in enumerate(rows):
            yield Sample(
                image_id=batch.image_ids[number],
                image=batch.images[number],
                mask=batch.masks[number],
                has_mask=bool(batch.has_mask[number]),
                mask_from_file=bool(batch.mask_from_file[number]),
                label_index=int(batch.label_indices[number]),
                metadata=row,
            )

    @cached_property
    def _position_by_id(self) -> dict[str, int]:
        return {image_id: at for at, image_id in enumerate(self.table["image_id"].to_pylist())}

    def _positions_of(self, method: str, image_ids: Iterable[str]) -> list[int]:
        if isinstance(image_ids, str):
            raise TypeError(
                f"{method}() needs a list of image ids: [{image_ids!r}], or samples[{image_ids!r}]."
            )
        if isinstance(image_ids, (pa.Array, pa.ChunkedArray)):
            image_ids = image_ids.to_pylist()
        return [self._position_of(image_id) for image_id in image_ids]

    def _position_of(self, image_id: str) -> int:
        try:
            position = self._position_by_id[image_id]
        except KeyError:
            first = f"; the first is {shown(next(iter(self._position_by_id)))}" if len(self) else ""
            among = f"not among these {counted(len(self), 'sample')} ({self._selection.asked_for})"
            form = f"An image_id is <source_dataset>/<relative_path>{first}."
            raise KeyError(f"{image_id!r} is {among}. {form}") from None
        if "/tile=" in self.recipe:
            raise KeyError(
                f"{image_id!r} may have several tiles: select them by position, or with where=."
            )
        return position


_ITERATED_AT_ONCE = 64
_NO_PIXELS = np.empty(0, np.uint8)
