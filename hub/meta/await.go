package meta

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// await returns once PostgreSQL answers. A server that is not there yet, or is starting up, is tried
// again for as long as the store is patient: after a power cut everything starts at once, in any
// order. Any other error, such as a wrong password, is returned at once.
func (s *Store) await(ctx context.Context, opts Options) error {
	began := time.Now()
	told := false
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := s.r.PingContext(ctx)
		if !absent(err) || ctx.Err() != nil {
			if err == nil && told {
				opts.Log.Info("the database answers", "after", time.Since(began).Round(time.Second))
			}
			return err
		}
		left := s.patience - time.Since(began)
		if left <= 0 {
			return fmt.Errorf("nothing answers for %v: %w", s.patience, err)
		}
		if !told {
			opts.Log.Warn("the database does not answer: it is tried again", "for", s.patience, "err", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(wait, left)):
		}
	}
}

// absent reports whether no server answered, or one that cannot be used yet.
func absent(err error) bool {
	if _, unconnected := errors.AsType[*pgconn.ConnectError](err); !unconnected {
		return false
	}
	e, answered := errors.AsType[*pgconn.PgError](err)
	return !answered || e.Code == cannotConnectNow
}

// cannotConnectNow is PostgreSQL's code for a server that is starting up or shutting down.
const cannotConnectNow = "57P03"
