-- Versions are compared, because tensors are outdated if the root becomes unavailable after listing. A
-- tensor whose file or mask was rejected may be outdated: it stays until the file can be decoded.
SELECT
    images.image_id AS offender,
    CASE
        WHEN tensors.image_id IS NULL THEN 'neither decoded nor rejected'
        ELSE 'decoded from another version of the image or its mask'
    END AS detail
FROM (
    SELECT
        images.image_id,
        relative_path,
        file_version,
        coalesce(masks.written_value, mask_relative_path) AS mask_relative_path,
        coalesce(masks.value, mask_file_version) AS mask_file_version
    FROM <images> AS images
    LEFT JOIN corrected_fields AS masks
        ON masks.image_id = images.image_id AND masks.field = 'mask' AND masks.value IS NOT NULL
) AS images
LEFT JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
-- One join each for image and mask: DuckDB compares every pair of rows for a condition with OR.
ANTI JOIN rejected_images AS rejected
    ON rejected.image_id = images.image_id
    AND rejected.relative_path = images.relative_path
    AND rejected.file_version = images.file_version
ANTI JOIN rejected_images AS rejected_masks
    ON rejected_masks.image_id = tensors.image_id
    AND rejected_masks.relative_path = images.mask_relative_path
    AND rejected_masks.file_version = images.mask_file_version
WHERE tensors.image_id IS NULL
OR (tensors.file_version, tensors.mask_file_version)
    IS DISTINCT FROM (images.file_version, images.mask_file_version)
ORDER BY offender;
