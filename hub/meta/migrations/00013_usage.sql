-- +goose Up
-- What devices sent, by day (UTC, "2026-01-31"): the hub bounds it and shows it.
CREATE TABLE device_usage (
    device          TEXT NOT NULL,
    day             TEXT NOT NULL,
    bytes           BIGINT NOT NULL,
    chunks          BIGINT NOT NULL,
    refused         BIGINT NOT NULL,
    conflicts       BIGINT NOT NULL,
    kept            BIGINT NOT NULL,
    runs            BIGINT NOT NULL,
    odd_times       BIGINT NOT NULL,
    non_finite      BIGINT NOT NULL,
    PRIMARY KEY (device, day)
);

-- +goose Down
DROP TABLE device_usage;
