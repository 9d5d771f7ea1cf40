SELECT
    concat_ws(':', file, line) AS offender,
    format(
        '{}: {} ({}={}): {}',
        coalesce(image_id, content_sha256, 'no image'),
        status,
        coalesce(field, 'no field'),
        coalesce(value, 'no value'),
        coalesce(detail, 'no detail')
    ) AS detail
FROM corrections
WHERE status <> 'applied'
ORDER BY file, line;
