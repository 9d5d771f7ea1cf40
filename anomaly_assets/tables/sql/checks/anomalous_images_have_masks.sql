-- A test folder without any mask, in a category with some, may hold sound parts under another word than `good`.
WITH masked AS (
    SELECT DISTINCT source_dataset, category, split, left(relative_path, -length(filename)) AS folder
    FROM <images> AS images
    WHERE mask_relative_path IS NOT NULL
)
SELECT
    image_id AS offender,
    CASE
        WHEN label_source = 'path' AND split = 'test'
            AND (source_dataset, category) IN (SELECT (source_dataset, category) FROM masked)
            AND (source_dataset, category, split, left(relative_path, -length(filename)))
                NOT IN (SELECT (source_dataset, category, split, folder) FROM masked)
            THEN format(
                '{}: no image of this folder has a mask, others have; if these are sound parts, rename the '
                || 'folder to good, ok, normal or 0',
                defect_type
            )
        ELSE defect_type
    END AS detail
FROM effective_images
WHERE label = 'anomalous'
AND mask_relative_path IS NULL
-- A declaration without any masks promises none. Rows of a release before 0.2 have no declaration.
AND source_dataset NOT IN (
    SELECT source_dataset
    FROM source_datasets
    WHERE coalesce(json_array_length(declaration, '$.masks'), 0) = 0
    AND len(json_extract_string(declaration, '$.tables[*].columns.mask')) = 0
    AND NOT list_contains(json_extract_string(declaration, '$.tables[*].read'), 'coco')
)
ORDER BY offender;
