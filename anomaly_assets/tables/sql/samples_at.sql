-- The columns of `samples` for one recipe, and its tile and box; one row per usable image and tile.
-- The columns are listed, because DuckDB does not keep the order of `* REPLACE`, and the text is compared.
CREATE OR REPLACE MACRO samples_at(wanted) AS TABLE
SELECT
    samples.image_id,
    samples.filename,
    samples.label,
    samples.label_index,
    samples.source_dataset,
    samples.category,
    samples.split,
    samples.defect_type,
    tensors.height,
    tensors.width,
    tensors.channels,
    tensors.image_tensor,
    CASE WHEN samples.label = 'good' AND facts.mask_area_fraction > 0 THEN NULL ELSE tensors.mask_tensor END
        AS mask_tensor,
    samples.original_width,
    samples.original_height,
    samples.original_mode,
    samples.content_sha256,
    samples.mask_area_fraction,
    samples.source_uri,
    tensors.loaded_at,
    tensors.recipe,
    tensors.tile,
    tensors.box
FROM (
    SELECT
        CASE WHEN wanted IN (SELECT recipe FROM recipes) THEN wanted
            ELSE error('There is no recipe ' || wanted || '. The table recipes lists the names.') END AS name
) AS asked
JOIN (
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
) AS tensors ON tensors.recipe = asked.name
JOIN samples USING (image_id)
LEFT JOIN facts USING (image_id);
