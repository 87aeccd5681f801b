-- +goose Up
-- WebAssembly modules that features of tasks call; the code is in the blob store under its digest.

CREATE TABLE module (
    name            TEXT PRIMARY KEY,
    digest          TEXT NOT NULL,
    size            BIGINT NOT NULL,
    functions       TEXT NOT NULL,
    created_by      TEXT NOT NULL,
    created_at      BIGINT NOT NULL
);

-- +goose Down
DROP TABLE module;
