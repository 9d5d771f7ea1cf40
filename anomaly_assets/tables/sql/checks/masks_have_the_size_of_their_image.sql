SELECT
    image_id AS offender,
    format(
        'mask {}x{}, image {}x{}', mask_width, mask_height, original_width, original_height
    ) AS detail
FROM facts
WHERE mask_width IS NOT NULL
AND (mask_width, mask_height) IS DISTINCT FROM (original_width, original_height)
AND image_id NOT IN (SELECT image_id FROM corrected_fields WHERE field = 'exclude' AND value = 'true')
ORDER BY offender;
