-- One row per event, newest first, from the tables that record one kind of event each. Times have no time zone in a published file,
-- and one elsewhere: the microseconds since 1970 are the same.
CREATE OR REPLACE VIEW history AS
SELECT
    loaded_at AS happened_at,
    'loaded' AS event,
    source_dataset,
    concat_ws(
        ', ',
        CASE WHEN rows_inserted > 0 THEN format('{:,} new', rows_inserted::BIGINT) END,
        CASE WHEN rows_updated > 0 THEN format('{:,} changed', rows_updated::BIGINT) END,
        CASE WHEN rows_deleted > 0 THEN format('{:,} removed', rows_deleted::BIGINT) END,
        CASE
            WHEN stray_changes = 1 THEN '1 change of stray files'
            WHEN stray_changes > 1 THEN format('{:,} changes of stray files', stray_changes::BIGINT)
        END,
        CASE WHEN status = 'interrupted' THEN 'interrupted' END
    ) AS detail,
    root_uri,
    NULL::VARCHAR AS run_id,
    load_id AS id
FROM load_history
UNION ALL
SELECT
    make_timestamp(epoch_us(published_at)),
    'published',
    NULL,
    concat(
        format(
            CASE coalesce(row_counts['samples'], tensors) WHEN 1 THEN '{:,} sample of ' ELSE '{:,} samples of ' END,
            coalesce(row_counts['samples'], tensors)
        ),
        coalesce(array_to_string(map_keys(roots), ', '), 'no source dataset'),
        CASE WHEN rejected > 0 THEN format(', {:,} rejected', rejected) ELSE '' END,
        ', snapshot ',
        snapshot_id[:12]
    ),
    NULL,
    run_id,
    snapshot_id
FROM snapshots
UNION ALL
SELECT
    make_timestamp(epoch_us(consented_at)),
    CASE WHEN kind = 'forgotten' THEN 'removed' ELSE 'accepted' END,
    source_dataset,
    CASE kind
        WHEN 'forgotten' THEN 'from the warehouse, by anomaly-assets forget'
        WHEN 'shrunk_root' THEN format('a root with only {:,} image', images) || CASE images WHEN 1 THEN '' ELSE 's' END
        ELSE format('a publication with only {:,} sample', images) || CASE images WHEN 1 THEN '' ELSE 's' END
    END,
    NULL,
    run_id,
    NULL
FROM consents
UNION ALL
SELECT make_timestamp(epoch_us(happened_at)), event, source_dataset, detail, root_uri, run_id, NULL
FROM run_events
ORDER BY happened_at DESC, event, source_dataset;
