-- On a lake, one row per publication: the version of the lake that was checked and that readers open.
CREATE TABLE IF NOT EXISTS published_versions (
    snapshot_id VARCHAR NOT NULL,
    version BIGINT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL
);
