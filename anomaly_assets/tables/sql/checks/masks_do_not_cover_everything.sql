SELECT image_id AS offender, 'every pixel is defective' AS detail
FROM facts
WHERE mask_area_fraction = 1
ORDER BY offender;
