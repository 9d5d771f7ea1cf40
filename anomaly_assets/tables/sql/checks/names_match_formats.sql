-- Compare the suffix of each image and mask with its format. Rows of earlier releases have no format: all are PNG.
-- The id of an image ends with its path.
WITH judged AS (
    FROM facts
    WHERE image_id NOT IN (SELECT image_id FROM corrected_fields WHERE field = 'exclude' AND value = 'true')
),
files AS (
    SELECT image_id, image_id AS path, file_format AS format FROM judged
    UNION ALL
    SELECT judged.image_id, images.mask_relative_path, judged.mask_file_format
    FROM judged
    JOIN <images> AS images ON images.image_id = judged.image_id
    WHERE judged.mask_file_format IS NOT NULL
        AND starts_with(judged.mask_file_version, 'correction:') IS DISTINCT FROM true
)
SELECT image_id AS offender, parse_filename(path) || ' is a ' || format || ' file' AS detail
FROM files
WHERE NOT CASE format
    WHEN 'LABELME' THEN true  -- shapes in a file of JSON
    WHEN 'COCO' THEN true
    WHEN 'JPEG' THEN regexp_matches(lower(path), '\.(jpg|jpeg|jpe|jfif|mpo)$')
    WHEN 'TIFF' THEN regexp_matches(lower(path), '\.tiff?$')
    WHEN 'BMP' THEN regexp_matches(lower(path), '\.(bmp|dib)$')
    ELSE suffix(lower(path), '.' || lower(format))
END
ORDER BY offender, detail;
