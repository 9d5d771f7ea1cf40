SELECT
    source_dataset || '/' || category AS offender,
    format(
        'use {}: image AUROC {:.2f} higher than at the common recipe, 90 % interval {:.2f} to {:.2f}',
        recipe, value, low, high
    ) AS detail
FROM baseline_metrics
WHERE metric = 'image_auroc_gain' AND low > 0.05
ORDER BY low DESC, source_dataset, category;
