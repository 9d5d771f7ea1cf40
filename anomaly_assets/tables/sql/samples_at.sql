-- The columns of `samples` for one recipe, and its tile and box; one row per usable image and tile.
CREATE OR REPLACE MACRO samples_at(wanted) AS TABLE
SELECT
    samples.* REPLACE (
        tensors.height AS height,
        tensors.width AS width,
        tensors.channels AS channels,
        tensors.image_tensor AS image_tensor,
        CASE WHEN samples.label = 'good' AND facts.mask_area_fraction > 0 THEN NULL ELSE tensors.mask_tensor END
            AS mask_tensor,
        tensors.loaded_at AS loaded_at
    ),
    tensors.recipe,
    tensors.tile,
    tensors.box
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
) AS tensors
JOIN samples USING (image_id)
LEFT JOIN facts USING (image_id);
