-- +goose Up
-- PostgreSQL locks this table at the beginning of every writing transaction; it holds no rows.

CREATE TABLE writer (
    id              BIGINT PRIMARY KEY
);

-- +goose Down
DROP TABLE writer;
