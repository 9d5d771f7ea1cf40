-- One image of each kind, up to the limit.
SELECT image_id, split, label, defect_type, file_size_bytes, mask_relative_path IS NOT NULL AS has_mask
FROM images
QUALIFY row_number() OVER (PARTITION BY source_dataset, category, split, label ORDER BY image_id) = 1
ORDER BY image_id
LIMIT $limit;
