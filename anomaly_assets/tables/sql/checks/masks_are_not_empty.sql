-- An empty mask of an image that is not anomalous means that nothing is wrong.
SELECT images.image_id AS offender, 'no defective pixel' AS detail
FROM effective_images AS images
JOIN facts ON facts.image_id = images.image_id
WHERE images.label = 'anomalous' AND facts.mask_area_fraction = 0
ORDER BY offender;
