-- One row per source dataset that is loaded, written by source_datasets.py.
CREATE TABLE IF NOT EXISTS source_datasets (
    source_dataset VARCHAR NOT NULL,
    title VARCHAR NOT NULL,
    licence VARCHAR NOT NULL,
    definition_digest VARCHAR,
    root_uri VARCHAR,
    from_samples BOOLEAN NOT NULL,
    most_images BIGINT NOT NULL,
    most_samples BIGINT NOT NULL
);
