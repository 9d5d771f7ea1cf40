-- One row per usable image: the table to train from.
-- DuckDB builds a hash table from the side of a join that it estimates to be smaller, and must not build one from the
-- tensors: `LIMIT 1` would read all of them, and hold them in memory. Both conditions are always true. DuckDB removes
-- them, but after it has estimated that each one keeps a fifth of the images (docs/decisions/0018).
CREATE OR REPLACE VIEW samples AS
SELECT
    images.image_id,
    images.filename,
    images.label,
    images.label_index,
    images.source_dataset,
    images.category,
    images.split,
    images.defect_type,
    tensors.height,
    tensors.width,
    tensors.channels,
    tensors.image_tensor,
    -- A mask with defective pixels is not used if the image is good by stronger evidence.
    CASE WHEN images.label = 'good' AND mask_area_fraction > 0 THEN NULL ELSE mask_tensor END AS mask_tensor,
    tensors.original_width,
    tensors.original_height,
    tensors.original_mode,
    tensors.content_sha256,
    CASE WHEN images.label = 'good' AND mask_area_fraction > 0 THEN NULL ELSE mask_area_fraction END
        AS mask_area_fraction,
    images.source_uri,
    tensors.loaded_at,
    images.attributes
FROM effective_images AS images
JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
WHERE images.image_id IS NOT NULL AND images.label IS NOT NULL;
