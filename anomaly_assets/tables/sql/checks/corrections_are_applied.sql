SELECT
    concat_ws(':', file, line) AS offender,
    format('{}: {} ({}={}): {}', coalesce(image_id, content_sha256, 'no image'), status, field, value, detail) AS detail
FROM corrections
WHERE status <> 'applied'
ORDER BY file, line;
