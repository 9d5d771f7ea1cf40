SELECT
    image_id AS offender,
    format(
        'label {} in Labels.txt, but {}',
        declared_label_index,
        CASE WHEN mask_relative_path IS NULL THEN 'no mask' ELSE 'a mask' END
    ) AS detail
FROM <images> AS images
WHERE declared_label_index <> (mask_relative_path IS NOT NULL)::INTEGER
ORDER BY offender;
