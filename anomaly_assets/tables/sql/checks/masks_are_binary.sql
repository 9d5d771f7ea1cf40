-- Any value above zero counts as defective. More than two values indicate that an editor smoothed the mask.
SELECT image_id AS offender, mask_values || ' grey values' AS detail
FROM facts
WHERE mask_values > 2
AND image_id NOT IN (SELECT image_id FROM corrected_fields WHERE field = 'exclude' AND value = 'true')
ORDER BY offender;
