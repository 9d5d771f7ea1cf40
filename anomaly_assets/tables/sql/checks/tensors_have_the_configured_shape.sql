-- Sizes are columns of the row, so no tensor is read. The depth of a 16-bit file ends its transform.
SELECT image_id AS offender, transform AS detail
FROM image_tensors
WHERE (height, width, channels, regexp_replace(transform, '-depth-.*$', '')) IS DISTINCT FROM ($height, $width, $channels, $transform)
OR len(channel_sums) <> channels
ORDER BY offender;
