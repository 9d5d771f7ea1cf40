SELECT image_id AS offender, defect_type AS detail
FROM effective_images
WHERE split = 'train' AND label = 'anomalous'
AND source_dataset IN (
    SELECT source_dataset
    FROM source_datasets
    WHERE json_extract(declaration, '$.training_is_good')::BOOLEAN
    OR (declaration IS NULL AND list_contains($promising, source_dataset))
)
ORDER BY offender;
