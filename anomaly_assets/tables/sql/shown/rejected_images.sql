-- The files that were tried last and could not be used.
SELECT relative_path, reason, left(detail, 200) AS detail
FROM rejected_images
ORDER BY rejected_at DESC, relative_path
LIMIT $limit;
