-- Returns a row if the baseline was compared at two recipes of any category.
SELECT 1 FROM baseline_metrics WHERE metric = 'image_auroc_gain' LIMIT 1;
