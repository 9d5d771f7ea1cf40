"""Publish databases to read from: a small one built by the real code, and any number of plain rows."""

from __future__ import annotations

from pathlib import Path

import duckdb

from anomaly_assets.catalogue.dlt_source import load
from anomaly_assets.tables.ddl import ddl, sql_text
from anomaly_assets.tables.registry import TABLES
from anomaly_assets_tests.sampled import SAMPLED
from anomaly_assets_tests.warehouse.project import SPEC, Project, mask, noise

SHAPE = (SPEC.height, SPEC.width, SPEC.channels)

PICTURES = {
    **{f"mvtec_ad/bottle/train/good/{number:03}.png": noise(number) for number in range(4)},
    "mvtec_ad/bottle/test/good/000.png": noise(10),
    "mvtec_ad/bottle/test/crack/000.png": noise(11),
    "mvtec_ad/bottle/ground_truth/crack/000_mask.png": mask((2, 3, 20, 14)),
    "mvtec_ad/bottle/test/crack/001.png": noise(12),  # without a mask
    "mvtec_ad/bottle/test/crack/002.png": noise(13),
    # One pixel, which the resize loses.
    "mvtec_ad/bottle/ground_truth/crack/002_mask.png": mask((0, 0, 1, 1)),
    "mvtec_ad/carpet/train/good/000.png": noise(14, "L"),
    "mvtec_ad/carpet/test/hole/000.png": noise(15, "L"),
    "mvtec_ad/carpet/ground_truth/hole/000_mask.png": mask((0, 0, 12, 16)),
    "mvtec_ad/screw/test/good/000.png": noise(16, "L"),  # none to train on, so no statistics
    "dagm_2007/Class1/Train/0001.PNG": noise(17, "L"),
    "dagm_2007/Class1/Train/0002.PNG": noise(18, "L"),
    "dagm_2007/Class1/Train/Label/0002_label.PNG": mask((4, 4, 18, 12)),
    "dagm_2007/Class1/Test/0003.PNG": noise(19, "L"),
}
LABELS = "1\n1\t0\t0001.PNG\t0\t0\n2\t1\t0002.PNG\t0\t0002_label.PNG\n"

IMAGE_IDS = sorted(path for path in PICTURES if "ground_truth" not in path and "Label" not in path)


def publish_pictures(folder: Path) -> Project:
    """Build a project of these pictures, and publish `folder/anomaly.duckdb` from it."""
    project = Project.at(folder)
    project.save(PICTURES)
    project.path("dagm_2007/Class1/Train/Label/Labels.txt").write_text(LABELS)
    publish_again(project)
    return project


def publish_again(project: Project, keep_snapshots: int = 0) -> None:
    """Load the changes below the roots, and publish them."""
    for name, dataset in SAMPLED.items():
        load(dataset, str(project.roots_folder / name), project.warehouse)
    project.refresh_all()
    project.build()
    project.refresh_all()
    project.warehouse.publish(
        project.folder / "anomaly.duckdb", SPEC, keep_snapshots=keep_snapshots
    )


def publish_rows(
    path: Path, count: int, side: int, *, snapshot_id: str = "of rows", letter: str = "A"
) -> Path:
    """Write a file with the tables that are read, `count` samples; every tenth is anomalous and has a mask.

    Each image is one of 26 letters, from `letter` on, in every byte.
    """
    connection = duckdb.connect(":memory:")
    connection.execute(f"ATTACH '{path}' AS published (ROW_GROUP_SIZE 2048)")
    connection.execute("USE published.main")
    connection.execute("SET threads = 1")
    for name in ("image_tensors", "snapshots"):
        connection.execute(ddl(TABLES[name]))
    connection.execute(
        """
        CREATE TABLE images AS
        SELECT
            format('mvtec_ad/bottle/test/good/{:06}.png', number) AS image_id,
            format('{:06}.png', number) AS filename,
            CASE WHEN number % 10 = 0 THEN 'anomalous' ELSE 'good' END AS label,
            (number % 10 = 0)::BIGINT AS label_index,
            'mvtec_ad' AS source_dataset,
            'bottle' AS category,
            'test' AS split,
            NULL::VARCHAR AS defect_type,
            '' AS source_uri,
            NULL::STRUCT(no_attributes BOOLEAN) AS attributes
        FROM range($count) AS numbered (number)
        """,
        {"count": count},
    )
    connection.execute(
        """
        INSERT INTO image_tensors BY NAME
        SELECT
            image_id,
            '' AS file_version,
            '' AS transform,
            sha256(image_id || $letter) AS content_sha256,
            1 AS original_width,
            1 AS original_height,
            'RGB' AS original_mode,
            $side AS height,
            $side AS width,
            3 AS channels,
            repeat(chr(ascii($letter) + (hash(image_id) % 26)::INTEGER), $side * $side * 3)::BLOB
                AS image_tensor,
            CASE WHEN image_id LIKE '%0.png' THEN repeat('\\x01'::BLOB, $side * $side) END AS mask_tensor,
            CASE WHEN image_id LIKE '%0.png' THEN 1.0 END AS mask_area_fraction,
            []::BIGINT[] AS channel_sums,
            []::BIGINT[] AS channel_square_sums,
            now() AS loaded_at
        FROM images
        ORDER BY image_id
        """,
        {"side": side, "letter": letter},
    )
    connection.execute(
        """
        INSERT INTO snapshots BY NAME
        SELECT $snapshot_id AS snapshot_id, now() AS published_at, 0 AS images, 0 AS tensors, 0 AS rejected
        """,
        {"snapshot_id": snapshot_id},
    )
    connection.execute("CREATE VIEW effective_images AS FROM images")
    connection.execute(sql_text("samples"))
    connection.execute("CHECKPOINT")
    connection.close()
    return path
