-- Sizes are columns of the row, so no tensor is read.
SELECT image_id AS offender, transform AS detail
FROM image_tensors
WHERE (height, width, channels, transform) IS DISTINCT FROM ($height, $width, $channels, $transform)
OR len(channel_sums) <> channels
ORDER BY offender;
