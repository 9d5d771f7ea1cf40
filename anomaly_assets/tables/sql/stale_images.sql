-- The $columns of images of $source_datasets whose tensor is missing, or was decoded from another version
-- of the file or its mask, or with another transform. Files rejected for a $transient reason are retried at
-- every run. So are files that an earlier release rejected for a fault of the machine, such as low memory,
-- for their format, or for large metadata. A file with more than 8 bits has one of $deep_transforms, which
-- are in the order of $source_datasets; earlier releases clipped its values and named no depth.
WITH rejected AS (
    SELECT
        *,
        list_contains($transient, reason)
        OR starts_with(reason, 'not_a_')
        OR (reason = 'damaged_image' AND contains(detail, 'MAX_TEXT'))
        OR regexp_matches(
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
            IS DISTINCT FROM (
                images.file_version,
                images.mask_file_version,
                CASE
                    WHEN starts_with(tensors.original_mode, 'I') OR contains(tensors.transform, '-depth-')
                    THEN $deep_transforms[list_position($source_datasets, images.source_dataset)]
                    ELSE $transform
                END
            )
    WHEN rejected.image_id IS NOT NULL THEN
        (rejected.file_version, rejected.transform)
            IS DISTINCT FROM (
                images.file_version,
                CASE
                    WHEN contains(rejected.transform, '-depth-')
                    THEN $deep_transforms[list_position($source_datasets, images.source_dataset)]
                    ELSE $transform
                END
            )
    ELSE true
END
ORDER BY images.image_id;
