-- +goose Up
-- When a device's link came up, and when a model that was forbidden was allowed again, both in
-- microseconds since 1970; 0: never.
ALTER TABLE device ADD COLUMN linked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE model ADD COLUMN lifted_at BIGINT NOT NULL DEFAULT 0;

-- What people have frozen: no rollout of the task, '' of any, goes on and no device is told to run
-- another model.
CREATE TABLE rollout_freeze (
    task    TEXT PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    reason  TEXT NOT NULL
);

-- +goose Down
DROP TABLE rollout_freeze;
ALTER TABLE model DROP COLUMN lifted_at;
ALTER TABLE device DROP COLUMN linked_at;
