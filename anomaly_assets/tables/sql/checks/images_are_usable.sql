SELECT relative_path AS offender, concat_ws(': ', reason, rejected_images.detail) AS detail
FROM rejected_images
WHERE image_id NOT IN (SELECT image_id FROM corrected_fields WHERE field = 'exclude' AND value = 'true')
ORDER BY image_id, offender;
