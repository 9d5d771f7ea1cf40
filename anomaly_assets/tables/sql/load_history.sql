-- One row per load that changed something. A load that dlt never finished (killed between two of its
-- tables) has the status interrupted; the next run completes the change in another load. If the load was
-- killed after writing the rows and before writing their counts, the rows are counted here. It is then
-- unknown which of them were inserted and which updated.
CREATE OR REPLACE VIEW load_history AS
WITH carried AS (
    SELECT source_dataset, 'images' AS table_name, _dlt_load_id, count(*) AS rows_inserted
    FROM <images>
    GROUP BY ALL
    UNION ALL
    SELECT source_dataset, 'stray_files', _dlt_load_id, count(*)
    FROM <stray_files>
    GROUP BY ALL
),
uncounted AS (
    SELECT *, 0 AS rows_updated, 0 AS rows_deleted, NULL::VARCHAR AS root_uri
    FROM carried
    ANTI JOIN <load_changes> USING (source_dataset, table_name, _dlt_load_id)
),
changes AS (FROM <load_changes> UNION ALL BY NAME FROM uncounted)
SELECT
    changes.source_dataset,
    changes._dlt_load_id AS load_id,
    make_timestamp((changes._dlt_load_id::DOUBLE * 1000000)::BIGINT) AS loaded_at,
    coalesce(sum(rows_inserted) FILTER (table_name = 'images'), 0) AS rows_inserted,
    coalesce(sum(rows_updated) FILTER (table_name = 'images'), 0) AS rows_updated,
    coalesce(sum(rows_deleted) FILTER (table_name = 'images'), 0) AS rows_deleted,
    coalesce(
        sum(rows_inserted + rows_updated + rows_deleted) FILTER (table_name = 'stray_files'), 0
    ) AS stray_changes,
    CASE WHEN any_value(loads.load_id) IS NULL THEN 'interrupted' ELSE 'completed' END AS status,
    any_value(changes.root_uri) AS root_uri
FROM changes
LEFT JOIN <_dlt_loads> AS loads ON loads.load_id = changes._dlt_load_id
GROUP BY changes.source_dataset, changes._dlt_load_id;
