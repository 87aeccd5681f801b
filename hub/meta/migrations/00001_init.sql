-- +goose Up
-- The common subset of SQLite and PostgreSQL: TEXT, BIGINT, BOOLEAN, DOUBLE PRECISION, BYTEA; JSON as text; times as BIGINT microseconds.

CREATE TABLE device (
    name            TEXT PRIMARY KEY,
    site            TEXT NOT NULL,
    cohort          TEXT NOT NULL,
    public_key      TEXT NOT NULL UNIQUE,
    fingerprint     TEXT NOT NULL,
    class           TEXT NOT NULL,
    version         TEXT NOT NULL,
    join_counter    BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    seen_at         BIGINT NOT NULL,
    connected       BOOLEAN NOT NULL,
    suspect         TEXT NOT NULL,
    revoked_at      BIGINT NOT NULL
);

CREATE TABLE enroll_token (
    id              TEXT PRIMARY KEY,
    hash            TEXT NOT NULL UNIQUE,
    device          TEXT NOT NULL,
    site            TEXT NOT NULL,
    cohort          TEXT NOT NULL,
    created_by      TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    used_at         BIGINT NOT NULL,
    used_by         TEXT NOT NULL,
    revoked_at      BIGINT NOT NULL
);

CREATE TABLE run (
    device          TEXT NOT NULL,
    run             TEXT NOT NULL,
    prev            TEXT NOT NULL,
    ordinal         BIGINT NOT NULL,
    boot_id         TEXT NOT NULL,
    started_at      BIGINT NOT NULL,
    clock_ok        BOOLEAN NOT NULL,
    first_seen      BIGINT NOT NULL,
    PRIMARY KEY (device, run)
);

-- kind 0 is stored data, kind 1 a declared gap. Intervals of kind 0 are disjoint. An empty hash marks neighbours merged after their
-- hashes were no longer needed to tell a repeat from a conflict.
CREATE TABLE ledger (
    device          TEXT NOT NULL,
    run             TEXT NOT NULL,
    class           BIGINT NOT NULL,
    kind            BIGINT NOT NULL,
    from_seq        BIGINT NOT NULL,
    to_seq          BIGINT NOT NULL,
    sha256          TEXT NOT NULL,
    applied_at      BIGINT NOT NULL,
    PRIMARY KEY (device, run, class, kind, from_seq)
);

CREATE TABLE staging (
    device          TEXT NOT NULL,
    run             TEXT NOT NULL,
    class           BIGINT NOT NULL,
    from_seq        BIGINT NOT NULL,
    count           BIGINT NOT NULL,
    run_ordinal     BIGINT NOT NULL,
    site            TEXT NOT NULL,
    bytes           BYTEA NOT NULL,
    staged_at       BIGINT NOT NULL,
    PRIMARY KEY (device, run, class, from_seq)
);
CREATE INDEX staging_class ON staging (class, site, staged_at);

CREATE TABLE gap (
    device          TEXT NOT NULL,
    run             TEXT NOT NULL,
    class           BIGINT NOT NULL,
    from_seq        BIGINT NOT NULL,
    to_seq          BIGINT NOT NULL,
    reason          TEXT NOT NULL,
    series          TEXT NOT NULL,
    declared_at     BIGINT NOT NULL,
    PRIMARY KEY (device, run, class, from_seq, to_seq)
);

CREATE TABLE conflict (
    sha256          TEXT NOT NULL,
    device          TEXT NOT NULL,
    run             TEXT NOT NULL,
    class           BIGINT NOT NULL,
    from_seq        BIGINT NOT NULL,
    to_seq          BIGINT NOT NULL,
    stored_from     BIGINT NOT NULL,
    stored_to       BIGINT NOT NULL,
    stored_sha256   TEXT NOT NULL,
    bytes           BYTEA NOT NULL,
    seen_at         BIGINT NOT NULL,
    PRIMARY KEY (device, run, class, from_seq, sha256)
);

