-- $official is a list of published counts: {source_dataset, category, split, label, images}; without a category,
-- they are those of the whole dataset. Source datasets without published counts are skipped.
WITH official AS (
    SELECT unnest($official, recursive := true)
),
of_whole AS (
    SELECT DISTINCT source_dataset FROM official WHERE category IS NULL
),
found AS (
    SELECT
        source_dataset,
        CASE WHEN source_dataset NOT IN (FROM of_whole) THEN category ELSE '' END AS category,
        split,
        label,
        count(*) AS images
    FROM images
    GROUP BY ALL
),
compared AS (
    SELECT
        known.source_dataset,
        known.category,
        string_agg(
            format(
                '{} {} {} of {}', official.split, official.label, coalesce(found.images, 0), official.images
            ),
            ', ' ORDER BY official.split DESC, official.label DESC
        ) FILTER (coalesce(found.images, 0) <> official.images) AS difference
    FROM (SELECT DISTINCT source_dataset, category FROM found) AS known
    JOIN (SELECT * REPLACE (coalesce(category, '') AS category) FROM official) AS official
        USING (source_dataset, category)
    LEFT JOIN found USING (source_dataset, category, split, label)
    GROUP BY ALL
)
SELECT
    rtrim(found.source_dataset || '/' || found.category, '/') AS offender,
    CASE
        WHEN compared.category IS NULL THEN 'unknown category'
        ELSE 'partial: ' || compared.difference
    END AS detail
FROM (SELECT DISTINCT source_dataset, category FROM found) AS found
LEFT JOIN compared USING (source_dataset, category)
WHERE found.source_dataset IN (SELECT source_dataset FROM official)
    AND (compared.category IS NULL OR compared.difference IS NOT NULL)
ORDER BY offender;
