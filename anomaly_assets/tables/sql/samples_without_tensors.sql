-- The columns of `samples` without the pixels: no query on this view can read them.
-- One column at a time: DuckDB stores several columns of EXCLUDE in an order that differs from run to run.
CREATE OR REPLACE VIEW samples_without_tensors AS
SELECT * EXCLUDE (image_tensor)
FROM (SELECT * EXCLUDE (mask_tensor) FROM samples);
