SELECT image_id AS offender, defect_type AS detail
FROM <images> AS images
WHERE source_dataset = $source_dataset AND split = 'train' AND label = 'anomalous'
ORDER BY offender;
