-- One row per image of all source datasets, with the label by all evidence. ddl.py replaces <images> by the
-- union of all existing tables <source_dataset>.images, which hold the evidence. The first one in this order
-- decides: a table, the path, the labels file, the content of the mask, and the label without a mask (`unmasked`, or
-- the key `label`). One exception: good in a labels file, against a mask with defective pixels, gives anomalous.
-- A mask is no evidence until it is decoded, nor while a corrected mask takes its place. Rows that a release
-- before 0.2 loaded keep their label. Only facts of masks are joined, because they are few.
CREATE OR REPLACE VIEW images AS
WITH evidence AS (
    SELECT
        images.*,
        CASE WHEN images.mask_relative_path IS NOT NULL THEN (decoded.area > 0)::BIGINT END AS mask_label_index
    FROM <images> AS images
    LEFT JOIN (
        SELECT image_id AS decoded_id, mask_area_fraction AS area
        FROM facts
        WHERE mask_area_fraction IS NOT NULL AND starts_with(mask_file_version, 'correction:') IS DISTINCT FROM true
    ) AS decoded ON decoded.decoded_id = images.image_id
),
decided AS (
    SELECT
        *,
        CASE
            WHEN label_source IS NULL THEN label_index
            WHEN coalesce(table_label_index, path_label_index) IS NULL AND declared_label_index = 0
                AND mask_label_index = 1 THEN 1
            ELSE coalesce(table_label_index, path_label_index, declared_label_index, mask_label_index, label_index)
        END AS decided_index,
        CASE
            WHEN label_source IS NULL THEN NULL
            WHEN table_label_index IS NOT NULL THEN 'table'
            WHEN path_label_index IS NOT NULL THEN 'path'
            WHEN declared_label_index = 0 AND mask_label_index = 1 THEN 'mask'
            WHEN declared_label_index IS NOT NULL THEN 'labels_file'
            WHEN mask_label_index IS NOT NULL THEN 'mask'
            ELSE label_source
        END AS decided_by
    FROM evidence
),
-- One column at a time: DuckDB stores several columns of EXCLUDE or REPLACE in an order that differs from run to
-- run, and each run would replace the view.
with_label AS (
    SELECT
        * EXCLUDE (mask_label_index) REPLACE (
            CASE decided_index WHEN 0 THEN 'good' WHEN 1 THEN 'anomalous' ELSE 'unknown' END AS label
        )
    FROM decided
),
with_index AS (SELECT * REPLACE (decided_index AS label_index) FROM with_label),
with_type AS (
    SELECT
        * EXCLUDE (decided_index) REPLACE (
            CASE
                WHEN decided_by IS NULL THEN defect_type
                WHEN decided_index = 1 THEN coalesce(defect_type, 'unspecified')
            END AS defect_type
        )
    FROM with_index
),
-- Attributes are a struct of all names that the declarations of the warehouse give.
with_source AS (SELECT * EXCLUDE (decided_by) REPLACE (decided_by AS label_source) FROM with_type)
SELECT * REPLACE (<attributes> AS attributes)
FROM with_source;
