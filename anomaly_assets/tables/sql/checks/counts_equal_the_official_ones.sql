-- $official is a list of published counts: {source_dataset, category, split, label, images}. Without a category, they
-- are those of the whole dataset; `all` is a sum over splits or labels. Source datasets without counts are skipped.
WITH official AS MATERIALIZED (
    SELECT unnest($official, recursive := true)
),
found AS MATERIALIZED (
    SELECT source_dataset, category, split, label, count(*) AS images
    FROM images
    WHERE source_dataset IN (SELECT source_dataset FROM official)
    GROUP BY ALL
),
counted AS (
    SELECT official.*, coalesce(sum(found.images), 0) AS images_found
    FROM official
    LEFT JOIN found
        ON found.source_dataset = official.source_dataset
        AND found.category = coalesce(official.category, found.category)
        AND official.split IN ('all', found.split)
        AND official.label IN ('all', found.label)
    GROUP BY ALL
),
compared AS (
    SELECT
        source_dataset,
        category,
        string_agg(
            concat_ws(' ', nullif(split, 'all'), nullif(label, 'all'), images_found::VARCHAR || ' of ' || images),
            ', ' ORDER BY split DESC, label DESC
        ) AS difference
    FROM counted
    WHERE images_found <> images
    GROUP BY ALL
)
SELECT
    concat_ws('/', compared.source_dataset, compared.category) AS offender,
    'partial: ' || compared.difference AS detail
FROM compared
WHERE (compared.source_dataset, coalesce(compared.category, '')) IN (
    SELECT (source_dataset, category) FROM found
    UNION ALL
    SELECT (source_dataset, '') FROM found
)
UNION ALL
SELECT DISTINCT source_dataset || '/' || category, 'unknown category'
FROM found
WHERE (source_dataset, category) NOT IN (SELECT (source_dataset, category) FROM official WHERE category IS NOT NULL)
    AND source_dataset NOT IN (SELECT source_dataset FROM official WHERE category IS NULL)
ORDER BY offender;
