-- One row per load that changed something. A load that dlt never finished (a kill between two of its
-- tables) shows as interrupted; the next run completes the change in a load of its own.
CREATE OR REPLACE VIEW load_history AS
SELECT
    changes.source_dataset,
    changes._dlt_load_id AS load_id,
    to_timestamp(changes._dlt_load_id::DOUBLE) AS loaded_at,
    coalesce(sum(rows_inserted) FILTER (table_name = 'images'), 0) AS rows_inserted,
    coalesce(sum(rows_updated) FILTER (table_name = 'images'), 0) AS rows_updated,
    coalesce(sum(rows_deleted) FILTER (table_name = 'images'), 0) AS rows_deleted,
    coalesce(
        sum(rows_inserted + rows_updated + rows_deleted) FILTER (table_name = 'stray_files'), 0
    ) AS stray_changes,
    CASE WHEN any_value(loads.load_id) IS NULL THEN 'interrupted' ELSE 'completed' END AS status,
    any_value(changes.root_uri) AS root_uri
FROM <load_changes> AS changes
LEFT JOIN <_dlt_loads> AS loads ON loads.load_id = changes._dlt_load_id
GROUP BY changes.source_dataset, changes._dlt_load_id;
