SELECT relative_path AS offender, reason AS detail
FROM <stray_files> AS stray_files
WHERE source_dataset = $source_dataset AND reason LIKE '%mask%'
ORDER BY offender;
