-- +goose Up
-- What the triggers of training look at, as a JSON document per task.

CREATE TABLE training_progress (
    task            TEXT PRIMARY KEY,
    document        TEXT NOT NULL
);

-- +goose Down
DROP TABLE training_progress;
