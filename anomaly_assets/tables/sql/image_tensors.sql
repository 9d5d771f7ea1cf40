-- One row per decoded image. No primary key: an index over ids would make every refresh slower, and
-- a blocking check holds the ids unique. Blobs stay uncompressed, so that reading is a copy.
CREATE TABLE IF NOT EXISTS image_tensors (
    image_id VARCHAR NOT NULL,
    file_version VARCHAR NOT NULL,
    mask_file_version VARCHAR,
    transform VARCHAR NOT NULL,
    content_sha256 VARCHAR NOT NULL,
    original_width INTEGER NOT NULL,
    original_height INTEGER NOT NULL,
    original_mode VARCHAR NOT NULL,
    height INTEGER NOT NULL,
    width INTEGER NOT NULL,
    channels INTEGER NOT NULL,
    image_tensor BLOB NOT NULL USING COMPRESSION uncompressed,
    mask_tensor BLOB USING COMPRESSION uncompressed,
    mask_area_fraction DOUBLE,
    mask_width INTEGER,
    mask_height INTEGER,
    mask_values INTEGER,
    mask_box INTEGER[],
    channel_sums BIGINT[] NOT NULL,
    channel_square_sums BIGINT[] NOT NULL,
    loaded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    run_id VARCHAR
);
