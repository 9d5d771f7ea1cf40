-- All published results of the baseline, row by row, as in snapshot_content.sql; maps are represented by their hash.
SELECT struct_pack(source_dataset, category, recipe) AS key, encode(row::VARCHAR) AS content
FROM (SELECT * EXCLUDE (evaluated_at, seconds, run_id) FROM evaluations) AS row;
SELECT struct_pack(image_id, recipe) AS key, encode(row::VARCHAR) AS content FROM baseline_scores AS row;
SELECT struct_pack(source_dataset, category, recipe, defect_type, metric) AS key, encode(row::VARCHAR) AS content
FROM baseline_metrics AS row;
SELECT struct_pack(image_id, recipe) AS key, encode(row::VARCHAR) AS content
FROM (SELECT * REPLACE (md5(map) AS map) FROM baseline_maps) AS row;
SELECT struct_pack(image_id, recipe, kind) AS key, encode(row::VARCHAR) AS content FROM suspect_images AS row;
