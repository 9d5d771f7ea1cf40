-- The lowest values over all defect types.
SELECT category, recipe, metric, round(value, 4) AS value, round(low, 4) AS low, round(high, 4) AS high,
    images_good, images_anomalous, note
FROM baseline_metrics
WHERE defect_type = '' AND metric IN ('image_auroc', 'aupro', 'image_auroc_gain')
ORDER BY metric DESC, value NULLS LAST, category, recipe
LIMIT $limit;
