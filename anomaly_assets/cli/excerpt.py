"""Copy a small, reproducible subset of a dataset, in its own layout.

    anomaly-assets excerpt --root R --out O --per-kind 10 --seed 0

A kind is a category, split and defect type (or good). Masks come with their images, and a `Labels.txt`
is cut to the images that were taken. `R` is any root that the pipeline can read. The same root, number
and seed give the same files, whatever holds them.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from anomaly_assets.atomic import only_writer, replaced_folder, resolved
from anomaly_assets.catalogue.image_rows import mask_files
from anomaly_assets.catalogue.layouts import fit_of
from anomaly_assets.catalogue.listing import list_catalog
from anomaly_assets.cli.running import (
    AtLeast,
    UsageError,
    begin_work,
    examples,
    not_empty,
    old_name,
)
from anomaly_assets.datasets import SOURCE_DATASETS, SourceDataset
from anomaly_assets.datasets.names import counted, normalized, shown
from anomaly_assets.datasets.record import TableFile
from anomaly_assets.datasets.table_rows import MAX_BYTES
from anomaly_assets.datasets.text import decode_text
from anomaly_assets.errors import AnomalyAssetsError
from anomaly_assets.roots.base import FileTooLargeError, Root
from anomaly_assets.roots.open import open_root
from anomaly_assets.settings import root_of


class ExcerptError(AnomalyAssetsError, RuntimeError):
    """The excerpt cannot be made; the message has the reason."""


@dataclass(frozen=True)
class Excerpt:
    """Count what was copied."""

    source_dataset: str
    images: int
    masks: int
    labels_files: int
    file_bytes: int


def make_excerpt(
    root: Root, out: Path, per_kind: int, seed: int, name: str | None = None
) -> Excerpt:
    """Copy up to `per_kind` images of every kind.

    The folder is written beside `out` and renamed, so a failed or interrupted excerpt leaves nothing.

    Args:
        root: The dataset, in the layout of any known source dataset.
        out: A folder that does not exist or is empty.
        per_kind: Images per category, split and defect type.
        seed: Another seed takes other images.
        name: The source dataset; None for the one whose layout uses most files.

    Raises:
        ExcerptError: `out` is not empty or cannot be written, or the root has no known layout.
        RootError: The root cannot be listed.
        FileUnreadableError: A chosen file cannot be read.
    """
    _refuse_content(out)
    dataset, rows = _recognised(root, name)
    chosen = _chosen(rows, per_kind, seed)
    try:
        target = resolved(out)
        target.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(target), replaced_folder(target) as folder:
            made = _write(dataset, root, folder, chosen)
            _refuse_content(target)
    except AnomalyAssetsError:
        raise
    except OSError as error:
        raise ExcerptError(f"{out} was not written: {_explained(error)}") from error
    return made


def _refuse_content(out: Path) -> None:
    """Raise an error unless `out` is an empty folder or does not exist."""
    try:
        if not out.exists():
            return
        if not out.is_dir():
            raise ExcerptError(f"{out} is a file: name a new folder.")
        if any(out.iterdir()):
            raise ExcerptError(f"{out} is not empty: name a new folder.")
    except OSError as error:
        raise ExcerptError(f"{out} was not written: {_explained(error)}") from error


def _explained(error: OSError) -> str:
    advice = {
        errno.ENOSPC: "Free some space, name a folder on another disk, or take fewer images.",
        errno.EDQUOT: "Free some of your quota, name a folder on another disk, or take fewer images.",
        errno.EFBIG: "Raise the limit on the size of files (ulimit -f).",
    }
    reason = error.strerror or str(error)
    return f"{reason}. {advice.get(error.errno or 0, 'Name a folder that you may write to.')}"


def _write(dataset: SourceDataset, root: Root, out: Path, chosen: list[dict[str, Any]]) -> Excerpt:
    """Copy the chosen images, their masks and their lines of labels files into an empty folder."""
    images = masks = file_bytes = 0
    for row in chosen:
        file_bytes += _copy(
            root, row["source_uri"], row["file_version"], out / row["relative_path"]
        )
        images += 1
        for path, uri, version in mask_files(row):
            file_bytes += _copy(root, uri, version, out / path)
            masks += 1
    labels_files = _cut_labels(dataset, root, out, {row["relative_path"] for row in chosen})
    return Excerpt(dataset.name, images, masks, labels_files, file_bytes)


def _recognised(root: Root, name: str | None) -> tuple[SourceDataset, list[dict[str, Any]]]:
    """Return the named source dataset, or the one whose layout fits the root best, and its images."""
    datasets = list(SOURCE_DATASETS.values()) if name is None else [SOURCE_DATASETS[name]]
    paths = [entry.canonical_path for entry in root.files()] if name is None else []
    fits = [
        fit
        for dataset in datasets
        for exact in (True, False)
        if (fit := fit_of(dataset, lambda: paths, exact=exact)).pairs or fit.is_labelled
    ]
    fits.sort(key=lambda fit: (fit.pairs, fit.image_count, fit.exact), reverse=True)
    for dataset in datasets if name is not None else [fit.dataset for fit in fits]:
        catalog = list_catalog(dataset, root)
        if catalog.images.num_rows:
            return dataset, catalog.images.to_pylist()
    found = (list_catalog(dataset, root) for dataset in datasets)
    likely = next((catalog.likely_root for catalog in found if catalog.likely_root), None)
    hint = f" Name the folder of the category folders: --root {shown(likely)}" if likely else ""
    layout = "a built-in or declared source dataset" if name is None else datasets[0].title
    raise ExcerptError(f"{root.uri} contains no images in the layout of {layout}.{hint}")


def _owner_of(location: str) -> str | None:
    """Return the only source dataset with this root; None if there is none or more than one."""

    def place(root: str) -> str:
        return root if "://" in root else os.path.realpath(Path(root).expanduser())

    roots = {name: root_of(dataset) for name, dataset in SOURCE_DATASETS.items()}
    found = [name for name, root in roots.items() if root and place(root) == place(location)]
    return found[0] if len(found) == 1 else None


def _chosen(rows: Iterable[dict[str, Any]], per_kind: int, seed: int) -> list[dict[str, Any]]:
    kinds: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        kinds[row["category"], row["split"], row["label"], row["defect_type"]].append(row)

    def order(row: dict[str, Any]) -> str:
        return hashlib.sha256(f"{seed}/{row['image_id']}".encode()).hexdigest()

    chosen = [row for kind in kinds.values() for row in sorted(kind, key=order)[:per_kind]]
    return sorted(chosen, key=lambda row: str(row["image_id"]))


def _copy(root: Root, uri: str, version: str, target: Path) -> int:
    path = root.path_of(uri)
    assert path is not None, f"{uri} was listed below {root.uri}"
    content = root.read(path, version)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.write_bytes(content)


def _cut_labels(dataset: SourceDataset, root: Root, out: Path, chosen: set[str]) -> int:
    """Copy each labels file with the lines of chosen images only, and other tables, byte for byte."""
    written = 0
    for entry in root.files():
        record = dataset.loose_classifier.classify(entry.canonical_path)
        if not isinstance(record, TableFile):
            continue
        folder = record.relative_path.rsplit("/", 2)[0]
        if record.entry.read == "dagm_labels" and not (out / folder).is_dir():
            continue
        names = {path.rpartition("/")[2] for path in chosen if path.rpartition("/")[0] == folder}
        try:
            content = root.read(entry.path, entry.version, MAX_BYTES[record.entry.read])
        except FileTooLargeError:  # a stray, from which no label was read
            continue
        target = out / record.relative_path
        target.parent.mkdir(parents=True, exist_ok=True)
        written += 1
        if record.entry.read != "dagm_labels":
            target.write_bytes(content)
            continue
        kept = [line for at, line in enumerate(_lines(content)) if not at or _image(line) in names]
        target.write_bytes(b"".join(line for line, _ in kept))
    return written


def _lines(content: bytes) -> list[tuple[bytes, str]]:
    """Return the lines of a labels file, each as its bytes and as text."""
    decoded = decode_text(content)
    if decoded.encoding == "utf-8":
        lines = content.splitlines(keepends=True)
        return [(line, line.decode("utf-8-sig", "replace")) for line in lines]
    texts = decoded.text.splitlines(keepends=True)
    lines = [text.encode(decoded.encoding, "replace") for text in texts]
    return [
        (line if at else decoded.mark + line, text)
        for at, (line, text) in enumerate(zip(lines, texts, strict=True))
    ]


def _image(line: tuple[bytes, str]) -> str:
    fields = line[1].split("\t")
    return normalized(fields[2].strip()) if len(fields) > 2 else ""


@click.command(
    epilog=examples(
        "anomaly-assets excerpt --root /data/mvtec_ad --out /tmp/excerpt --per-kind 10 --seed 0"
    )
)
@click.option(
    "--root", required=True, callback=not_empty, help="Folder, zip or URL of the dataset."
)
@click.option(
    "--out", required=True, callback=not_empty, metavar="DIR", help="New folder for the excerpt."
)
@click.option(
    "--name", help="The source dataset; by default the one of this root, or that uses most files."
)
@click.option(
    "--per-kind", type=AtLeast(1), default=10, show_default=True, help="Images of each kind."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Another seed takes other images."
)
def command(root: str, out: str, name: str | None, per_kind: int, seed: int) -> None:
    """Copy a small, reproducible subset of a dataset, in its own layout."""
    begin_work()
    if name is not None and name not in SOURCE_DATASETS:
        raise UsageError(f"{name} is not declared. There are {', '.join(SOURCE_DATASETS)}.")
    made = make_excerpt(open_root(root), Path(out), per_kind, seed, name or _owner_of(root))
    print(
        f"{made.source_dataset}: {counted(made.images, 'image')}, {counted(made.masks, 'mask')}, "
        f"{counted(made.labels_files, 'labels file')}, {made.file_bytes / 1e6:.1f} MB in {out}"
    )


main = old_name(command, "python -m anomaly_assets.excerpt")
