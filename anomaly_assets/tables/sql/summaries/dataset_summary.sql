-- One row per dataset, category, split, label and defect type. Tensors are counted, not read.
CREATE OR REPLACE TABLE dataset_summary AS
SELECT
    images.source_dataset,
    images.category,
    images.split,
    images.label,
    images.defect_type,
    count(*) AS images,
    count(tensors.image_id) AS tensors,
    count(rejected.image_id) AS rejected,
    count(images.mask_relative_path) AS masks,
    sum(images.file_size_bytes) AS file_bytes,
    list_sort(list(DISTINCT tensors.original_width || 'x' || tensors.original_height)
        FILTER (tensors.image_id IS NOT NULL)) AS original_sizes,
    list_sort(list(DISTINCT tensors.original_mode)
        FILTER (tensors.image_id IS NOT NULL)) AS original_modes
FROM effective_images AS images
LEFT JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
LEFT JOIN rejected_images AS rejected
    ON rejected.image_id = images.image_id AND rejected.relative_path = images.relative_path
GROUP BY ALL
ORDER BY ALL;
