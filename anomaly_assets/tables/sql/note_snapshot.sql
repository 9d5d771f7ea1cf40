-- One publication: its row counts, and the newest load of each source dataset.
INSERT INTO snapshots BY NAME
SELECT
    $snapshot_id AS snapshot_id,
    $published_at AS published_at,
    (SELECT count(*) FROM images) AS images,
    (SELECT count(*) FROM image_tensors) AS tensors,
    (SELECT count(*) FROM rejected_images) AS rejected,
    (SELECT any_value(regexp_replace(transform, '-depth-.*$', '')) FROM image_tensors) AS transform,
    $run_id AS run_id,
    $code_version AS code_version,
    map(list(source_dataset), list(root_uri)) AS roots,
    map(list(source_dataset), list(load_id)) AS load_ids,
    map($tables::VARCHAR[], $rows::BIGINT[]) AS row_counts,
    $warehouse_id AS warehouse_id
FROM (
    SELECT source_dataset, arg_max(root_uri, loaded_at) AS root_uri, arg_max(load_id, loaded_at) AS load_id
    FROM load_history
    GROUP BY source_dataset
    ORDER BY source_dataset
);
