-- Versions are compared, because tensors are outdated if the root becomes unavailable after listing. A
-- tensor whose file or mask was rejected may be outdated: it stays until the file can be decoded.
SELECT
    images.image_id AS offender,
    CASE
        WHEN tensors.image_id IS NULL THEN 'neither decoded nor rejected'
        ELSE 'decoded from another version of the image or its mask'
    END AS detail
FROM <images> AS images
LEFT JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
ANTI JOIN rejected_images AS rejected
    ON rejected.image_id = images.image_id
    AND (
        (rejected.relative_path, rejected.file_version) = (images.relative_path, images.file_version)
        OR (
            tensors.image_id IS NOT NULL
            AND (rejected.relative_path, rejected.file_version)
                = (images.mask_relative_path, images.mask_file_version)
        )
    )
WHERE tensors.image_id IS NULL
OR (tensors.file_version, tensors.mask_file_version)
    IS DISTINCT FROM (images.file_version, images.mask_file_version)
ORDER BY offender;
