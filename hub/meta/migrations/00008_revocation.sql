-- +goose Up
-- Credentials issued to a key up to a time (Unix seconds) are void, at every hub.
CREATE TABLE revocation (
    public_key      TEXT PRIMARY KEY,
    void_before     BIGINT NOT NULL
);
