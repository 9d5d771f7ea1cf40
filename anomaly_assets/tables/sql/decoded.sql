-- Returns a row if any image was ever decoded or rejected.
SELECT 1 FROM image_tensors UNION ALL SELECT 1 FROM rejected_images LIMIT 1;
