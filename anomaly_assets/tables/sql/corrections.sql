-- One row per line of the correction files, with its status. A line is applied if `corrected_fields` has it, with a
-- value that does not depend on another correction.
CREATE OR REPLACE VIEW corrections AS
WITH found AS (
    SELECT unnest(places) AS place, image_id, field, value FROM corrected_fields
),
by_line AS (
    SELECT place, count(value) AS images, min(image_id) FILTER (value IS NULL) AS disagreeing
    FROM found
    GROUP BY place
),
good_ones AS (
    SELECT place AS good_place, min(found.image_id) AS without_defect
    FROM found
    JOIN images ON images.image_id = found.image_id
    LEFT JOIN corrected_fields AS labels ON labels.image_id = found.image_id AND labels.field = 'label'
    WHERE found.field = 'defect_type' AND coalesce(labels.value, images.label) <> 'anomalous'
    GROUP BY place
),
judged AS (
    SELECT
        lines.*,
        by_line.*,
        without_defect,
        listed.listed_version,
        decoded.found_sha256,
        CASE
            WHEN fault IS NOT NULL OR without_defect IS NOT NULL THEN 'impossible_value'
            WHEN disagreeing IS NOT NULL THEN 'conflict'
            WHEN images > 0 THEN 'applied'
            WHEN listed_version IS NULL THEN 'unknown_image'
            WHEN awaited_version = listed_version OR (pinned_sha256 IS NOT NULL AND found_sha256 IS NULL)
                THEN 'not_decoded'
            ELSE 'other_content'
        END AS status
    FROM correction_lines AS lines
    LEFT JOIN by_line ON by_line.place = lines.file || ':' || lines.line
    LEFT JOIN good_ones ON good_place = lines.file || ':' || lines.line
    LEFT JOIN (SELECT image_id AS listed_id, file_version AS listed_version FROM <images> AS images) AS listed
        ON listed.listed_id = lines.image_id
    LEFT JOIN (SELECT image_id AS decoded_id, content_sha256 AS found_sha256 FROM facts) AS decoded
        ON decoded.decoded_id = lines.image_id
)
SELECT
    file,
    line,
    image_id,
    content_sha256,
    field,
    value,
    reason,
    corrected_by,
    corrected_at,
    pinned_sha256,
    first_seen_at,
    status,
    CASE status
        WHEN 'applied' THEN NULL
        WHEN 'impossible_value' THEN coalesce(fault, without_defect || ' is not anomalous: correct its label as well')
        WHEN 'conflict' THEN 'another line has another value for the same field of ' || disagreeing
        WHEN 'not_decoded' THEN 'the image has no tensor; see rejected_images'
        WHEN 'unknown_image' THEN CASE
            WHEN image_id IS NULL THEN 'no image has this content'
            ELSE 'there is no image with this image_id'
        END
        ELSE CASE
            WHEN pinned_sha256 IS NULL OR awaited_version IS NOT NULL
                THEN 'when this line was first read, the file was missing, just replaced, or newer than the correction'
            ELSE 'the correction is for the content ' || pinned_sha256
        END || coalesce('; the image now has ' || found_sha256, '')
    END AS detail,
    CASE WHEN status IN ('applied', 'conflict') THEN coalesce(images, 0) ELSE 0 END AS images
FROM judged;
