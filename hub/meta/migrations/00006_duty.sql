-- +goose Up
-- Duties that one hub has at a time; the token grows with every new holder. The hub a device is connected to. Challenges and tries that
-- hold over several hubs.

CREATE TABLE duty (
    name            TEXT PRIMARY KEY,
    holder          TEXT NOT NULL,
    token           BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL
);

ALTER TABLE device ADD COLUMN hub TEXT NOT NULL DEFAULT '';
UPDATE device SET connected = FALSE;

CREATE TABLE nonce (
    value           TEXT PRIMARY KEY,
    expires_at      BIGINT NOT NULL
);

CREATE TABLE tries (
    kind            TEXT NOT NULL,
    source          TEXT NOT NULL,
    free_at         BIGINT NOT NULL,
    PRIMARY KEY (kind, source)
);
CREATE INDEX tries_free ON tries (free_at);

-- +goose Down
DROP TABLE tries;
DROP TABLE nonce;
ALTER TABLE device DROP COLUMN hub;
DROP TABLE duty;
