-- All published content, row by row; pixels are represented by their hash. The other columns of facts equal those of
-- image_tensors. One query per table: sorting rows takes less time than an ordered string_agg.
SELECT encode(row::VARCHAR) FROM images AS row ORDER BY image_id;
SELECT encode(row::VARCHAR)
FROM (SELECT image_id, file_format, bit_depth, mask_file_format FROM facts) AS row
ORDER BY image_id;
SELECT encode(row::VARCHAR)
FROM (SELECT * EXCLUDE (image_tensor, mask_tensor) FROM image_tensors) AS row
ORDER BY image_id;
SELECT encode(row::VARCHAR)
FROM (SELECT * EXCLUDE (image_tensor, mask_tensor) FROM recipe_tensors) AS row
ORDER BY image_id, recipe, tile;
SELECT encode(row::VARCHAR)
FROM (SELECT recipe, source_dataset, transform FROM recipes WHERE NOT is_common) AS row
ORDER BY source_dataset, recipe;
SELECT encode(row::VARCHAR) FROM rejected_images AS row ORDER BY relative_path, image_id;
SELECT encode(row::VARCHAR) FROM <stray_files> AS row ORDER BY source_dataset, relative_path;
