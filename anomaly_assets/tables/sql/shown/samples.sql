-- One sample of each kind, up to the limit, without its pixels.
SELECT
    image_id,
    label,
    split,
    defect_type,
    format('{}x{}x{}', height, width, channels) AS image_tensor,
    CASE WHEN mask_area_fraction IS NOT NULL THEN format('{}x{}', height, width) END AS mask_tensor,
    round(100 * mask_area_fraction, 3) AS mask_area_percent
FROM samples
QUALIFY row_number() OVER (PARTITION BY source_dataset, category, split, label ORDER BY image_id) = 1
ORDER BY image_id
LIMIT $limit;
