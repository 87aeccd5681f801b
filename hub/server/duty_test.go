package server_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"skerry.dev/configs"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/server"
	"skerry.dev/hub/training"
)

// TestTwoHubs runs two hubs on one PostgreSQL: every duty has one holder, which is the other hub
// once the first has stopped, and the start of the second leaves the first one's links alone.
func TestTwoHubs(t *testing.T) {
	db := metatest.Postgres(t)
	watch := db.Open(t)
	start := func() (stop func()) {
		h, err := server.Open(t.Context(), server.Options{
			Config: configs.HubConfig{
				DataDir:     t.TempDir(),
				Listen:      "127.0.0.1:0",
				NATSListen:  "127.0.0.1:-1",
				DatabaseURL: db.Options.URL,
			},
			AdminPassword: "correct horse battery",
		})
		if err != nil {
			t.Fatal(err)
		}
		h.Learn(training.Policy{Disabled: true}, rollout.Spec{})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		stopped := false
		stop = func() {
			if stopped {
				return
			}
			stopped = true
			cancel()
			if err := errors.Join(<-done, h.Close()); err != nil {
				t.Errorf("hub: %v", err)
			}
		}
		t.Cleanup(stop)
		return stop
	}
	duties := []string{"lake", "rollouts", "training", "trust"}
	holders := func(not string) string {
		t.Helper()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		deadline := time.After(30 * time.Second)
		for {
			held := map[string]int{}
			for _, name := range duties {
				d, err := watch.Read().Duty(t.Context(), name)
				if err != nil && !errors.Is(err, meta.ErrNotFound) {
					t.Fatal(err)
				}
				if d.Holder != "" && d.Holder != not {
					held[d.Holder]++
				}
			}
			for hub, n := range held {
				if n == len(duties) {
					return hub
				}
			}
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatalf("duties are held by %v after thirty seconds", held)
			}
		}
	}
	stop := start()
	first := holders("")
	err := watch.Tx(t.Context(), func(q *meta.Queries) error {
		return errors.Join(
			q.InsertDevice(t.Context(), meta.Device{Name: "d", PublicKey: "k"}),
			q.SetConnected(t.Context(), "d", first, true, 1))
	})
	if err != nil {
		t.Fatal(err)
	}
	start()
	if again := holders(""); again != first {
		t.Errorf("the second hub %s took duties of the first %s", again, first)
	}
	if d, err := watch.Read().Device(t.Context(), "d"); err != nil || !d.Connected {
		t.Errorf("after the start of the second hub the first one's device is %+v, %v", d, err)
	}
	stop()
	holders(first)
}
