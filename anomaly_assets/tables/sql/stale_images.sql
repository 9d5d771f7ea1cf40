-- The $columns of images of $source_datasets whose tensor is missing, or was decoded from another version
-- of the file or its mask, or with another transform. Files rejected for a $transient reason are retried at
-- every run. So are files that the first release rejected for a fault of the machine, such as low memory.
WITH rejected AS (
    SELECT
        *,
        list_contains($transient, reason) OR regexp_matches(
            detail, '^(MemoryError|AttributeError|ImportError|KeyError|TypeError|OSError: \[Errno )'
        ) AS again
    FROM rejected_images
)
SELECT images.*
FROM (SELECT COLUMNS($columns) FROM images) AS images
LEFT JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
LEFT JOIN rejected
    ON rejected.image_id = images.image_id AND rejected.relative_path = images.relative_path
LEFT JOIN rejected AS mask_rejected
    ON mask_rejected.image_id = images.image_id
    AND mask_rejected.relative_path = images.mask_relative_path
WHERE list_contains($source_datasets, images.source_dataset)
AND CASE
    WHEN coalesce(rejected.again, false) OR coalesce(mask_rejected.again, false) THEN true
    WHEN tensors.image_id IS NOT NULL THEN
        (tensors.file_version, tensors.mask_file_version, tensors.transform)
            IS DISTINCT FROM (images.file_version, images.mask_file_version, $transform)
    WHEN rejected.image_id IS NOT NULL THEN
        (rejected.file_version, rejected.transform)
            IS DISTINCT FROM (images.file_version, $transform)
    ELSE true
END
ORDER BY images.image_id;