CREATE TABLE quarantine (
    sha256          TEXT PRIMARY KEY,
    subject         TEXT NOT NULL,
    reason          TEXT NOT NULL,
    bytes           BYTEA NOT NULL,
    seen_at         BIGINT NOT NULL
);

CREATE TABLE lake_file (
    path            TEXT PRIMARY KEY,
    class           BIGINT NOT NULL,
    date            TEXT NOT NULL,
    site            TEXT NOT NULL,
    rows            BIGINT NOT NULL,
    bytes           BIGINT NOT NULL,
    created_at      BIGINT NOT NULL
);

CREATE TABLE lake_part (
    path            TEXT NOT NULL,
    device          TEXT NOT NULL,
    class           BIGINT NOT NULL,
    rows            BIGINT NOT NULL,
    min_time        BIGINT NOT NULL,
    max_time        BIGINT NOT NULL,
    min_ordinal     BIGINT NOT NULL,
    min_seq         BIGINT NOT NULL,
    PRIMARY KEY (path, device)
);
CREATE INDEX lake_part_device ON lake_part (device, class, min_time);

CREATE TABLE event (
    id              TEXT PRIMARY KEY,
    device          TEXT NOT NULL,
    class           BIGINT NOT NULL,
    time            BIGINT NOT NULL,
    kind            TEXT NOT NULL,
    task            TEXT NOT NULL,
    detail          TEXT NOT NULL,
    received_at     BIGINT NOT NULL
);
CREATE INDEX event_received ON event (received_at, id);
CREATE INDEX event_task ON event (task, kind, received_at);
CREATE INDEX event_device ON event (device, received_at);

CREATE TABLE task (
    name            TEXT PRIMARY KEY,
    kind            TEXT NOT NULL,
    spec            TEXT NOT NULL,
    hash            TEXT NOT NULL,
    first_seen      BIGINT NOT NULL,
    last_seen       BIGINT NOT NULL
);

CREATE TABLE task_device (
    task            TEXT NOT NULL,
    device          TEXT NOT NULL,
    hash            TEXT NOT NULL,
    last_seen       BIGINT NOT NULL,
    PRIMARY KEY (task, device)
);

CREATE TABLE label_point (
    task            TEXT NOT NULL,
    device          TEXT NOT NULL,
    row_time        BIGINT NOT NULL,
    at              BIGINT NOT NULL,
    truth           DOUBLE PRECISION,
    predicted       DOUBLE PRECISION,
    lower_bound     DOUBLE PRECISION,
    upper_bound     DOUBLE PRECISION,
    persistence     DOUBLE PRECISION,
    champion        DOUBLE PRECISION,
    candidate       DOUBLE PRECISION,
    champion_id     TEXT NOT NULL,
    candidate_id    TEXT NOT NULL,
    received_at     BIGINT NOT NULL,
    PRIMARY KEY (task, device, row_time)
);
CREATE INDEX label_point_received ON label_point (received_at);

CREATE TABLE host_value (
    device          TEXT NOT NULL,
    metric          TEXT NOT NULL,
    time            BIGINT NOT NULL,
    value           DOUBLE PRECISION,
    PRIMARY KEY (device, metric)
);

CREATE TABLE dataset (
    id              TEXT PRIMARY KEY,
    task            TEXT NOT NULL,
    digest          TEXT NOT NULL,
    rows            BIGINT NOT NULL,
    from_time       BIGINT NOT NULL,
    to_time         BIGINT NOT NULL,
    detail          TEXT NOT NULL,
    created_at      BIGINT NOT NULL
);

CREATE TABLE job (
    id              TEXT PRIMARY KEY,
    kind            TEXT NOT NULL,
    task            TEXT NOT NULL,
    state           TEXT NOT NULL,
    spec            TEXT NOT NULL,
    result          TEXT NOT NULL,
    error           TEXT NOT NULL,
    created_by      TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    started_at      BIGINT NOT NULL,
    finished_at     BIGINT NOT NULL
);
CREATE INDEX job_state ON job (state, created_at);

