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
without_effect AS (  -- on an image that is not anomalous
    SELECT place AS without_effect_place, min(found.image_id) AS not_anomalous
    FROM found
    JOIN effective_images AS images ON images.image_id = found.image_id
    LEFT JOIN facts ON facts.image_id = found.image_id AND facts.mask_file_version = found.value
    WHERE (found.field = 'defect_type' AND images.label <> 'anomalous')
    OR (found.field = 'mask' AND images.label = 'good' AND facts.mask_area_fraction > 0)
    GROUP BY place
),
unreadable AS (
    SELECT lines.file || ':' || lines.line AS unreadable_place, min(rejected.detail) AS why_unreadable
    FROM correction_lines AS lines
    JOIN rejected_images AS rejected ON rejected.file_version = lines.used_value
    JOIN facts ON facts.image_id = rejected.image_id AND facts.content_sha256 = lines.pinned_sha256
    WHERE lines.field = 'mask' AND lines.awaited_version IS NULL
        AND coalesce(lines.image_id, facts.image_id) = facts.image_id
    GROUP BY ALL
),
judged AS (
    SELECT
        lines.*,
        by_line.*,
        not_anomalous,
        why_unreadable,
        listed.listed_version,
        decoded.found_sha256,
        CASE
            WHEN fault IS NOT NULL OR not_anomalous IS NOT NULL THEN 'impossible_value'
            WHEN disagreeing IS NOT NULL THEN 'conflict'
            WHEN why_unreadable IS NOT NULL THEN 'unreadable_mask'
            WHEN images > 0 THEN 'applied'
            WHEN listed_version IS NULL THEN 'unknown_image'
            WHEN awaited_version = listed_version OR (pinned_sha256 IS NOT NULL AND found_sha256 IS NULL)
                THEN 'not_decoded'
            ELSE 'other_content'
        END AS status
    FROM correction_lines AS lines
    LEFT JOIN by_line ON by_line.place = lines.file || ':' || lines.line
    LEFT JOIN without_effect ON without_effect_place = lines.file || ':' || lines.line
    LEFT JOIN unreadable ON unreadable_place = lines.file || ':' || lines.line
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
        WHEN 'impossible_value' THEN coalesce(
            fault,
            CASE field
                WHEN 'mask' THEN not_anomalous || ' is good, so its mask is not used: correct its label as well'
                ELSE not_anomalous || ' is not anomalous: correct its label as well'
            END
        )
        WHEN 'conflict' THEN 'another line has another value for the same field of ' || disagreeing
        WHEN 'unreadable_mask' THEN 'the mask of the source holds: ' || why_unreadable
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
