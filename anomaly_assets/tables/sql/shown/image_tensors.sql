-- The newest tensors, without their pixels.
SELECT
    image_id,
    format('{}x{} {}', original_width, original_height, original_mode) AS file,
    format('{}x{}x{}', height, width, channels) AS tensor,
    round(100 * mask_area_fraction, 3) AS mask_area_percent,
    content_sha256,
    strftime(loaded_at, '%Y-%m-%d %H:%M:%S') AS loaded_at
FROM image_tensors
ORDER BY loaded_at DESC, image_id
LIMIT $limit;