CREATE TABLE model (
    digest          TEXT PRIMARY KEY,
    task            TEXT NOT NULL,
    version         BIGINT NOT NULL,
    kind            TEXT NOT NULL,
    state           TEXT NOT NULL,
    size            BIGINT NOT NULL,
    target          TEXT NOT NULL,
    metrics         TEXT NOT NULL,
    lineage         TEXT NOT NULL,
    created_by      TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    tombstoned_at   BIGINT NOT NULL,
    tombstone       TEXT NOT NULL,
    UNIQUE (task, version)
);

CREATE TABLE champion (
    task            TEXT NOT NULL,
    cohort          TEXT NOT NULL,
    digest          TEXT NOT NULL,
    since           BIGINT NOT NULL,
    PRIMARY KEY (task, cohort)
);

CREATE TABLE rollout (
    id              TEXT PRIMARY KEY,
    task            TEXT NOT NULL,
    digest          TEXT NOT NULL,
    state           TEXT NOT NULL,
    stage           BIGINT NOT NULL,
    spec            TEXT NOT NULL,
    status          TEXT NOT NULL,
    created_by      TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL
);
CREATE INDEX rollout_state ON rollout (state, created_at);

CREATE TABLE rollout_device (
    rollout         TEXT NOT NULL,
    device          TEXT NOT NULL,
    stage           BIGINT NOT NULL,
    generation      BIGINT NOT NULL,
    phase           TEXT NOT NULL,
    reason          TEXT NOT NULL,
    stats           TEXT NOT NULL,
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (rollout, device)
);

CREATE TABLE desired (
    device          TEXT PRIMARY KEY,
    generation      BIGINT NOT NULL,
    document        TEXT NOT NULL,
    updated_at      BIGINT NOT NULL
);

CREATE TABLE reported (
    device          TEXT PRIMARY KEY,
    generation      BIGINT NOT NULL,
    document        TEXT NOT NULL,
    seen_at         BIGINT NOT NULL
);

CREATE TABLE link_event (
    id              TEXT PRIMARY KEY,
    device          TEXT NOT NULL,
    at              BIGINT NOT NULL,
    connected       BOOLEAN NOT NULL
);
CREATE INDEX link_event_device ON link_event (device, at);

CREATE TABLE account (
    name            TEXT PRIMARY KEY,
    role            TEXT NOT NULL,
    password_hash   TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    password_at     BIGINT NOT NULL
);

CREATE TABLE api_token (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    hash            TEXT NOT NULL UNIQUE,
    role            TEXT NOT NULL,
    created_by      TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    revoked_at      BIGINT NOT NULL
);

CREATE TABLE audit (
    seq             BIGINT PRIMARY KEY,
    at              BIGINT NOT NULL,
    actor           TEXT NOT NULL,
    action          TEXT NOT NULL,
    object          TEXT NOT NULL,
    detail          TEXT NOT NULL,
    prev_hash       TEXT NOT NULL,
    hash            TEXT NOT NULL
);

-- +goose Down
DROP TABLE audit;
DROP TABLE api_token;
DROP TABLE account;
DROP TABLE link_event;
DROP TABLE reported;
DROP TABLE desired;
DROP TABLE rollout_device;
DROP TABLE rollout;
DROP TABLE champion;
DROP TABLE model;
DROP TABLE job;
DROP TABLE dataset;
DROP TABLE host_value;
DROP TABLE label_point;
DROP TABLE task_device;
DROP TABLE task;
DROP TABLE event;
DROP TABLE lake_part;
DROP TABLE lake_file;
DROP TABLE quarantine;
DROP TABLE conflict;
DROP TABLE gap;
DROP TABLE staging;
DROP TABLE ledger;
DROP TABLE run;
DROP TABLE enroll_token;
DROP TABLE device;
