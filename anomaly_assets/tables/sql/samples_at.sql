-- The columns of `samples` for one recipe, and its tile and box; one row per usable image and tile.
-- The columns are listed, because DuckDB does not keep the order of `* REPLACE`, and the text is compared.
CREATE OR REPLACE MACRO samples_at(wanted) AS TABLE
SELECT
    labels.image_id,
    labels.filename,
    labels.label,
    labels.label_index,
    labels.source_dataset,
    labels.category,
    labels.split,
    labels.defect_type,
    tensors.height,
    tensors.width,
    tensors.channels,
    tensors.image_tensor,
    -- As in `samples`: `mask_area_fraction` is null if the mask of a good image is not used.
    CASE WHEN labels.label = 'good' AND labels.mask_area_fraction IS NULL THEN NULL ELSE tensors.mask_tensor END
        AS mask_tensor,
    labels.original_width,
    labels.original_height,
    labels.original_mode,
    labels.content_sha256,
    labels.mask_area_fraction,
    labels.source_uri,
    tensors.loaded_at,
    labels.attributes,
    tensors.recipe,
    tensors.tile,
    tensors.box
FROM (
    FROM (
        SELECT
            image_id, recipe, tile, box, height, width, channels, image_tensor, mask_tensor, loaded_at
        FROM recipe_tensors
        WHERE recipe = wanted
        UNION ALL
        SELECT
            tensors.image_id, recipes.recipe, 0 AS tile, NULL AS box, height, width, channels, image_tensor,
            mask_tensor, loaded_at
        FROM image_tensors AS tensors
        JOIN recipes ON recipes.is_common AND recipes.recipe = wanted
            AND recipes.source_dataset = split_part(tensors.image_id, '/', 1)
        -- Repeated for the tensors: without it, DuckDB reads a row group of pixels before it notices that the common
        -- recipe is another one.
        WHERE tensors.height = try_cast(split_part(wanted, 'x', 1) AS INTEGER)
            AND tensors.width = try_cast(split_part(wanted, 'x', 2) AS INTEGER)
            AND tensors.channels = try_cast(split_part(wanted, 'x', 3) AS INTEGER)
    ) AS stored
    UNION ALL
    -- The error is a row, because DuckDB evaluates nothing beside an empty side of a join.
    SELECT error('There is no recipe ' || wanted || '. The table recipes lists the names.'), wanted, 0, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL
    WHERE NOT EXISTS (FROM recipes WHERE recipe = wanted)
) AS tensors
JOIN samples_without_tensors AS labels ON labels.image_id = tensors.image_id
-- These are always true; see samples.sql.
WHERE labels.image_id IS NOT NULL AND labels.label IS NOT NULL;
