-- The images that contradict their label most, of each category and recipe.
SELECT image_id, recipe, role, label, round(coalesce(out_of_fold_score, score), 4) AS score, above_threshold
FROM baseline_scores
QUALIFY row_number() OVER (
    PARTITION BY source_dataset, category, recipe, role
    ORDER BY CASE WHEN label = 'anomalous' THEN score ELSE -coalesce(out_of_fold_score, score) END, image_id
) = 1
ORDER BY image_id, recipe
LIMIT $limit;
