SELECT image_id AS offender, count(*) || ' rows' AS detail
FROM images
GROUP BY image_id
HAVING count(*) > 1
ORDER BY offender;
