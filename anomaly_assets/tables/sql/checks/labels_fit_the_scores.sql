-- A score is valid for one content and label: an image that was replaced, corrected or removed since is no suspect.
SELECT image_id AS offender, any_value(reason) AS detail
FROM suspect_images
JOIN (SELECT image_id, recipe, content_sha256, label FROM baseline_scores) USING (image_id, recipe)
JOIN (SELECT image_id, content_sha256, label FROM samples_without_tensors) USING (image_id, content_sha256, label)
WHERE is_likely
GROUP BY image_id
ORDER BY min(rank), image_id;
