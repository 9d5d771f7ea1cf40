SELECT image_id AS offender, any_value(reason) AS detail
FROM suspect_images
WHERE kind <> 'label_first'
GROUP BY image_id
ORDER BY min(rank), image_id;
