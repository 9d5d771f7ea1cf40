-- Splits of a category with unknown labels, or with neither masks nor labels, whose images count as good
-- because another split of the category has some. The samples of the repository are known to be good there.
SELECT
    concat_ws('/', source_dataset, category, split) AS offender,
    CASE
        WHEN count(*) FILTER (label = 'unknown') > 0 THEN format(
            '{} of {} images: neither the path, a labels file nor a mask gives their label',
            count(*) FILTER (label = 'unknown'),
            count(*)
        )
        ELSE format(
            '{} images count as good: this split has neither masks nor a labels file, others have',
            count(*)
        )
    END AS detail
FROM images
LEFT JOIN (SELECT source_dataset, from_samples FROM source_datasets) AS held USING (source_dataset)
GROUP BY source_dataset, category, split
HAVING count(*) FILTER (label = 'unknown') > 0
OR (
    count(*) FILTER (label_source = 'unmasked') = count(*)
    AND count(mask_relative_path) = 0
    AND count(declared_label_index) = 0
    AND NOT coalesce(any_value(from_samples), false)
)
ORDER BY offender;
