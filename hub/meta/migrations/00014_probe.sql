-- +goose Up
-- Where hubs try out whether the database stores what they write.
CREATE TABLE probe (
    name            TEXT PRIMARY KEY,
    at              BIGINT NOT NULL
);

-- +goose Down
DROP TABLE probe;
