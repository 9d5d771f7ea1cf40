-- An empty mask of an image that is not anomalous means that nothing is wrong.
SELECT images.image_id AS offender, 'no defective pixel' AS detail
FROM images
JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
WHERE images.label = 'anomalous' AND tensors.mask_area_fraction = 0
ORDER BY offender;
