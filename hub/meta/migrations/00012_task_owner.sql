-- +goose Up
-- Whose the definition of a task is, and what devices report of it. source is who defined it
-- ("device/…", "user/…", "token/…"; empty: a device, before this was recorded). version grows with
-- every change. A removed task stays as long as devices report it, so that none brings it back.
ALTER TABLE task ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE task ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE task ADD COLUMN removed_at BIGINT NOT NULL DEFAULT 0;

-- differs: what the device runs means something else than the definition of that version; spec is
-- its text then, as far as the device reported it.
ALTER TABLE task_device ADD COLUMN spec TEXT NOT NULL DEFAULT '';
ALTER TABLE task_device ADD COLUMN differs BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE task_device ADD COLUMN version BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE task_device DROP COLUMN version;
ALTER TABLE task_device DROP COLUMN differs;
ALTER TABLE task_device DROP COLUMN spec;
ALTER TABLE task DROP COLUMN removed_at;
ALTER TABLE task DROP COLUMN version;
ALTER TABLE task DROP COLUMN source;
