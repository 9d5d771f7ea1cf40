SELECT
    image_id AS offender,
    format(
        'Labels.txt says {}, {}',
        declared_label_index,
        CASE WHEN mask_relative_path IS NULL THEN 'there is no mask' ELSE 'there is a mask' END
    ) AS detail
FROM <images> AS images
WHERE declared_label_index <> (mask_relative_path IS NOT NULL)::INTEGER
ORDER BY offender;
