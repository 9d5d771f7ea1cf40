-- All published content as one text; pixels are represented by their hash. Columns that image_tensors shares
-- with facts are taken from facts.
SELECT encode(
    concat_ws(
        chr(10),
        (SELECT string_agg(row::VARCHAR, chr(10) ORDER BY image_id) FROM images AS row),
        (SELECT string_agg(row::VARCHAR, chr(10) ORDER BY image_id) FROM facts AS row),
        (
            SELECT string_agg(row::VARCHAR, chr(10) ORDER BY image_id)
            FROM (
                SELECT * EXCLUDE (
                    image_tensor, mask_tensor,
                    content_sha256, original_width, original_height, original_mode,
                    mask_width, mask_height, mask_area_fraction, mask_values, mask_box
                )
                FROM image_tensors
            ) AS row
        ),
        (SELECT string_agg(row::VARCHAR, chr(10) ORDER BY relative_path, image_id) FROM rejected_images AS row),
        (
            SELECT string_agg(row::VARCHAR, chr(10) ORDER BY source_dataset, relative_path)
            FROM <stray_files> AS row
        )
    )
) AS content;
