-- Earlier releases clipped 16-bit grey values above 255. A tensor that was scaled names the depth of its file.
SELECT image_id AS offender, 'mode ' || original_mode AS detail
FROM image_tensors
WHERE original_mode LIKE 'I%' AND NOT contains(transform, '-depth-')
AND image_id NOT IN (SELECT image_id FROM corrected_fields WHERE field = 'exclude' AND value = 'true')
ORDER BY offender;
