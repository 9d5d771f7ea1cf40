-- Compare the suffix of each image and mask with its format. Rows of earlier releases have no format: all are PNG.
WITH files AS (
    SELECT facts.image_id, images.relative_path, facts.file_format AS format
    FROM facts JOIN images USING (image_id)
    UNION ALL
    SELECT facts.image_id, images.mask_relative_path, facts.mask_file_format
    FROM facts JOIN images USING (image_id)
)
SELECT image_id AS offender, parse_filename(relative_path) || ' is a ' || format || ' file' AS detail
FROM files
WHERE format NOT IN ('LABELME', 'COCO')  -- shapes in a file of JSON
AND NOT regexp_matches(
    lower(relative_path),
    CASE format
        WHEN 'JPEG' THEN '\.(jpg|jpeg|jpe|jfif|mpo)$'
        WHEN 'TIFF' THEN '\.tiff?$'
        WHEN 'BMP' THEN '\.(bmp|dib)$'
        ELSE '\.' || lower(format) || '$'
    END
)
ORDER BY offender, detail;
