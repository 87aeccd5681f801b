-- +goose Up
-- Credentials issued to a key up to a time (Unix seconds) are void, at every hub.
CREATE TABLE revocation (
    public_key      TEXT PRIMARY KEY,
    void_before     BIGINT NOT NULL
);

-- The next ordinal of a device is looked up for every new run.
CREATE INDEX run_device_ordinal ON run (device, ordinal);

-- +goose Down
DROP INDEX run_device_ordinal;
DROP TABLE revocation;
