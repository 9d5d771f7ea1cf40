-- Files of one source dataset that belong to no image.
SELECT relative_path, reason, stray_files.detail
FROM <stray_files> AS stray_files
WHERE source_dataset = $source_dataset
ORDER BY relative_path
LIMIT $limit;
