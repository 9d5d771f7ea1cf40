-- Returns a row if any file is loaded: of $source_dataset, or of all source datasets if it is null.
SELECT 1
FROM (
    SELECT source_dataset FROM <images> AS images
    UNION ALL
    SELECT source_dataset FROM <stray_files> AS stray_files
) AS loaded
WHERE source_dataset = coalesce($source_dataset, source_dataset)
LIMIT 1;
