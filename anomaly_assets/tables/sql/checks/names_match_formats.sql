-- Compare the suffix of each image and mask with its format. Rows of earlier releases have no format: all are PNG.
WITH files AS (
    SELECT tensors.image_id, images.relative_path, tensors.file_format AS format
    FROM image_tensors AS tensors JOIN images USING (image_id)
    UNION ALL
    SELECT tensors.image_id, images.mask_relative_path, tensors.mask_file_format
    FROM image_tensors AS tensors JOIN images USING (image_id)
)
SELECT image_id AS offender, parse_filename(relative_path) || ' is a ' || format || ' file' AS detail
FROM files
WHERE NOT regexp_matches(
    lower(relative_path),
    CASE format
        WHEN 'JPEG' THEN '\.(jpg|jpeg|jpe|jfif|mpo)$'
        WHEN 'TIFF' THEN '\.tiff?$'
        WHEN 'BMP' THEN '\.(bmp|dib)$'
        ELSE '\.' || lower(format) || '$'
    END
)
ORDER BY offender, detail;
