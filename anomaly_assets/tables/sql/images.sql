-- One row per image of all source datasets, with the label by all evidence. ddl.py replaces <images> by the
-- union of all existing tables <source_dataset>.images, which hold the evidence. The first one in this order
-- decides: a table, the path, the labels file, the content of the mask, and the label without a mask (`unmasked`, or
-- the key `label`). One exception: good in a labels file, against a mask with defective pixels, gives anomalous.
-- A mask is no evidence until it is decoded, nor while a corrected mask takes its place. Rows that a release
-- before 0.2 loaded keep their label. Only facts of masks are joined, because they are few. Attributes are a struct of
-- all names that the declarations of the warehouse give. Columns are listed, and there are few subqueries: DuckDB needs
-- a time to bind the view that grows with both, in every query. ddl.py adds the columns of the registry that are not
-- named here.
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
)
SELECT
    image_id,
    source_dataset,
    category,
    split,
    CASE decided_index WHEN 0 THEN 'good' WHEN 1 THEN 'anomalous' ELSE 'unknown' END AS label,
    decided_index AS label_index,
    CASE
        WHEN decided_by IS NULL THEN defect_type
        WHEN decided_index = 1 THEN coalesce(defect_type, 'unspecified')
    END AS defect_type,
    filename,
    relative_path,
    source_uri,
    file_size_bytes,
    modified_at,
    file_version,
    mask_relative_path,
    mask_source_uri,
    mask_file_version,
    declared_label_index,
    decided_by AS label_source,
    path_label_index,
    table_label_index,
    mask_reading,
    <attributes> AS attributes,
    <further columns>
    _dlt_load_id
FROM decided;
