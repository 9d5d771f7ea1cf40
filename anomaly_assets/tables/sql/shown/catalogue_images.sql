-- One image of each kind of one source dataset, up to the limit.
SELECT relative_path, split, label, defect_type, file_size_bytes, mask_relative_path
FROM <images> AS images
WHERE source_dataset = $source_dataset
QUALIFY row_number() OVER (PARTITION BY category, split, label ORDER BY image_id) = 1
ORDER BY image_id
LIMIT $limit;
