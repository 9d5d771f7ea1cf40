-- One row per consent to fewer images or samples than were accepted before.
CREATE TABLE IF NOT EXISTS consents (
    source_dataset VARCHAR NOT NULL,
    consented_at TIMESTAMP WITH TIME ZONE NOT NULL,
    kind VARCHAR NOT NULL,
    images BIGINT NOT NULL,
    run_id VARCHAR
);
