-- Splits of a category with unknown labels, or with neither masks nor labels, whose images count as good
-- because another split of the category has some.
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
GROUP BY source_dataset, category, split
HAVING count(*) FILTER (label = 'unknown') > 0
OR (
    count(*) FILTER (label_source = 'unmasked') = count(*)
    AND count(mask_relative_path) = 0
    AND count(declared_label_index) = 0
)
ORDER BY offender;
