-- +goose Up
-- The newest time at which a hub ran with a clock that was taken for right, and since when and for
-- how long one that disagrees has run. It starts with the newest probe: the first start after the
-- upgrade has something to compare its clock with.
CREATE TABLE hub_clock (
    id              BIGINT PRIMARY KEY,
    noted_at        BIGINT NOT NULL,
    doubted_at      BIGINT NOT NULL,
    doubted_for     BIGINT NOT NULL
);
INSERT INTO hub_clock (id, noted_at, doubted_at, doubted_for)
    SELECT 1, MAX(at), 0, 0 FROM probe HAVING MAX(at) >= 1767225600000000;

-- +goose Down
DROP TABLE hub_clock;
