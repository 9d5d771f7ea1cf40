SELECT relative_path AS offender, concat_ws(': ', reason, stray_files.detail) AS detail
FROM <stray_files> AS stray_files
WHERE source_dataset = $source_dataset AND reason NOT LIKE '%mask%' AND reason <> 'not_needed'
ORDER BY offender;
