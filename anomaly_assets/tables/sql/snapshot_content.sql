-- All published content as one text; pixels are represented by their hash. The other columns of facts equal those of
-- image_tensors.
SELECT encode(
    concat_ws(
        chr(10),
        (SELECT string_agg(row::VARCHAR, chr(10) ORDER BY image_id) FROM images AS row),
        (
            SELECT string_agg(row::VARCHAR, chr(10) ORDER BY image_id)
            FROM (SELECT image_id, file_format, bit_depth, mask_file_format FROM facts) AS row
        ),
        (
            SELECT string_agg(row::VARCHAR, chr(10) ORDER BY image_id)
            FROM (SELECT * EXCLUDE (image_tensor, mask_tensor) FROM image_tensors) AS row
        ),
        (SELECT string_agg(row::VARCHAR, chr(10) ORDER BY relative_path, image_id) FROM rejected_images AS row),
        (
            SELECT string_agg(row::VARCHAR, chr(10) ORDER BY source_dataset, relative_path)
            FROM <stray_files> AS row
        )
    )
) AS content;
