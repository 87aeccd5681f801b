package meta

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
)

// Instance returns the name of this database, random and made when it was first asked for. A copy
// has the same.
func (s *Store) Instance(ctx context.Context) (id string, err error) {
	err = s.Tx(ctx, func(q *Queries) error {
		row, err := one[textRow](ctx, q, "SELECT id FROM instance")
		if errors.Is(err, ErrNotFound) {
			row.s = strings.ToLower(rand.Text())
			_, err = q.exec(ctx, "INSERT INTO instance (id) VALUES ($1)", row.s)
		}
		id = row.s
		return err
	})
	return id, err
}
