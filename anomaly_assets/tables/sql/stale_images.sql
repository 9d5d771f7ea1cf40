-- The $columns of images of $source_datasets with ids from $first to $last, whether their tensor of the common recipe
-- is missing or stale, and which of `wanted_recipes` are. A tensor is stale if it was decoded from another version of
-- the file or its mask, or with another transform. Files rejected for a $transient reason are retried at every run. So
-- are files that an earlier release rejected for a fault of the machine, such as low memory, for their format, or for
-- large metadata. A file with more than 8 bits has one of $deep_transforms, which are in the order of
-- $source_datasets; earlier releases clipped its values and named no depth.
WITH rejected AS (
    SELECT
        *,
        list_contains($transient, reason)
        OR starts_with(reason, 'not_a_')
        OR (reason = 'damaged_image' AND contains(detail, 'MAX_TEXT'))
        OR regexp_matches(
            detail, '^(MemoryError|AttributeError|ImportError|KeyError|TypeError|OSError: \[Errno )'
        ) AS again
    FROM rejected_images
),
masks AS (
    -- Only while the decoded version is the listed one: another version may have another content.
    SELECT
        image_id AS masked_id,
        facts.file_version AS masked_version,
        value AS new_mask,
        written_value AS new_path,
        fields.mask_source_uri AS new_uri
    FROM corrected_fields AS fields
    JOIN facts USING (image_id)
    WHERE field = 'mask' AND value IS NOT NULL
),
with_masks AS (  -- also of excluded images, which keep their tensors
    SELECT
        images.* REPLACE (
            coalesce(new_path, mask_relative_path) AS mask_relative_path,
            coalesce(new_uri, mask_source_uri) AS mask_source_uri,
            coalesce(new_mask, mask_file_version) AS mask_file_version,
            CASE WHEN new_mask IS NULL THEN mask_reading END AS mask_reading
        )
    FROM images
    LEFT JOIN masks ON masks.masked_id = images.image_id AND masks.masked_version = images.file_version
),
catalogued AS MATERIALIZED (
    SELECT COLUMNS($columns) FROM with_masks
    WHERE list_contains($source_datasets, source_dataset) AND image_id BETWEEN $first AND $last
),
missing AS (
    SELECT images.image_id, list(wanted.recipe ORDER BY wanted.recipe) AS recipes
    FROM catalogued AS images
    JOIN wanted_recipes AS wanted ON wanted.source_dataset = images.source_dataset
    LEFT JOIN recipe_tensors AS made
        ON made.image_id = images.image_id AND made.recipe = wanted.recipe AND made.tile = 0
    WHERE (made.file_version, made.mask_file_version, made.transform) IS DISTINCT FROM (
        images.file_version,
        images.mask_file_version,
        CASE WHEN contains(made.transform, '-depth-') THEN wanted.deep_transform ELSE wanted.transform END
    )
    GROUP BY images.image_id
),
wanted_by_dataset AS (
    SELECT source_dataset, list(recipe ORDER BY recipe) AS recipes FROM wanted_recipes GROUP BY source_dataset
),
compared AS (
    SELECT
        images.*,
        coalesce(rejected.again, false) OR coalesce(mask_rejected.again, false) AS tried_again,
        CASE
            WHEN tried_again THEN true
            WHEN tensors.image_id IS NOT NULL THEN
                (tensors.file_version, tensors.mask_file_version, tensors.transform)
                    IS DISTINCT FROM (
                        images.file_version,
                        images.mask_file_version,
                        CASE
                            WHEN starts_with(tensors.original_mode, 'I') OR contains(tensors.transform, '-depth-')
                            THEN $deep_transforms[list_position($source_datasets, images.source_dataset)]
                            ELSE $transform
                        END
                    )
            WHEN rejected.image_id IS NOT NULL THEN
                (rejected.file_version, rejected.transform)
                    IS DISTINCT FROM (
                        images.file_version,
                        CASE
                            WHEN contains(rejected.transform, '-depth-')
                            THEN $deep_transforms[list_position($source_datasets, images.source_dataset)]
                            ELSE $transform
                        END
                    )
            ELSE true
        END AS common,
        CASE WHEN tried_again THEN wanted.recipes ELSE missing.recipes END AS further,
        tensors.image_id IS NOT NULL AS is_decoded
    FROM catalogued AS images
    LEFT JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
    LEFT JOIN missing ON missing.image_id = images.image_id
    LEFT JOIN wanted_by_dataset AS wanted ON wanted.source_dataset = images.source_dataset
    LEFT JOIN rejected
        ON rejected.image_id = images.image_id AND rejected.relative_path = images.relative_path
    LEFT JOIN rejected AS mask_rejected
        ON mask_rejected.image_id = images.image_id
        AND mask_rejected.relative_path = images.mask_relative_path
)
SELECT * EXCLUDE (tried_again, is_decoded)
FROM compared
WHERE common OR (is_decoded AND further IS NOT NULL)
ORDER BY image_id;
