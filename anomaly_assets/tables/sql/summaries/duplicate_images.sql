-- One row per content that several files share, identified by the SHA-256 of the bytes.
CREATE OR REPLACE TABLE duplicate_images AS
SELECT
    tensors.content_sha256,
    count(*) AS copies,
    list(images.image_id ORDER BY images.image_id) AS image_ids,
    count(DISTINCT images.split) FILTER (images.split <> 'unassigned') > 1 AS crosses_splits,
    count(DISTINCT (images.source_dataset, images.category)) > 1 AS crosses_categories,
    count(DISTINCT images.label) FILTER (images.label <> 'unknown') > 1 AS crosses_labels
FROM effective_images AS images
JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
GROUP BY tensors.content_sha256
HAVING count(*) > 1
ORDER BY ALL;
