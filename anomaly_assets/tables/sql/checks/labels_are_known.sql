-- Splits of a category with unknown labels, or without masks and rows of a labels file, whose images count as
-- good because another split of the category has some. The samples of the repository are known to be good
-- there. A stray labels file is the cause if its path contains the folder of the images.
WITH splits AS (
    SELECT
        source_dataset,
        category,
        split,
        count(*) AS images,
        count(*) FILTER (label = 'unknown' AND label_source IS DISTINCT FROM 'correction') AS unknown,
        count(*) FILTER (label = 'unknown' AND label_source = 'correction') AS corrected,
        count(*) FILTER (label_source = 'unmasked') AS unmasked,
        count(mask_relative_path) + count(declared_label_index) AS evidence
    FROM effective_images
    GROUP BY ALL
),
affected AS (
    SELECT splits.*
    FROM splits
    LEFT JOIN (SELECT source_dataset, from_samples FROM source_datasets) AS held USING (source_dataset)
    WHERE unknown > 0
    OR corrected > 0
    OR (unmasked = images AND evidence = 0 AND NOT coalesce(from_samples, false))
),
folders AS (
    SELECT source_dataset, category, split, lower('/' || min(regexp_extract(relative_path, '^.*/'))) AS folder
    FROM <images> AS images
    SEMI JOIN affected USING (source_dataset, category, split)
    GROUP BY ALL
),
labels_files AS (
    SELECT
        source_dataset,
        concat_ws(': ', relative_path, coalesce(stray_files.detail, reason)) AS fault,
        lower('/' || replace(nfc_normalize(relative_path), '\', '/')) AS path
    FROM <stray_files> AS stray_files
    WHERE reason IN ('malformed_labels', 'unreadable_labels') OR lower(relative_path) LIKE '%/labels.txt'
),
causes AS (
    SELECT folders.source_dataset, category, split, string_agg(fault, '; ' ORDER BY fault) AS cause
    FROM folders
    JOIN labels_files
        ON labels_files.source_dataset = folders.source_dataset AND contains(labels_files.path, folders.folder)
    GROUP BY ALL
)
SELECT
    concat_ws('/', source_dataset, category, split) AS offender,
    concat_ws(
        '; ',
        CASE
            WHEN unknown > 0 THEN format(
                '{} of {} images: neither the path, a labels file nor a mask gives their label', unknown, images
            )
        END,
        CASE WHEN corrected > 0 THEN format('{} of {} images: a correction gives unknown', corrected, images) END,
        CASE
            WHEN unknown + corrected = 0 THEN format(
                '{} images count as good: no image of this split has a mask or a row of a labels file, others have',
                images
            )
        END,
        CASE WHEN unknown > 0 OR corrected = 0 THEN cause END
    ) AS detail
FROM affected
LEFT JOIN causes USING (source_dataset, category, split)
ORDER BY offender;
