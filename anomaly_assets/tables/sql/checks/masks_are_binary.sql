-- Any value above zero counts as defective; more than two values mean that an editor smoothed the mask.
SELECT image_id AS offender, mask_values || ' grey values' AS detail
FROM image_tensors
WHERE mask_values > 2
ORDER BY offender;
