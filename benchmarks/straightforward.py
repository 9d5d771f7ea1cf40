"""Load in the straightforward way: one thread, PNG again, dlt rows merged into DuckDB."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import dlt
from dlt.destinations import duckdb as duckdb_destination
from PIL import Image


def load(files: Sequence[Path], folder: Path) -> None:
    """Load images into a database in a folder."""

    @dlt.resource(name="images", primary_key="path", write_disposition="merge")
    def images() -> Iterator[dict[str, object]]:
        for path in files:
            small = Image.open(path).resize((256, 256), Image.Resampling.LANCZOS)
            content = io.BytesIO()
            small.save(content, "PNG")
            yield {"path": str(path), "split": path.parts[-3], "image": content.getvalue()}

    pipeline = dlt.pipeline(
        "straightforward",
        pipelines_dir=str(folder / "dlt"),
        destination=duckdb_destination(str(folder / "images_database.duckdb")),
        dataset_name="plain",
    )
    pipeline.run(images())
