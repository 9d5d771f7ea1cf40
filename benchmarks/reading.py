"""Figures of reading: each runs its two sides in turn and yields one ratio per pair."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from anomaly_assets.reader import Samples, open_samples
from benchmarks.bench import Bench, Ratios, bare_loop, installed, seconds


def epoch_against_files(bench: Bench) -> Ratios:
    tree, folder = bench.loaded(bench.mixed)
    files = tree.image_files()
    with closing(open_samples(folder / "anomaly.duckdb")) as samples:
        print(f"    first epoch {_epoch(samples):.2f} s", flush=True)
        for _ in range(bench.pairs):
            ours = _epoch(samples)
            yield seconds(lambda: bare_loop(files)) / ours


def _epoch(samples: Samples) -> float:
    return seconds(lambda: [batch.images.shape for batch in samples.batches(64)])


def epoch_against_memmap(bench: Bench) -> Ratios:
    _, folder = bench.loaded(bench.mixed)
    with closing(open_samples(folder / "anomaly.duckdb")) as samples:
        read = _memmap_epoch(samples, folder)
        read()
        for _ in range(bench.pairs):
            ours = _epoch(samples)
            yield seconds(read) / ours


def cached_against_memmap(bench: Bench) -> Ratios:
    samples, cached, folder = _cached(bench)
    yield from _against(bench, cached, _memmap_epoch(samples, folder))


def cached_against_hugging_face(bench: Bench) -> Ratios:
    """As arrays of fixed shape, which was measured to be its fastest form that gives uint8 arrays."""
    datasets = installed("datasets")
    samples, cached, folder = _cached(bench)
    height, width, channels = samples.shape
    features = datasets.Features(
        {
            "image": datasets.Array3D((height, width, channels), "uint8"),
            "mask": datasets.Array2D((height, width), "uint8"),
            "label": datasets.Value("int64"),
        }
    )
    writing = datasets.arrow_writer.ArrowWriter(features=features, path=str(folder / "epoch.arrow"))
    with closing(writing) as writer:
        for batch in samples.batches(64):
            columns = batch.images, batch.masks, batch.label_indices
            writer.write_batch(dict(zip(features, columns, strict=True)))
        writer.finalize()
    dataset = datasets.Dataset.from_file(str(folder / "epoch.arrow")).with_format("numpy")

    def read() -> None:
        for batch in dataset.iter(64):
            assert batch["image"].shape[1:] == samples.shape

    yield from _against(bench, cached, read)


def cached_against_lance(bench: Bench) -> Ratios:
    lance = installed("lance", "pylance")
    samples, cached, folder = _cached(bench)
    height, width, channels = samples.shape
    sizes = {"image": height * width * channels, "mask": height * width}
    schema = pa.schema(
        [
            *(pa.field(name, pa.list_(pa.uint8(), size)) for name, size in sizes.items()),
            pa.field("label", pa.int64()),
        ]
    )

    def rows() -> Iterator[pa.RecordBatch]:
        for batch in samples.batches(64):
            columns = [
                pa.FixedSizeListArray.from_arrays(values.reshape(-1), size)
                for values, size in zip((batch.images, batch.masks), sizes.values(), strict=True)
            ]
            yield pa.record_batch([*columns, pa.array(batch.label_indices)], schema=schema)

    dataset = lance.write_dataset(
        rows(), str(folder / "epoch.lance"), schema=schema, mode="overwrite"
    )

    def read() -> None:
        for batch in dataset.to_batches(batch_size=64):
            images = batch["image"].flatten().to_numpy().reshape(-1, height, width, channels)
            masks = batch["mask"].flatten().to_numpy().reshape(-1, height, width)
            assert len(images) == len(masks)

    yield from _against(bench, cached, read)


def _cached(bench: Bench) -> tuple[Samples, Samples, Path]:
    _, folder = bench.loaded(bench.mixed)
    samples = open_samples(folder / "anomaly.duckdb")
    return samples, samples.cache(folder / "cache"), folder


def _against(bench: Bench, cached: Samples, read: Callable[[], None]) -> Ratios:
    read()
    _epoch(cached)
    for _ in range(bench.pairs):
        ours = _epoch(cached)
        yield seconds(read) / ours


def _memmap_epoch(samples: Samples, folder: Path) -> Callable[[], None]:
    """Plain batches of images and masks, copied out of memory maps.

    The batch at hand is kept until the next one is there, as any loop over batches does. Dropped at once,
    its memory would be filled again while it is in the processor's cache.
    """
    count, (height, width, channels) = len(samples), samples.shape
    images = _mapped(folder / "images.npy", (count, height, width, channels))
    masks = _mapped(folder / "masks.npy", (count, height, width))
    start = 0
    for batch in samples.batches(64):
        images[start : start + len(batch)] = batch.images
        masks[start : start + len(batch)] = batch.masks
        start += len(batch)

    def read() -> None:
        for first in range(0, count, 64):
            batch = np.array(images[first : first + 64]), np.array(masks[first : first + 64])
        assert len(batch[0]) == len(batch[1])

    return read


def _mapped(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    return np.lib.format.open_memmap(path, "w+", np.uint8, shape)


def random_samples(bench: Bench) -> Ratios:
    tree, folder = bench.loaded(bench.mixed)
    files = tree.image_files()
    with closing(open_samples(folder / "anomaly.duckdb")) as samples:
        ids = [image_id for batch in samples.batches(64) for image_id in batch.image_ids]
        for pair in range(bench.pairs):
            chance = random.Random(pair)
            chosen, paths = chance.sample(ids, 64), chance.sample(files, 64)
            ours = seconds(partial(samples.take, chosen))
            yield seconds(partial(bare_loop, paths)) / ours
