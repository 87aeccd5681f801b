package fleet

import (
	"context"
	"fmt"
	"time"

	"skerry.dev/hub/feed"
	"skerry.dev/hub/keys"
	"skerry.dev/hub/meta"
)

// EnforceRevocations gives the key ring what the database holds, so that the server of this hub
// refuses the credentials and closes their connections. Revocations that a hub of an earlier
// release kept in a file enter the database. Call it before devices may connect.
func EnforceRevocations(ctx context.Context, db *meta.Store, ring *keys.Ring) error {
	if old := ring.Revoked(); len(old) > 0 {
		if err := db.Tx(ctx, func(q *meta.Queries) error {
			for key, before := range old {
				if err := q.PutRevocation(ctx, meta.Revocation{PublicKey: key, Before: before}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return fmt.Errorf("store revocations: %w", err)
		}
	}
	return enforce(ctx, db, ring)
}

func enforce(ctx context.Context, db *meta.Store, ring *keys.Ring) error {
	rows, err := db.Read().Revocations(ctx)
	if err != nil {
		return fmt.Errorf("read revocations: %w", err)
	}
	void := make(map[string]int64, len(rows))
	for _, r := range rows {
		void[r.PublicKey] = r.Before
	}
	return ring.Revoke(void)
}

// followRevocations enforces what other hubs revoke, until ctx ends.
func (f *Fleet) followRevocations(ctx context.Context) error {
	cursor, err := feed.Head(ctx, f.db.Read())
	if err != nil && ctx.Err() == nil {
		return err
	}
	for ctx.Err() == nil {
		// also once after the head was read: what was revoked before it is enforced as well
		if err := enforce(ctx, f.db, f.keys); err != nil && ctx.Err() == nil {
			f.opts.Log.Error("enforcing revocations failed, it will be tried again", "err", err)
			pause(ctx, time.Second)
			continue
		}
		next, err := feed.Wait(ctx, f.db, cursor, feed.KindDevice)
		if err != nil && ctx.Err() == nil {
			f.opts.Log.Error("reading the feed failed, it will be tried again", "err", err)
			pause(ctx, time.Second)
		}
		cursor = next
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
