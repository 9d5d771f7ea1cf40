SELECT relative_path AS offender, concat_ws(': ', reason, rejected_images.detail) AS detail
FROM rejected_images
ORDER BY image_id, offender;
