SELECT image_id_a AS offender, image_id_b || format(', distance {:.2f}', distance) AS detail
FROM near_duplicates
WHERE crosses_splits
ORDER BY distance, image_id_a, image_id_b;
