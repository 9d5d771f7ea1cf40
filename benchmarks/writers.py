"""Write the tensors of images with other tools: the sides to which a first load is compared.

    python -m benchmarks.writers TOOL DECODER LIST FOLDER

LIST is a JSON file with the id, the path and the label of every image. The process prints the seconds from
its first file to its last byte, without its imports. Each tool stores the id, the label and 256×256×3 bytes
of every image, in the form that took the least processor time of those that were tried, on as many threads
as there are processors. `bare` decodes, resizes and discards. This module imports nothing that the
environment of a tool lacks.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

WORKERS = os.cpu_count() or 1
SIDE = 256
TENSOR_BYTES = SIDE * SIDE * 3

Pixels = npt.NDArray[np.uint8]
Decode = Callable[[bytes], Pixels]
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Item(NamedTuple):
    """An image to write."""

    image_id: str
    path: str
    label: int


def by_pillow(content: bytes) -> Pixels:
    """Decode a file with Pillow, resize it in its mode, and expand it to three channels."""
    return _three_channels(_resized(content))


def _resized(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _three_channels(image: Image.Image) -> Pixels:
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def by_project(content: bytes) -> Pixels:
    """Decode and resize a file with the functions of the project, without digest, sums and checks."""
    from anomaly_assets.decoding import png

    image = png.load(Image.open(io.BytesIO(content)), content)
    try:
        resize = importlib.import_module("anomaly_assets.decoding.resize")
    except ImportError:  # a version without SIMD
        return _three_channels(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    backend = "pillow" if resize.why_not_simd() else "simd"
    return _three_channels(resize.resize_image(image, SIDE, SIDE, backend))


DECODERS: dict[str, Decode] = {"pillow": by_pillow, "ours": by_project}


def bare_loop(files: Iterable[str | Path]) -> None:
    """Read, decode and resize files on all threads, and discard the results."""
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(lambda path: _resized(_content(path)), files):
            pass


def _content(path: str | Path) -> bytes:
    return Path(path).read_bytes()


def _bare(items: Sequence[Item], _decode: Decode, _folder: str) -> None:
    bare_loop([item.path for item in items])


def _lance(items: Sequence[Item], decode: Decode, folder: str) -> None:
    """Write lists of fixed size from record batches that a pool decodes."""
    import lance

    image = pa.list_(pa.uint8(), TENSOR_BYTES)
    schema = pa.schema([("image_id", pa.string()), ("label", pa.int64()), ("image", image)])

    def batch(part: Sequence[Item]) -> pa.RecordBatch:
        values = pa.array(_tensors([item.path for item in part], decode).reshape(-1))
        columns = [
            pa.array([item.image_id for item in part]),
            pa.array([item.label for item in part], pa.int64()),
            pa.FixedSizeListArray.from_arrays(values, TENSOR_BYTES),
        ]
        return pa.record_batch(columns, schema=schema)

    parts = [items[start : start + 64] for start in range(0, len(items), 64)]
    batches = _in_order(batch, parts, ahead=2 * WORKERS)
    reader = pa.RecordBatchReader.from_batches(schema, batches)
    lance.write_dataset(reader, f"{folder}/images.lance", schema=schema)


def _webdataset(items: Sequence[Item], decode: Decode, folder: str) -> None:
    """Write tar files of arrays in NumPy's format, decoded by a pool."""
    import webdataset

    tensors = _in_order(lambda item: decode(_content(item.path)), items, ahead=32)
    with webdataset.ShardWriter(f"{folder}/%05d.tar", maxcount=1000, verbose=0) as writer:
        for number, (item, tensor) in enumerate(zip(items, tensors, strict=True)):
            key = f"{number:08}"
            sample = {"__key__": key, "npy": tensor, "cls": item.label, "txt": item.image_id}
            writer.write(sample)


def _hugging_face(items: Sequence[Item], decode: Decode, folder: str) -> None:
    """Write binary values by a generator that takes them from a pool."""
    import datasets

    datasets.disable_progress_bars()
    value = datasets.Value
    features = {"image_id": value("string"), "label": value("int64"), "image": value("binary")}
    written = datasets.Dataset.from_generator(
        partial(_examples, decode=decode),
        features=datasets.Features(features),
        cache_dir=folder,
        gen_kwargs={"items": [tuple(item) for item in items]},
        writer_batch_size=64,
    )
    assert len(written) == len(items)


def _examples(items: Sequence[tuple[str, str, int]], decode: Decode) -> Iterator[dict[str, Any]]:
    tensors = _in_order(lambda item: decode(_content(item[1])).tobytes(), items, ahead=32)
    for (image_id, _, label), tensor in zip(items, tensors, strict=True):
        yield {"image_id": image_id, "label": label, "image": tensor}


def _daft(items: Sequence[Item], decode: Decode, folder: str) -> None:
    """Write Parquet from a function over batches of paths, which Daft runs on its threads.

    Its own expressions take more processor time: `download` 1.3 times as much, `decode_image` 1.1 times.
    Its own `resize` is up to 29 levels of 255 away from LANCZOS.
    """
    import daft

    def tensors(paths: Any) -> pa.Array:
        values = _tensors(paths.to_pylist(), decode)
        bounds = np.arange(len(values) + 1, dtype=np.int64) * TENSOR_BYTES
        parts = [None, pa.py_buffer(bounds), pa.py_buffer(values)]
        return pa.Array.from_buffers(pa.large_binary(), len(values), parts)

    column = daft.func.batch(return_dtype=daft.DataType.binary(), batch_size=32, use_process=False)(
        tensors
    )
    frame = daft.from_pydict(
        {name: [getattr(item, name) for item in items] for name in Item._fields}
    )
    frame = frame.select("image_id", "label", column(frame["path"]).alias("image"))
    frame.write_parquet(folder, compression="none")


def _straightforward(items: Sequence[Item], _decode: Decode, folder: str) -> None:
    from benchmarks import straightforward

    straightforward.load([Path(item.path) for item in items], Path(folder))


TOOLS: dict[str, Callable[[Sequence[Item], Decode, str], None]] = {
    "bare": _bare,
    "lance": _lance,
    "webdataset": _webdataset,
    "datasets": _hugging_face,
    "daft": _daft,
    "straightforward": _straightforward,
}

_MODULES = {"bare": "PIL.Image", "straightforward": "benchmarks.straightforward"}


def _tensors(paths: Sequence[str], decode: Decode) -> Pixels:
    """Return the pixels of these files, one row per file."""
    tensors = np.empty((len(paths), TENSOR_BYTES), np.uint8)
    for tensor, path in zip(tensors, paths, strict=True):
        tensor[:] = decode(_content(path)).reshape(-1)
    return tensors


def _in_order(call: Callable[[_In], _Out], values: Iterable[_In], *, ahead: int) -> Iterator[_Out]:
    """Yield results in the order of the values; a pool computes at most `ahead` of them in advance."""
    with ThreadPoolExecutor(WORKERS) as pool:
        pending: deque[Future[_Out]] = deque()
        for value in values:
            pending.append(pool.submit(call, value))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.writers", description=__doc__)
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("decoder", choices=DECODERS)
    parser.add_argument("list", type=Path)
    parser.add_argument("folder", help="an empty folder")
    options = parser.parse_args()
    items = [Item(*each) for each in json.loads(options.list.read_text("utf-8"))]
    decode = DECODERS[options.decoder]
    importlib.import_module(_MODULES.get(options.tool, options.tool))
    decode(_content(items[0].path))  # imports what the decoder needs
    started = time.perf_counter()
    TOOLS[options.tool](items, decode, options.folder)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
