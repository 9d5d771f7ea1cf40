"""Export samples for other tools: Parquet, anomalib, MVTec AD's layout, `imagefolder`, annotation tools.

    from anomaly_assets.export import to_parquet

    to_parquet("export/bolt", category="bolt", split="train")

or, on the command line, `anomaly-assets export --format parquet --out export/bolt`.

Exports are atomic. docs/exporting.md describes the content of each format.
"""

from __future__ import annotations

try:
    from anomaly_assets.export import anomalib, imagefolder, mvtec, parquet
    from anomaly_assets.export.annotation import coco, label_studio, pictures
    from anomaly_assets.export.run import Export, Exporter
except ModuleNotFoundError as error:
    if error.name not in ("PIL", "tqdm"):
        raise
    raise ImportError("Exports need Pillow and tqdm: pip install pillow tqdm.") from error
from anomaly_assets.export.errors import ExportError

__all__ = [
    "FORMATS",
    "Export",
    "ExportError",
    "to_anomalib",
    "to_coco",
    "to_imagefolder",
    "to_label_studio",
    "to_mvtec",
    "to_parquet",
]

to_parquet = Exporter("parquet", parquet.write, parquet.card, files=parquet.FILES)
"""Export samples as Parquet files, a set for each split."""

to_anomalib = Exporter("anomalib", anomalib.write, files=anomalib.FILES)
"""Export samples as PNG files with the table that anomalib's `Tabular` takes.

`Export.left_out` counts images that `Tabular` cannot list.
"""

to_mvtec = Exporter("mvtec", mvtec.write, files=mvtec.FILES)
"""Export samples as PNG files in the layout of MVTec AD, which anomalib's `MVTecAD` and others read.

`Export.left_out` counts images that have no place in this layout.
"""

to_imagefolder = Exporter(
    "imagefolder", imagefolder.write, imagefolder.card, files=imagefolder.FILES
)
"""Export samples as PNG files that `datasets.load_dataset("imagefolder", …)` loads, masks included."""

to_label_studio = Exporter(
    "label-studio", label_studio.write, files=pictures.FILES, whole_images=True
)
"""Export samples as tasks of Label Studio, with labels and masks to correct."""

to_coco = Exporter("coco", coco.write, files=pictures.FILES, whole_images=True)
"""Export samples as COCO instances, with masks as polygons."""

FORMATS = {
    exporter.format: exporter
    for exporter in (
        *(to_parquet, to_anomalib, to_mvtec, to_imagefolder),
        *(to_label_studio, to_coco),
    )
}
