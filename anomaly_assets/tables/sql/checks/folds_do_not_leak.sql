-- Images that belong together, and are in two folds of an assignment: near duplicates, and images of one group. Copies
-- of one content have one fold by the definition of `splits`.
WITH groups AS (
    SELECT
        splits.assignment,
        splits.image_id,
        splits.fold,
        images.source_dataset || '/' || coalesce(
            json_extract_string(to_json(images), '$."' || (assignments.options ->> '$.group') || '"'),
            json_extract_string(
                to_json(images),
                '$.attributes."' || regexp_replace(assignments.options ->> '$.group', '^attributes\.', '') || '"'
            )
        ) AS group_value
    FROM assignments
    JOIN splits ON splits.assignment = assignments.assignment
    JOIN effective_images AS images ON images.image_id = splits.image_id
    WHERE assignments.options ->> '$.group' IS NOT NULL
),
parted AS (
    SELECT assignment, group_value, string_agg(DISTINCT fold, ', ' ORDER BY fold) AS folds
    FROM groups
    WHERE group_value IS NOT NULL
    GROUP BY assignment, group_value
    HAVING count(DISTINCT fold) > 1
)
SELECT
    one.image_id AS offender,
    format('{}: in {}, and its near duplicate {} in {}', one.assignment, one.fold, other.image_id, other.fold) AS detail
FROM near_duplicates AS pairs
JOIN splits AS one ON one.image_id = pairs.image_id_a
JOIN splits AS other ON other.image_id = pairs.image_id_b AND other.assignment = one.assignment
WHERE one.fold <> other.fold
UNION ALL
SELECT
    groups.image_id,
    format('{}: in {}, and its group {} in {}', groups.assignment, groups.fold, groups.group_value, parted.folds)
FROM groups
JOIN parted ON parted.assignment = groups.assignment AND parted.group_value = groups.group_value
ORDER BY ALL;
