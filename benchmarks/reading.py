"""Measure figures of reading: each measures its two sides in turn and yields one ratio per pair."""

from __future__ import annotations

import random
import resource
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

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
    """Read lists of fixed size in Arrow's format, copied from the memory map.

    This is its fastest form: `with_format("numpy")` gives int64 by default, and arrays of
    several dimensions or binary values took twice as long.
    """
    datasets = installed("datasets")
    samples, cached, folder = _cached(bench)
    features = datasets.Features(
        {
            **{
                name: datasets.Sequence(datasets.Value("uint8"), length=size)
                for name, size in _sizes(samples).items()
            },
            "label": datasets.Value("int64"),
        }
    )
    path = str(folder / "epoch.arrow")
    with closing(datasets.arrow_writer.ArrowWriter(features=features, path=path)) as writer:
        for batch in samples.batches(64):
            columns = _flat(batch.images), _flat(batch.masks), batch.label_indices
            writer.write_batch(dict(zip(features, columns, strict=True)))
        writer.finalize()
    dataset = datasets.Dataset.from_file(path).with_format("arrow")

    def read() -> None:
        for rows in dataset.iter(64):
            batch = [np.array(_values(rows[name])) for name in _sizes(samples)]
            assert batch[0].dtype == np.uint8

    yield from _against(bench, cached, read)


def loader_here(bench: Bench) -> Ratios:
    yield from _loader_against_hugging_face(bench, 0)


def loader_with_workers(bench: Bench) -> Ratios:
    yield from _loader_against_hugging_face(bench, 2)


def _loader_against_hugging_face(bench: Bench, workers: int) -> Ratios:
    """Compare processor time of shuffled epochs in uint8 batches of 64 tensors, workers included.

    The other side is Parquet with lists of fixed size, as `with_format("arrow")`, fetched a batch at a
    time. PyTorch copies its columns into shared memory if there are workers. The formats "torch" and
    "numpy" took five times as long without workers, and about as long or longer with them.
    """
    torch, datasets = installed("torch"), installed("datasets")
    _, folder = bench.loaded(bench.mixed)
    with closing(open_samples(folder / "anomaly.duckdb")) as samples:
        sizes, path = _sizes(samples), folder / "epoch.parquet"
        _write_parquet(samples, path)
        rows = datasets.load_dataset(
            "parquet", data_files=str(path), split="train", cache_dir=str(folder / "hugging-face")
        ).with_format("arrow")

        class Rows(torch.utils.data.Dataset):  # type: ignore[name-defined]
            def __len__(self) -> int:
                return len(rows)

            def __getitems__(self, positions: list[int]) -> dict[str, Any]:
                found = rows[positions]
                tensors = {name: torch.from_numpy(_values(found[name])) for name in sizes}
                label = torch.from_numpy(found["label"].to_numpy())
                return {**tensors, "label": label, "image_id": found["image_id"].to_pylist()}

        theirs = torch.utils.data.DataLoader(
            Rows(), 64, shuffle=True, num_workers=workers, collate_fn=_unchanged
        )
        ours = samples.to_loader(64, shuffle=0, num_workers=workers)
        for loader in (theirs, ours):
            _ended_cpu_seconds(loader)
        for _ in range(bench.pairs):
            spent = _ended_cpu_seconds(ours)
            yield _ended_cpu_seconds(theirs) / spent


def _unchanged(batch: Any) -> Any:
    return batch


def _ended_cpu_seconds(loader: Any) -> float:
    """Return the processor time of an epoch in this process and in its workers, which end with it."""

    def spent() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(each.ru_utime + each.ru_stime for each in used)

    before = spent()
    assert sum(len(batch["label"]) for batch in loader)
    return spent() - before


def _write_parquet(samples: Samples, path: Path) -> None:
    fields = [pa.field(name, pa.list_(pa.uint8(), size)) for name, size in _sizes(samples).items()]
    further = [pa.field("label", pa.int64()), pa.field("image_id", pa.string())]
    schema = pa.schema([*fields, *further])
    with pq.ParquetWriter(path, schema, compression="none") as writer:
        for batch in samples.batches(64):
            columns = [
                pa.FixedSizeListArray.from_arrays(values.reshape(-1), type=field.type)
                for values, field in zip((batch.images, batch.masks), fields, strict=True)
            ]
            rest = [pa.array(batch.label_indices), pa.array(batch.image_ids)]
            writer.write_batch(pa.record_batch([*columns, *rest], schema=schema))


def cached_against_lance(bench: Bench) -> Ratios:
    """Read lists of fixed size as arrays over Lance's buffers, without another copy."""
    lance = installed("lance", "pylance")
    samples, cached, folder = _cached(bench)
    fields = [pa.field(name, pa.list_(pa.uint8(), size)) for name, size in _sizes(samples).items()]
    schema = pa.schema([*fields, pa.field("label", pa.int64())])

    def rows() -> Iterator[pa.RecordBatch]:
        for batch in samples.batches(64):
            columns = [
                pa.FixedSizeListArray.from_arrays(values.reshape(-1), type=field.type)
                for values, field in zip((batch.images, batch.masks), fields, strict=True)
            ]
            yield pa.record_batch([*columns, pa.array(batch.label_indices)], schema=schema)

    path = str(folder / "epoch.lance")
    dataset = lance.write_dataset(rows(), path, schema=schema, mode="overwrite")

    def read() -> None:
        for rows in dataset.to_batches(batch_size=64):
            batch = [_values(rows[name]) for name in _sizes(samples)]
            assert batch[0].dtype == np.uint8

    yield from _against(bench, cached, read)


def _sizes(samples: Samples) -> dict[str, int]:
    height, width, channels = samples.shape
    return {"image": height * width * channels, "mask": height * width}


def _flat(arrays: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return arrays.reshape(len(arrays), -1)


def _values(column: Any) -> npt.NDArray[np.uint8]:
    """Return a column of lists of fixed size as a 2-D array, one row per list."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    chunks = whole.chunks if isinstance(whole, pa.ChunkedArray) else [whole]
    assert len(chunks) == 1
    values: npt.NDArray[np.uint8] = chunks[0].flatten().to_numpy()
    return values.reshape(len(column), -1)


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
    """Return a function that reads batches of images and masks, copied from memory maps.

    The current batch is kept until the next one is read, as in any loop over batches. If it were
    dropped at once, its memory would be reused while it is in the processor's cache.
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
