-- The first ones to look at.
SELECT image_id, recipe, kind, rank, reason
FROM suspect_images
ORDER BY rank, kind, image_id, recipe
LIMIT $limit;
