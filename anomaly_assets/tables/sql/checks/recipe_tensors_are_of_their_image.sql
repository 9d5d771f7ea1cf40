-- Versions and contents are compared, because a recipe may have been added after the file was replaced.
SELECT DISTINCT
    made.image_id AS offender,
    made.recipe
    || CASE
        WHEN tensors.image_id IS NULL THEN ': the image has no tensor'
        ELSE ': made from another version of the image or its mask'
    END AS detail
FROM recipe_tensors AS made
LEFT JOIN image_tensors AS tensors ON tensors.image_id = made.image_id
WHERE (made.content_sha256, made.file_version, made.mask_file_version)
    IS DISTINCT FROM (tensors.content_sha256, tensors.file_version, tensors.mask_file_version)
ORDER BY offender, detail;
