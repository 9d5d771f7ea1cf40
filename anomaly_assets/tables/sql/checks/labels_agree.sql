-- Images with evidence for two labels, and defects of a labels file without a mask. The detail has the first
-- evidence with all that agrees, and then all that does not. A correction of the label settles the question.
WITH sides AS (
    SELECT
        image_id,
        label,
        label_source,
        [
            {
                'label': table_label_index,
                'text': CASE table_label_index WHEN 0 THEN 'good in a table' ELSE 'anomalous in a table' END
            },
            {
                'label': path_label_index,
                'text': CASE path_label_index WHEN 0 THEN 'good by its path' ELSE 'anomalous by its path' END
            },
            {'label': declared_label_index, 'text': format('label {} in Labels.txt', declared_label_index)},
            {
                'label': CASE
                    WHEN mask_relative_path IS NOT NULL THEN (area > 0)::BIGINT
                    -- A missing mask is evidence only against what names a defect without drawing it.
                    WHEN declared_label_index = 1 OR table_label_index = 1 THEN 0
                END,
                'text': CASE
                    WHEN area IS NULL THEN 'no mask'
                    ELSE CASE WHEN starts_with(mask_file_version, 'correction:') THEN 'a corrected mask' ELSE 'a mask' END
                        || CASE WHEN area > 0 THEN ' with defective pixels' ELSE ' without any defective pixel' END
                END
            }
        ] AS evidence
    FROM effective_images AS images
    LEFT JOIN (
        SELECT image_id AS decoded_id, mask_area_fraction AS area FROM facts WHERE mask_area_fraction IS NOT NULL
    ) AS decoded ON decoded.decoded_id = images.image_id
    WHERE label_source IS DISTINCT FROM 'correction'
    AND (
        table_label_index <> path_label_index
        OR table_label_index <> declared_label_index
        OR path_label_index <> declared_label_index
        OR (
            mask_relative_path IS NOT NULL
            AND (area > 0)::BIGINT <> coalesce(table_label_index, path_label_index, declared_label_index)
        )
        OR (mask_relative_path IS NULL AND declared_label_index = 1)
    )
),
known AS (SELECT * REPLACE ([each FOR each IN evidence IF each.label IS NOT NULL] AS evidence) FROM sides)
SELECT
    image_id AS offender,
    format(
        '{}, but {}; used: {} by {}',
        array_to_string([each.text FOR each IN evidence IF each.label = evidence[1].label], ' and '),
        array_to_string([each.text FOR each IN evidence IF each.label <> evidence[1].label], ' and '),
        label,
        coalesce(replace(label_source, '_', ' '), 'an earlier release')
    ) AS detail
FROM known
ORDER BY offender;
