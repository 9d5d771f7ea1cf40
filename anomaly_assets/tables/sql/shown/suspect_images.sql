-- The first ones to look at.
SELECT image_id, recipe, kind, rank, is_likely, reason
FROM suspect_images
ORDER BY NOT is_likely, rank, kind, image_id, recipe
LIMIT $limit;
