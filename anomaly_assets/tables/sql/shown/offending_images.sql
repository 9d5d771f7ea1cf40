-- The $columns of some images, with their tensors; null without one of the current version of the file.
SELECT
    (tensors.height, tensors.width, tensors.channels),
    tensors.image_tensor,
    tensors.mask_tensor,
    images
FROM (SELECT COLUMNS($columns) FROM <images>) AS images
LEFT JOIN image_tensors AS tensors
    ON tensors.image_id = images.image_id
    AND tensors.file_version = images.file_version
    AND (
        tensors.mask_file_version IS NOT DISTINCT FROM images.mask_file_version
        OR starts_with(tensors.mask_file_version, 'correction:')
    )
    -- Repeated for the tensors: with the join condition alone, DuckDB reads the pixels of all of them.
    AND list_contains($image_ids, tensors.image_id)
WHERE list_contains($image_ids, images.image_id);
