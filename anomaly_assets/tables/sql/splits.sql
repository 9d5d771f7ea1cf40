-- One row per image and assignment that has it. A content in the file of the assignment has the fold of the file, whatever split
-- its image is in; other images of splits that the assignment does not take keep that split as their fold. A content
-- that is left out has no fold.
CREATE OR REPLACE VIEW splits AS
SELECT assignment, image_id, content_sha256, fold, decided_by, unit
FROM (
    SELECT
        assignments.assignment,
        images.image_id,
        facts.content_sha256,
        CASE
            WHEN contents.fold IS NOT NULL THEN contents.fold
            WHEN list_contains(assignments.taken, images.split) THEN NULL
            WHEN images.split = 'test' THEN 'test'
            WHEN images.split = 'validation' THEN 'val'
        END AS fold,
        coalesce(contents.decided_by, 'source') AS decided_by,
        contents.unit
    FROM effective_images AS images
    JOIN facts ON facts.image_id = images.image_id
    -- DuckDB would store CROSS JOIN as a comma, and each run would replace the view.
    JOIN assignments ON assignments.assignment IS NOT NULL
    LEFT JOIN assigned_contents AS contents
        ON contents.assignment = assignments.assignment
        AND contents.content_sha256 = facts.content_sha256
        AND contents.fold <> 'left_out'
) AS assigned
WHERE fold IS NOT NULL;
