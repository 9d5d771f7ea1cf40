-- Pillow turns 16-bit values above 255 into 255, which leaves little of such an image.
SELECT image_id AS offender, 'mode ' || original_mode AS detail
FROM image_tensors
WHERE original_mode LIKE 'I%'
ORDER BY offender;
