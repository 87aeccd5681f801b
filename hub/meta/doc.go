// Package meta is the hub's SQL store: devices, the ledger of what was received, staging,
// manifests, models, users and the audit chain.
//
// SQLite (one file, WAL, synchronous=FULL because the ledger's acknowledgements rest on it) is
// the default; a DATABASE_URL that starts with postgres:// selects PostgreSQL. Both run the same
// migrations and the same queries, written in the subset they share: text identifiers, BIGINT
// microseconds, JSON as text, $n placeholders.
//
// [Store] hands out [Queries]: Read for the pool of readers, Tx for the one writer. Transactions of
// Tx run one after another on both databases, also over several hubs that share a PostgreSQL;
// tx.go describes how and why.
package meta
