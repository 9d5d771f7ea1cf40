SELECT images.image_id AS offender, 'neither decoded nor rejected' AS detail
FROM images
ANTI JOIN image_tensors AS tensors ON tensors.image_id = images.image_id
ANTI JOIN rejected_images AS rejected
    ON rejected.image_id = images.image_id AND rejected.relative_path = images.relative_path
ORDER BY offender;
