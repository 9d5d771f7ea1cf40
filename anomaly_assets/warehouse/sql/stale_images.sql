-- The $columns of those images of $source_datasets whose tensor is missing or was made of another version
-- of the file, its mask, or with another transform. What was $unreadable is tried again at every run.
SELECT images.*
FROM (SELECT COLUMNS($columns) FROM images) AS images
LEFT JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
LEFT JOIN rejected_images AS rejected
    ON rejected.image_id = images.image_id AND rejected.relative_path = images.relative_path
LEFT JOIN rejected_images AS mask_rejected
    ON mask_rejected.image_id = images.image_id
    AND mask_rejected.relative_path = images.mask_relative_path
WHERE list_contains($source_datasets, images.source_dataset)
AND CASE
    WHEN tensors.image_id IS NOT NULL THEN
        (tensors.file_version, tensors.mask_file_version, tensors.transform)
            IS DISTINCT FROM (images.file_version, images.mask_file_version, $transform)
        OR coalesce(mask_rejected.reason = $unreadable, false)
    WHEN rejected.image_id IS NOT NULL THEN
        (rejected.file_version, rejected.transform)
            IS DISTINCT FROM (images.file_version, $transform)
        OR rejected.reason = $unreadable
    ELSE true
END
ORDER BY images.image_id;
