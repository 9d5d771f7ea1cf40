-- A row if more than half of the files are strays; files that only a table names do not count, and those that the declaration names.
WITH counted AS (
    SELECT
        (
            SELECT count(*) FROM <stray_files> AS stray_files
            WHERE source_dataset = $source_dataset AND reason NOT IN ('declared_but_missing', 'not_needed')
        ) AS strays,
        (
            SELECT count(*) + count(mask_relative_path) FROM <images> AS images
            WHERE source_dataset = $source_dataset
        ) AS used
)
SELECT $source_dataset AS offender, format('{} of {} files are strays', strays, strays + used) AS detail
FROM counted
WHERE strays > used;
