-- +goose Up
-- How many workers a job has lost.

ALTER TABLE job ADD COLUMN lost BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE job DROP COLUMN lost;
