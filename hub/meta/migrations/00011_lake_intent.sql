-- +goose Up
-- Files of the lake that are being written: what a crash leaves of them may be deleted, and nothing
-- else, whatever this database knows of the rest. begun_at is in microseconds since 1970.
CREATE TABLE lake_intent (
    path            TEXT PRIMARY KEY,
    begun_at        BIGINT NOT NULL
);

-- +goose Down
DROP TABLE lake_intent;
