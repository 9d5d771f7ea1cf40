-- One row per category: statistics of its good tensors to train from, from sums measured while decoding.
-- Variance is E[x^2] - E[x]^2 over exact integers, so it has no cancellation error.
CREATE OR REPLACE TABLE pixel_statistics AS
WITH per_channel AS (
    SELECT
        images.source_dataset,
        images.category,
        unnest(range(1, tensors.channels + 1)) AS channel,
        unnest(tensors.channel_sums) AS value_sum,
        unnest(tensors.channel_square_sums) AS square_sum,
        tensors.height * tensors.width AS pixels
    FROM effective_images AS images
    JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
    WHERE images.split IN ('train', 'unassigned') AND images.label = 'good'
),
moments AS (
    SELECT
        source_dataset,
        category,
        channel,
        count(*) AS images,
        sum(value_sum) / sum(pixels) AS mean,
        sum(square_sum) / sum(pixels) AS mean_square
    FROM per_channel
    GROUP BY ALL
)
SELECT
    source_dataset,
    category,
    max(images) AS images,
    list(mean / 255 ORDER BY channel) AS channel_means,
    list(sqrt(greatest(mean_square - mean * mean, 0)) / 255 ORDER BY channel)
        AS channel_standard_deviations
FROM moments
GROUP BY ALL
ORDER BY ALL;
