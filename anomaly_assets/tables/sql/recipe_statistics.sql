-- One row per recipe, category and number of channels, as in pixel_statistics. The zeros that pad a
-- picture are not counted.
CREATE OR REPLACE VIEW recipe_statistics AS
WITH tensors AS (
    SELECT
        image_id, recipe, height, width, box, channels, channel_sums, channel_square_sums, tile
    FROM recipe_tensors
    UNION ALL
    SELECT
        tensors.image_id, recipes.recipe, height, width, NULL AS box, channels, channel_sums,
        channel_square_sums, 0 AS tile
    FROM image_tensors AS tensors
    JOIN recipes ON recipes.is_common
        AND recipes.source_dataset = split_part(tensors.image_id, '/', 1)
),
per_channel AS (
    SELECT
        tensors.recipe,
        images.source_dataset,
        images.category,
        tensors.image_id,
        tensors.channels,
        unnest(range(1, tensors.channels + 1)) AS channel,
        unnest(tensors.channel_sums) AS value_sum,
        unnest(tensors.channel_square_sums) AS square_sum,
        coalesce((box[3] - box[1]) * (box[4] - box[2]), height * width) AS pixels
    FROM effective_images AS images
    JOIN tensors USING (image_id)
    WHERE images.split IN ('train', 'unassigned') AND images.label = 'good'
),
moments AS (
    SELECT
        recipe,
        source_dataset,
        category,
        channels,
        channel,
        count(DISTINCT image_id) AS images,
        sum(value_sum) / sum(pixels) AS mean,
        sum(square_sum) / sum(pixels) AS mean_square
    FROM per_channel
    GROUP BY ALL
)
SELECT
    recipe,
    source_dataset,
    category,
    max(images) AS images,
    list(mean / 255 ORDER BY channel) AS channel_means,
    list(sqrt(greatest(mean_square - mean * mean, 0)) / 255 ORDER BY channel)
        AS channel_standard_deviations
FROM moments
GROUP BY recipe, source_dataset, category, channels;
