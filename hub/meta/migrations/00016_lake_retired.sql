-- +goose Up
-- Files of the lake that the manifest no longer names, and why: merged into others, or old. They are
-- deleted after a while, so that an older copy of this database finds what it names. retired_at is
-- in microseconds since 1970.
CREATE TABLE lake_retired (
    path            TEXT PRIMARY KEY,
    reason          TEXT NOT NULL,
    bytes           BIGINT NOT NULL,
    retired_at      BIGINT NOT NULL
);

-- How many readings of a device were left out because an equal one was there.
CREATE TABLE lake_equal (
    device          TEXT PRIMARY KEY,
    rows            BIGINT NOT NULL
);

-- +goose Down
DROP TABLE lake_equal;
DROP TABLE lake_retired;
