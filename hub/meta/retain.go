package meta

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// PruneRows is how many rows one call prunes at most, so that no transaction is long.
const PruneRows = 2000

// MaxHostMetrics is how many host metrics of one device are kept.
const MaxHostMetrics = 256

// aged are the tables whose rows are pruned by age: by which column and key.
var aged = map[string]struct{ column, key string }{
	"event":        {"received_at", "id"},
	"quarantine":   {"seen_at", "sha256"},
	"conflict":     {"seen_at", "device, run, class, from_seq, sha256"},
	"gap":          {"declared_at", "device, run, class, from_seq, to_seq"},
	"link_event":   {"at", "id"},
	"enroll_token": {"expires_at", "id"},
}

// PruneAged deletes rows of a table that are older than a time (microseconds), at most PruneRows,
// but none that came while the clock was not set: their age is unknown. It returns how many.
func (q *Queries) PruneAged(ctx context.Context, table string, before int64) (int64, error) {
	t, ok := aged[table]
	if !ok {
		return 0, fmt.Errorf("table %q is not pruned by age", table)
	}
	return q.exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE (%s) IN (SELECT %s FROM %s WHERE %s < $1 AND %s >= $2 LIMIT %d)",
		table, t.key, t.key, table, t.column, t.column, PruneRows), before, unknownBefore)
}

// PruneEvents deletes the oldest events of a device beyond the newest keep, at most PruneRows.
func (q *Queries) PruneEvents(ctx context.Context, device string, keep int64) (int64, error) {
	return q.exec(ctx, fmt.Sprintf("DELETE FROM event WHERE id IN (SELECT id FROM event WHERE device = $1 ORDER BY received_at DESC, id DESC LIMIT %d OFFSET $2)", PruneRows), device, keep)
}

// PruneUsage deletes what devices sent before a day, but nothing that came while the clock was not
// set.
func (q *Queries) PruneUsage(ctx context.Context, day string) (int64, error) {
	return q.exec(ctx, "DELETE FROM device_usage WHERE day < $1 AND day >= $2", day, time.UnixMicro(unknownBefore).UTC().Format(time.DateOnly))
}

// auditCut is the detail of the entry that a cut of the audit chain leaves: where the chain goes on
// from.
type auditCut struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
}

const auditPruned = "audit.prune"

// PruneAudit deletes the audit entries that are older than a time, at most PruneRows, and
// appends an entry that names the last of them, so that the chain can still be verified. It returns
// how many it deleted. A time counts only where no younger entry stands before it: one that was
// written while the clock was not set must not take the chain before it along.
func (q *Queries) PruneAudit(ctx context.Context, before int64) (int64, error) {
	last, err := one[AuditEntry](ctx, q, fmt.Sprintf(`SELECT %s FROM audit WHERE at < $1 AND at >= $2
		AND seq < COALESCE((SELECT MIN(seq) FROM audit WHERE at >= $1), (SELECT MAX(seq) FROM audit))
		AND seq < (SELECT MIN(seq) FROM audit) + %d ORDER BY seq DESC LIMIT 1`, auditCols, PruneRows), before, unknownBefore)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	detail, err := json.Marshal(auditCut{last.Seq, last.Hash})
	if err != nil {
		return 0, err
	}
	if err := q.Audit(ctx, "hub", auditPruned, "", string(detail)); err != nil {
		return 0, err
	}
	return q.exec(ctx, "DELETE FROM audit WHERE seq <= $1", last.Seq)
}
