-- One publication: its row counts, of $tables and $rows, and the newest load of each source dataset.
INSERT INTO snapshots BY NAME
SELECT
    $snapshot_id AS snapshot_id,
    $published_at AS published_at,
    map($tables::VARCHAR[], $rows::BIGINT[]) AS row_counts,
    row_counts['images'] AS images,
    row_counts['image_tensors'] AS tensors,
    row_counts['rejected_images'] AS rejected,
    (SELECT regexp_replace(any_value(transform), '-depth-.*$', '') FROM image_tensors) AS transform,
    $run_id AS run_id,
    $code_version AS code_version,
    map(list(source_dataset), list(root_uri)) AS roots,
    map(list(source_dataset), list(load_id)) AS load_ids,
    $warehouse_id AS warehouse_id,
    $evaluation_id::VARCHAR AS evaluation_id
FROM (
    SELECT source_dataset, arg_max(root_uri, loaded_at) AS root_uri, arg_max(load_id, loaded_at) AS load_id
    FROM load_history
    GROUP BY source_dataset
    ORDER BY source_dataset
);
