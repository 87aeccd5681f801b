-- +goose Up
-- Which database this is: stores of files are bound to it by this name.
CREATE TABLE instance (
    id              TEXT PRIMARY KEY
);

-- +goose Down
DROP TABLE instance;
