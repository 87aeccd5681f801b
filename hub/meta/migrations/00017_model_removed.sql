-- +goose Up
-- When the artifact of a model was deleted because nothing had needed it for long; the model's record
-- stays. In microseconds since 1970, 0: it is there.
ALTER TABLE model ADD COLUMN removed_at BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE model DROP COLUMN removed_at;
