-- A test folder without any mask, in a category with some, may hold sound parts under another word than `good`.
WITH folders AS (
    SELECT
        *,
        regexp_extract(relative_path, '^.*/') AS folder,
        count(mask_relative_path) OVER (PARTITION BY source_dataset, category) AS masks,
        count(mask_relative_path) OVER (PARTITION BY source_dataset, category, split, folder) AS masks_of_folder
    FROM images
)
SELECT
    image_id AS offender,
    CASE
        WHEN label_source = 'path' AND split = 'test' AND masks > 0 AND masks_of_folder = 0
            THEN format(
                '{}: no image of this folder has a mask, others have; if these are sound parts, rename the '
                || 'folder to good, ok, normal or 0',
                defect_type
            )
        ELSE defect_type
    END AS detail
FROM folders
WHERE label = 'anomalous' AND mask_relative_path IS NULL
ORDER BY offender;
