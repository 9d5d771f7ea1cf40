-- The newest rejected files.
SELECT relative_path, reason, left(detail, 200) AS detail
FROM rejected_images
ORDER BY rejected_at DESC, relative_path
LIMIT $limit;
