-- +goose Up
-- Of a task of more than two classes: how many (else 0), the probabilities that the truth was given,
-- by what was published, by the models and by the baseline, and the set that was published.
ALTER TABLE label_point ADD COLUMN classes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE label_point ADD COLUMN chance DOUBLE PRECISION;
ALTER TABLE label_point ADD COLUMN champion_chance DOUBLE PRECISION;
ALTER TABLE label_point ADD COLUMN candidate_chance DOUBLE PRECISION;
ALTER TABLE label_point ADD COLUMN baseline_chance DOUBLE PRECISION;
ALTER TABLE label_point ADD COLUMN set_size BIGINT NOT NULL DEFAULT 0;
ALTER TABLE label_point ADD COLUMN covered BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down
ALTER TABLE label_point DROP COLUMN covered;
ALTER TABLE label_point DROP COLUMN set_size;
ALTER TABLE label_point DROP COLUMN baseline_chance;
ALTER TABLE label_point DROP COLUMN candidate_chance;
ALTER TABLE label_point DROP COLUMN champion_chance;
ALTER TABLE label_point DROP COLUMN chance;
ALTER TABLE label_point DROP COLUMN classes;
