SELECT image_id AS offender, 'every pixel is defective' AS detail
FROM facts
WHERE mask_area_fraction = 1
AND image_id NOT IN (SELECT image_id FROM corrected_fields WHERE field = 'exclude' AND value = 'true')
ORDER BY offender;
