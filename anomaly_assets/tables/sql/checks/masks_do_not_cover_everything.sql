SELECT image_id AS offender, 'every pixel is defective' AS detail
FROM image_tensors
WHERE mask_area_fraction = 1
ORDER BY offender;
