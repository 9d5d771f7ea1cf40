-- One row per image that is not excluded: `images`, with label, defect type, split and mask after corrections. A
-- corrected mask counts once it is decoded: until then, the tensor has the mask of the source. ddl.py adds the columns
-- of the registry that are not named here.
CREATE OR REPLACE VIEW effective_images AS
WITH corrected AS (
    SELECT
        image_id AS corrected_id,
        max(value) FILTER (field = 'label') AS new_label,
        max(value) FILTER (field = 'defect_type') AS new_defect_type,
        max(value) FILTER (field = 'split') AS new_split,
        max(value) FILTER (field = 'exclude') AS new_exclude,
        max(value) FILTER (field = 'mask') AS new_mask,
        max(written_value) FILTER (field = 'mask' AND value IS NOT NULL) AS new_mask_path,
        max(mask_source_uri) FILTER (value IS NOT NULL) AS new_mask_uri
    FROM corrected_fields
    GROUP BY image_id
),
decided AS (
    SELECT
        images.*,
        corrected.*,
        decoded_id IS NOT NULL AS has_new_mask,
        CASE
            WHEN new_label IS NOT NULL THEN new_label
            WHEN label_source IS NULL OR table_label_index IS NOT NULL OR path_label_index IS NOT NULL THEN NULL
            WHEN declared_label_index = 1 OR (declared_label_index = 0 AND area = 0) THEN NULL
            WHEN area > 0 THEN 'anomalous'
            WHEN area = 0 THEN 'good'
        END AS decided_label
    FROM images
    LEFT JOIN corrected ON corrected.corrected_id = images.image_id
    LEFT JOIN (
        SELECT image_id AS decoded_id, mask_file_version AS decoded_mask, mask_area_fraction AS area
        FROM facts
        WHERE starts_with(mask_file_version, 'correction:') AND mask_area_fraction IS NOT NULL
    ) AS decoded
        ON decoded.decoded_id = images.image_id AND decoded.decoded_mask = corrected.new_mask
)
SELECT
    image_id,
    source_dataset,
    category,
    coalesce(new_split, split) AS split,
    coalesce(decided_label, label) AS label,
    CASE decided_label
        WHEN 'good' THEN 0
        WHEN 'anomalous' THEN 1
        WHEN 'unknown' THEN NULL
        ELSE label_index
    END AS label_index,
    CASE
        WHEN decided_label IS NULL AND new_defect_type IS NULL THEN defect_type
        WHEN coalesce(decided_label, label) = 'anomalous'
            THEN coalesce(new_defect_type, defect_type, 'unspecified')
        WHEN decided_label IS NULL THEN defect_type
    END AS defect_type,
    filename,
    relative_path,
    source_uri,
    file_size_bytes,
    modified_at,
    file_version,
    CASE WHEN has_new_mask THEN new_mask_path ELSE mask_relative_path END AS mask_relative_path,
    CASE WHEN has_new_mask THEN new_mask_uri ELSE mask_source_uri END AS mask_source_uri,
    CASE WHEN has_new_mask THEN new_mask ELSE mask_file_version END AS mask_file_version,
    declared_label_index,
    CASE
        WHEN decided_label IS NULL THEN label_source
        WHEN new_label IS NOT NULL THEN 'correction'
        ELSE 'mask'
    END AS label_source,
    path_label_index,
    table_label_index,
    CASE WHEN NOT has_new_mask THEN mask_reading END AS mask_reading,
    attributes,
    <further columns>
    _dlt_load_id
FROM decided
WHERE new_exclude IS DISTINCT FROM 'true';
