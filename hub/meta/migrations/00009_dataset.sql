-- +goose Up
-- Nothing ever wrote it.
DROP TABLE dataset;

-- +goose Down
CREATE TABLE dataset (
    id              TEXT PRIMARY KEY,
    task            TEXT NOT NULL,
    digest          TEXT NOT NULL,
    rows            BIGINT NOT NULL,
    from_time       BIGINT NOT NULL,
    to_time         BIGINT NOT NULL,
    detail          TEXT NOT NULL,
    created_at      BIGINT NOT NULL
);
