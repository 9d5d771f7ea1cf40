-- All published content, row by row; pixels are represented by their hash. The other columns of facts equal those of
-- image_tensors. One query per table: the columns `key`, by which its rows are ordered, and `content`. An empty table
-- does not change the digest, and a query that is added at the end changes it only if it returns rows.
SELECT image_id AS key, encode(row::VARCHAR) AS content FROM (SELECT COLUMNS(lambda name: name <> 'attributes') FROM images) AS row;
SELECT image_id AS key, encode(row::VARCHAR) AS content
FROM (SELECT image_id, file_format, bit_depth, mask_file_format FROM facts) AS row;
SELECT image_id AS key, encode(row::VARCHAR) AS content
FROM (SELECT * EXCLUDE (image_tensor, mask_tensor) FROM image_tensors) AS row;
SELECT struct_pack(relative_path, image_id) AS key, encode(row::VARCHAR) AS content FROM rejected_images AS row;
SELECT struct_pack(source_dataset, relative_path) AS key, encode(row::VARCHAR) AS content
FROM <stray_files> AS row;
SELECT struct_pack(image_id, recipe, tile) AS key, encode(row::VARCHAR) AS content
FROM (SELECT * EXCLUDE (image_tensor, mask_tensor) FROM recipe_tensors) AS row;
SELECT struct_pack(source_dataset, recipe) AS key, encode(row::VARCHAR) AS content
FROM (SELECT recipe, source_dataset, transform FROM recipes WHERE NOT is_common) AS row;
SELECT struct_pack(file, line) AS key, encode(row::VARCHAR) AS content
FROM (SELECT * EXCLUDE (awaited_version, first_seen_at) FROM correction_lines) AS row;
SELECT image_id AS key, encode(row::VARCHAR) AS content
FROM (SELECT image_id, attributes FROM <images> AS images WHERE attributes IS NOT NULL) AS row;
SELECT struct_pack(image_id_a, image_id_b) AS key, encode(row::VARCHAR) AS content FROM near_duplicates AS row;
SELECT struct_pack(assignment, content_sha256) AS key, encode(row::VARCHAR) AS content
FROM assigned_contents AS row;
SELECT assignment AS key, encode(row::VARCHAR) AS content FROM assignments AS row;
