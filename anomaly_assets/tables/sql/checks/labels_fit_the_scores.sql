SELECT image_id AS offender, any_value(reason) AS detail
FROM suspect_images
WHERE is_likely
GROUP BY image_id
ORDER BY min(rank), image_id;
