-- One row per kind of defect: number and size, measured in the original masks.
CREATE OR REPLACE TABLE defect_summary AS
SELECT
    images.source_dataset,
    images.category,
    images.split,
    images.defect_type,
    count(*) AS images,
    count(tensors.mask_area_fraction) AS masks,
    count(*) FILTER (tensors.mask_area_fraction = 0) AS empty_masks,
    min(tensors.mask_area_fraction) AS area_fraction_min,
    median(tensors.mask_area_fraction) AS area_fraction_median,
    quantile_cont(tensors.mask_area_fraction, 0.9) AS area_fraction_p90,
    max(tensors.mask_area_fraction) AS area_fraction_max,
    median((mask_box[3] - mask_box[1]) / mask_width) AS box_width_median,
    median((mask_box[4] - mask_box[2]) / mask_height) AS box_height_median
FROM effective_images AS images
LEFT JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
WHERE images.label = 'anomalous'
GROUP BY ALL
ORDER BY ALL;
