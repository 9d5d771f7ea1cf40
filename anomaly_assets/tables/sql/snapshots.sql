-- One row per publication.
CREATE TABLE IF NOT EXISTS snapshots (
    snapshot_id VARCHAR NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    images BIGINT NOT NULL,
    tensors BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    transform VARCHAR,
    run_id VARCHAR,
    code_version VARCHAR,
    roots MAP(VARCHAR, VARCHAR),
    load_ids MAP(VARCHAR, VARCHAR),
    row_counts MAP(VARCHAR, BIGINT),
    warehouse_id VARCHAR
);
