package meta

import (
	"context"
	"errors"
)

// Duty is what one hub at a time does.
type Duty struct {
	Name      string
	Holder    string
	Token     int64 // grows with every new holder
	ExpiresAt int64 // microseconds by the database's clock, 0 when it was given up
}

const dutyCols = "name, holder, token, expires_at"

func (d *Duty) dest() []any { return []any{&d.Name, &d.Holder, &d.Token, &d.ExpiresAt} }

// Duty returns who has a duty or ErrNotFound.
func (q *Queries) Duty(ctx context.Context, name string) (Duty, error) {
	return one[Duty](ctx, q, "SELECT "+dutyCols+" FROM duty WHERE name = $1", name)
}

// PutDuty stores who has a duty.
func (q *Queries) PutDuty(ctx context.Context, d Duty) error {
	_, err := insert(ctx, q, "duty", dutyCols, `ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, token = excluded.token,
		expires_at = excluded.expires_at`, &d)
	return err
}

// Clock is the database's time in microseconds: the same for every hub.
func (q *Queries) Clock(ctx context.Context) (int64, error) {
	if !q.postgres {
		return Now(), nil
	}
	return q.int64(ctx, "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)")
}

// maxStrangers bounds the rows that strangers can make the hub store: challenges, and sources whose
// tries are counted.
const maxStrangers = 10_000

// InsertNonce stores a challenge until a time. It fails with ErrFull when too many are out.
func (q *Queries) InsertNonce(ctx context.Context, value string, expiresAt, now int64) error {
	if _, err := q.exec(ctx, "DELETE FROM nonce WHERE expires_at < $1", now); err != nil {
		return err
	}
	n, err := q.int64(ctx, "SELECT COUNT(*) FROM nonce")
	if err != nil {
		return err
	}
	if n >= maxStrangers {
		return ErrFull
	}
	_, err = q.exec(ctx, "INSERT INTO nonce (value, expires_at) VALUES ($1, $2)", value, expiresAt)
	return err
}

// ErrFull is returned when a bounded table takes no more.
var ErrFull = errors.New("too many")

// UseNonce removes a challenge and reports whether it was there and still good.
func (q *Queries) UseNonce(ctx context.Context, value string, now int64) (bool, error) {
	n, err := q.exec(ctx, "DELETE FROM nonce WHERE value = $1 AND expires_at >= $2", value, now)
	return n > 0, err
}

// Try counts a try of a source and reports whether it is allowed: burst at once, then one every
// interval (microseconds). What is refused is not counted.
func (q *Queries) Try(ctx context.Context, kind, source string, interval, burst, now int64) (bool, error) {
	free, err := q.int64(ctx, "SELECT free_at FROM tries WHERE kind = $1 AND source = $2", kind, source)
	if errors.Is(err, ErrNotFound) {
		free, err = now, q.dropTries(ctx, now)
	}
	if err != nil {
		return false, err
	}
	if free = max(free, now) + interval; free > now+burst*interval {
		return false, nil
	}
	err = q.NoteTry(ctx, kind, source, free)
	return err == nil, err
}

// NoteTry notes when all tries of a source are free again.
func (q *Queries) NoteTry(ctx context.Context, kind, source string, free int64) error {
	_, err := q.exec(ctx, `INSERT INTO tries (kind, source, free_at) VALUES ($1, $2, $3)
		ON CONFLICT (kind, source) DO UPDATE SET free_at = excluded.free_at`, kind, source, free)
	return err
}

// Tried reports whether a source has tries that are not free again.
func (q *Queries) Tried(ctx context.Context, kind, source string, now int64) (bool, error) {
	n, err := q.int64(ctx, "SELECT COUNT(*) FROM tries WHERE kind = $1 AND source = $2 AND free_at > $3", kind, source, now)
	return n > 0, err
}

// dropTries makes room for another source: those whose tries are all free again go, and when very
// many are left all of them, which costs an attacker more than it gains.
func (q *Queries) dropTries(ctx context.Context, now int64) error {
	if _, err := q.exec(ctx, "DELETE FROM tries WHERE free_at <= $1", now); err != nil {
		return err
	}
	n, err := q.int64(ctx, "SELECT COUNT(*) FROM tries")
	if err == nil && n >= maxStrangers {
		_, err = q.exec(ctx, "DELETE FROM tries")
	}
	return err
}

// ResetTries frees all tries of a source.
func (q *Queries) ResetTries(ctx context.Context, kind, source string) error {
	_, err := q.exec(ctx, "DELETE FROM tries WHERE kind = $1 AND source = $2", kind, source)
	return err
}
