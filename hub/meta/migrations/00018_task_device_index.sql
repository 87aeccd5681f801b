-- +goose Up
-- What one device reports is looked up with each of its reports.
CREATE INDEX task_device_device ON task_device (device);

-- +goose Down
DROP INDEX task_device_device;
