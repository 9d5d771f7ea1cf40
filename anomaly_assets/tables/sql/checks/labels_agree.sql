-- Images with evidence for two labels, and declared defects without a mask.
WITH sides AS (
    SELECT
        images.*,
        CASE path_label_index
            WHEN 0 THEN 'good by its path'
            WHEN 1 THEN 'anomalous by its path'
        END AS by_path,
        CASE table_label_index
            WHEN 0 THEN 'good in a table'
            WHEN 1 THEN 'anomalous in a table'
        END AS by_table,
        format('label {} in Labels.txt', declared_label_index) AS by_labels_file,
        CASE
            WHEN decoded.area > 0 THEN 'a mask with defective pixels'
            WHEN decoded.area = 0 THEN 'a mask without any defective pixel'
            WHEN mask_relative_path IS NULL THEN 'no mask'
        END AS by_mask,
        CASE WHEN mask_relative_path IS NOT NULL THEN (decoded.area > 0)::BIGINT END AS mask_label_index
    FROM images
    LEFT JOIN (
        SELECT image_id AS decoded_id, mask_area_fraction AS area FROM facts WHERE mask_area_fraction IS NOT NULL
    ) AS decoded ON decoded.decoded_id = images.image_id
)
SELECT
    image_id AS offender,
    format(
        '{}; used: {} by {}',
        concat_ws(', but ', by_table, by_path, by_labels_file, by_mask),
        label,
        coalesce(replace(label_source, '_', ' '), 'an earlier release')
    ) AS detail
FROM sides
WHERE table_label_index <> path_label_index
OR table_label_index <> declared_label_index
OR table_label_index <> mask_label_index
OR path_label_index <> declared_label_index
OR path_label_index <> mask_label_index
OR declared_label_index <> mask_label_index
OR (declared_label_index = 1 AND mask_relative_path IS NULL)
ORDER BY offender;
