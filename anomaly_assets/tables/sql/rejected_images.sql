-- One row per file whose bytes could not be used, be it an image or a mask.
CREATE TABLE IF NOT EXISTS rejected_images (
    image_id VARCHAR NOT NULL,
    relative_path VARCHAR NOT NULL,
    file_version VARCHAR NOT NULL,
    transform VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    detail VARCHAR,
    rejected_at TIMESTAMP WITH TIME ZONE NOT NULL
);
