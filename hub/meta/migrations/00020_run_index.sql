-- +goose Up
-- The next run of a device, and those that continue others, are looked up with each of its hellos.
CREATE INDEX run_ordinal ON run (device, ordinal);
CREATE INDEX run_prev ON run (device, prev);

-- +goose Down
DROP INDEX run_prev;
DROP INDEX run_ordinal;
