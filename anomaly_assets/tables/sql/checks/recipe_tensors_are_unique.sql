SELECT image_id AS offender, recipe || ', tile ' || tile || ': ' || count(*) || ' rows' AS detail
FROM recipe_tensors
GROUP BY image_id, recipe, tile
HAVING count(*) > 1
ORDER BY offender, detail;
