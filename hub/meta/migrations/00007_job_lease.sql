-- +goose Up
-- Who works on a job, under which token and until when, and who cancelled it.

ALTER TABLE job ADD COLUMN worker TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN token BIGINT NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN lease_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN cancelled_by TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE job DROP COLUMN cancelled_by;
ALTER TABLE job DROP COLUMN lease_until;
ALTER TABLE job DROP COLUMN token;
ALTER TABLE job DROP COLUMN worker;
