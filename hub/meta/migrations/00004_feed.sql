-- +goose Up
-- The event feed: numbered 1, 2, 3 … in the order of commits. feed_head holds the last number given out and the last one pruned;
-- feed_cursor how far each named consumer has read.

CREATE TABLE feed (
    seq             BIGINT PRIMARY KEY,
    time            BIGINT NOT NULL,
    kind            TEXT NOT NULL,
    task            TEXT NOT NULL,
    device          TEXT NOT NULL,
    detail          TEXT NOT NULL
);
CREATE INDEX feed_time ON feed (time);

CREATE TABLE feed_head (
    id              BIGINT PRIMARY KEY,
    seq             BIGINT NOT NULL,
    pruned          BIGINT NOT NULL
);
INSERT INTO feed_head (id, seq, pruned) VALUES (1, 0, 0);

CREATE TABLE feed_cursor (
    consumer        TEXT PRIMARY KEY,
    seq             BIGINT NOT NULL,
    moved_at        BIGINT NOT NULL
);

-- +goose Down
DROP TABLE feed_cursor;
DROP TABLE feed_head;
DROP TABLE feed;
