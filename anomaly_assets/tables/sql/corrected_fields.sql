-- One row per image and field with a correction for its content. A correction belongs to an image only by the SHA-256
-- of the content that was decoded, never by the name of the image alone. The value is null if corrections disagree.
-- `places` has the lines of all of them. A mask whose content cannot be decoded is none: that of the source holds.
CREATE OR REPLACE VIEW corrected_fields AS
WITH matching AS (
    SELECT facts.image_id, field, used_value, value, mask_source_uri, file || ':' || line AS place
    FROM correction_lines AS lines
    JOIN facts ON facts.image_id = lines.image_id AND facts.content_sha256 = lines.pinned_sha256
    WHERE lines.used_value IS NOT NULL AND lines.awaited_version IS NULL
    UNION ALL
    SELECT facts.image_id, field, used_value, value, mask_source_uri, file || ':' || line AS place
    FROM correction_lines AS lines
    JOIN facts ON facts.content_sha256 = lines.content_sha256
    WHERE lines.used_value IS NOT NULL AND lines.image_id IS NULL
)
SELECT
    image_id,
    field,
    CASE WHEN min(used_value) = max(used_value) THEN min(used_value) END AS value,
    list(place ORDER BY place) AS places,
    min(matching.value) AS written_value,
    min(mask_source_uri) AS mask_source_uri
FROM matching
WHERE (image_id, used_value) NOT IN (
    SELECT (image_id, file_version)
    FROM rejected_images
    WHERE starts_with(file_version, 'correction:') AND reason NOT IN ('unreadable', 'changed_while_reading')
)
GROUP BY image_id, field;
