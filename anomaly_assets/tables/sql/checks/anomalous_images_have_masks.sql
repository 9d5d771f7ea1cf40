SELECT image_id AS offender, defect_type AS detail
FROM images
WHERE label = 'anomalous' AND mask_relative_path IS NULL
ORDER BY offender;
