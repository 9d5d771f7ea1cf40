-- Pillow clips 16-bit values above 255 to 255, so most of the image becomes white.
SELECT image_id AS offender, 'mode ' || original_mode AS detail
FROM image_tensors
WHERE original_mode LIKE 'I%'
ORDER BY offender;
