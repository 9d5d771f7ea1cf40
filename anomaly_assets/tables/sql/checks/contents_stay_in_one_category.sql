SELECT image_ids[1] AS offender, array_to_string(image_ids[2:20], ', ') AS detail
FROM duplicate_images
WHERE crosses_categories
ORDER BY offender;
