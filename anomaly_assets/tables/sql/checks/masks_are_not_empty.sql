SELECT image_id AS offender, 'no defective pixel' AS detail
FROM image_tensors
WHERE mask_area_fraction = 0
ORDER BY offender;
