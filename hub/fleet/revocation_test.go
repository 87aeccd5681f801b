package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"skerry.dev/hub/bus/bustest"
	"skerry.dev/hub/fleet"
	"skerry.dev/hub/keys"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
)

// TestRevocationReachesEveryHub revokes at one hub what another holds for valid, and starts a third
// afterwards.
func TestRevocationReachesEveryHub(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db := d.Open(t)
		dir := t.TempDir() // the hubs share the operator's keys
		start := func(name string) (*fleet.Fleet, bustest.Bus) {
			b := bustest.Open(t, dir)
			if err := fleet.EnforceRevocations(t.Context(), db, b.Ring); err != nil {
				t.Fatal(err)
			}
			f := fleet.New(db, b.Bus, b.Ring, fleet.Options{Hub: name})
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- f.Run(ctx) }()
			t.Cleanup(func() {
				cancel()
				if err := <-done; err != nil {
					t.Errorf("Run = %v", err)
				}
			})
			return f, b
		}
		pub := userKey(t)
		if err := db.Tx(t.Context(), func(q *meta.Queries) error {
			return q.InsertDevice(t.Context(), meta.Device{Name: "pump-1", Site: "north", PublicKey: pub})
		}); err != nil {
			t.Fatal(err)
		}
		one, busOne := start("one")
		_, busTwo := start("two")
		token, err := busOne.Ring.SignDevice(pub, "pump-1", "north", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := busTwo.Ring.CheckDevice(token); err != nil {
			t.Fatalf("the credential is refused before it is revoked: %v", err)
		}
		if err := one.Revoke(t.Context(), "ada", "pump-1"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := busOne.Ring.CheckDevice(token); !errors.Is(err, keys.ErrRevoked) {
			t.Errorf("at the hub that revoked: %v, want ErrRevoked", err)
		}
		deadline := time.Now().Add(10 * time.Second)
		for err = nil; !errors.Is(err, keys.ErrRevoked); {
			if _, _, err = busTwo.Ring.CheckDevice(token); time.Now().After(deadline) {
				t.Fatalf("at the other hub after 10 s: %v, want ErrRevoked", err)
			}
		}
		_, busThree := start("three")
		if _, _, err := busThree.Ring.CheckDevice(token); !errors.Is(err, keys.ErrRevoked) {
			t.Errorf("at a hub that starts later: %v, want ErrRevoked", err)
		}
	})
}

// TestRevocationsOfAnEarlierRelease holds that what a hub kept in a file is in force everywhere.
func TestRevocationsOfAnEarlierRelease(t *testing.T) {
	db := metatest.SQLite(t).Open(t)
	dir, pub := t.TempDir(), userKey(t)
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("%s %d\n", pub, keys.VoidBefore(time.Now()))
	if err := os.WriteFile(filepath.Join(dir, "keys", "nats-revoked"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	b := bustest.Open(t, dir)
	token, err := b.Ring.SignDevice(pub, "pump-1", "north", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := fleet.EnforceRevocations(t.Context(), db, b.Ring); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Ring.CheckDevice(token); !errors.Is(err, keys.ErrRevoked) {
		t.Errorf("at this hub: %v, want ErrRevoked", err)
	}
	rows, err := db.Read().Revocations(t.Context())
	if err != nil || len(rows) != 1 || rows[0].PublicKey != pub {
		t.Errorf("the database holds %v, %v", rows, err)
	}
}

func userKey(t *testing.T) string {
	t.Helper()
	_, pub := bustest.Key(t)
	return pub
}
