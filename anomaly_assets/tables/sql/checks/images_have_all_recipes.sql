-- A run that adds a recipe may be interrupted. An image whose file could not be read meanwhile has a row in
-- rejected_images.
SELECT tensors.image_id AS offender, 'has no tensor of ' || recipes.recipe AS detail
FROM image_tensors AS tensors
JOIN recipes
    ON NOT recipes.is_common AND recipes.source_dataset = split_part(tensors.image_id, '/', 1)
ANTI JOIN (SELECT image_id, recipe FROM recipe_tensors WHERE tile = 0) AS made
    ON made.image_id = tensors.image_id AND made.recipe = recipes.recipe
ANTI JOIN rejected_images AS rejected ON rejected.image_id = tensors.image_id
ORDER BY offender, detail;
