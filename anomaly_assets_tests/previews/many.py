"""Make tables with more categories or copies than would be practical as files."""

import duckdb

from anomaly_assets.tables.ddl import ensure_tables, refresh_labels

SIDE = 16


def write_categories(connection: duckdb.DuckDBPyConnection, categories: int) -> None:
    """Write tables of this number of categories, with four good images and four anomalous ones each.

    The anomalous ones are of two defect types, and have masks.
    """
    _write_images(
        connection,
        f"""
        SELECT format('category_{{:04d}}', number // 8) AS category,
            CASE WHEN number % 8 < 4 THEN 'train' ELSE 'test' END AS split,
            CASE WHEN number % 8 < 4 THEN 'good' ELSE 'anomalous' END AS label,
            CASE number % 8 // 2 WHEN 2 THEN 'crack' WHEN 3 THEN 'hole' END AS defect_type,
            sha256(number::VARCHAR) AS content_sha256,
            number
        FROM range({categories * 8}) AS numbers(number)
        """,
    )


def write_copies(connection: duckdb.DuckDBPyConnection, copies: int) -> None:
    """Write tables of images in two splits and two categories that all have the same content."""
    _write_images(
        connection,
        f"""
        SELECT CASE WHEN number % 2 = 0 THEN 'bottle' ELSE 'cable' END AS category,
            CASE WHEN number % 3 = 0 THEN 'train' ELSE 'test' END AS split,
            'good' AS label,
            NULL::VARCHAR AS defect_type,
            sha256('the same') AS content_sha256,
            number
        FROM range({copies}) AS numbers(number)
        """,
    )


def _write_images(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    connection.execute("CREATE SCHEMA mvtec_ad")
    connection.execute(f"""
        CREATE TABLE mvtec_ad.images AS
        SELECT 'mvtec_ad/' || relative_path AS image_id, 'mvtec_ad' AS source_dataset,
            category, split, label, (label = 'anomalous')::BIGINT AS label_index,
            defect_type, filename, relative_path,
            'file:///mvtec_ad/' || relative_path AS source_uri, 1::BIGINT AS file_size_bytes,
            NULL::TIMESTAMPTZ AS modified_at, '1' AS file_version,
            CASE WHEN label = 'anomalous' THEN 'mask of ' || relative_path END AS mask_relative_path,
            NULL::VARCHAR AS mask_source_uri, NULL::VARCHAR AS mask_file_version,
            NULL::BIGINT AS declared_label_index, content_sha256, '1700000000.5' AS _dlt_load_id
        FROM (
            SELECT *, format('{{:06d}}.png', number) AS filename,
                format('{{}}/{{}}/{{}}/{{:06d}}.png', category, split,
                    coalesce(defect_type, 'good'), number) AS relative_path
            FROM ({query})
        )
    """)
    connection.execute(
        "CREATE TABLE mvtec_ad.stray_files (relative_path VARCHAR, reason VARCHAR, detail VARCHAR, "
        "_dlt_load_id VARCHAR)"
    )
    ensure_tables(connection)
    connection.execute(f"""
        INSERT INTO image_tensors
        SELECT image_id, '1', NULL, 'lanczos-{SIDE}x{SIDE}x3', content_sha256, {SIDE}, {SIDE}, 'RGB',
            {SIDE}, {SIDE}, 3, unhex(repeat('80', {SIDE * SIDE * 3})),
            CASE WHEN label = 'anomalous'
                THEN unhex(repeat('01', {SIDE}) || repeat('00', {SIDE * (SIDE - 1)})) END,
            CASE WHEN label = 'anomalous' THEN 1 / {SIDE} END,
            NULL, NULL, NULL, NULL, [0, 0, 0], [0, 0, 0], now(), NULL
        FROM mvtec_ad.images
    """)
    connection.execute("ALTER TABLE mvtec_ad.images DROP COLUMN content_sha256")
    refresh_labels(connection)
