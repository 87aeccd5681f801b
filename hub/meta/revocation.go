package meta

import "context"

// Revocation voids every credential of a key that was issued before a time.
type Revocation struct {
	PublicKey string
	Before    int64 // Unix seconds, as credentials have them
}

func (r *Revocation) dest() []any { return []any{&r.PublicKey, &r.Before} }

// PutRevocation stores a revocation. An older one of the same key gives way, a newer one stays.
func (q *Queries) PutRevocation(ctx context.Context, r Revocation) error {
	_, err := insert(ctx, q, "revocation", "public_key, void_before", `ON CONFLICT (public_key) DO UPDATE SET void_before = excluded.void_before
		WHERE excluded.void_before > revocation.void_before`, &r)
	return err
}

// Revocations returns all revocations.
func (q *Queries) Revocations(ctx context.Context) ([]Revocation, error) {
	return many[Revocation](ctx, q, "SELECT public_key, void_before FROM revocation ORDER BY public_key")
}
