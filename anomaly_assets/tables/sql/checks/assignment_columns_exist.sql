-- Columns and attributes in the options of an assignment of which no image has a value any more.
WITH named AS (
    SELECT
        assignment,
        unnest(
            list_concat(
                coalesce(from_json(options -> '$.by', '["VARCHAR"]'), []),
                list_value(options ->> '$.group')
            )
        ) AS name
    FROM assignments
)
SELECT
    assignment || ': ' || name AS offender,
    'no image has a value of it' AS detail
FROM named
WHERE name IS NOT NULL AND NOT EXISTS (
    SELECT 1
    FROM effective_images AS images
    WHERE coalesce(
        json_extract_string(to_json(images), '$."' || name || '"'),
        json_extract_string(to_json(images), '$.attributes."' || regexp_replace(name, '^attributes\.', '') || '"')
    ) IS NOT NULL
)
AND EXISTS (SELECT 1 FROM effective_images)
ORDER BY ALL;
