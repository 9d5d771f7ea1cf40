-- Some images with their tensors; null where there is none, or one of another version of the file.
SELECT
    (tensors.height, tensors.width, tensors.channels),
    tensors.image_tensor,
    tensors.mask_tensor,
    images.image_id,
    images.source_dataset,
    images.relative_path,
    images.source_uri,
    images.file_version,
    images.mask_relative_path,
    images.mask_source_uri,
    images.mask_file_version
FROM <images> AS images
LEFT JOIN image_tensors AS tensors
    ON tensors.image_id = images.image_id
    AND tensors.file_version = images.file_version
    AND tensors.mask_file_version IS NOT DISTINCT FROM images.mask_file_version
WHERE list_contains($image_ids, images.image_id);
