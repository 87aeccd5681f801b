package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"skerry.dev/hub/fleet"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
	"skerry.dev/test/wait"
)

func TestUpdateDesired(t *testing.T) {
	h := newHub(t, fleet.Options{})
	b := h.enrolled("pump-1")
	nc, err := b.connect()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := nc.SubscribeSync("desired.pump-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if d, err := h.fleet.Desired(t.Context(), "pump-1"); err != nil || d.Generation != 0 || d.Device != "pump-1" || d.Assignments == nil {
		t.Errorf("desired of a new device = %+v, %v", d, err)
	}
	assign := func(_ *meta.Queries, d *spec.Desired) error {
		d.Assignments["pm25"] = spec.Assignment{Generation: d.Generation, Digest: "abc"}
		return nil
	}
	d, err := h.fleet.UpdateDesired(t.Context(), "pump-1", assign)
	if err != nil || d.Generation != 1 || d.Assignments["pm25"].Generation != 1 {
		t.Errorf("UpdateDesired = %+v, %v", d, err)
	}
	msg, err := sub.NextMsg(5 * time.Second)
	if err != nil {
		t.Fatalf("the device is not told: %v", err)
	}
	var told spec.Desired
	if err := json.Unmarshal(msg.Data, &told); err != nil || told.Assignments["pm25"].Digest != "abc" {
		t.Errorf("the device is told %s, %v", msg.Data, err)
	}
	failed := errors.New("no")
	if _, err := h.fleet.UpdateDesired(t.Context(), "pump-1", func(_ *meta.Queries, d *spec.Desired) error { d.Suspect = true; return failed }); !errors.Is(err, failed) {
		t.Errorf("UpdateDesired = %v, want the function's error", err)
	}
	if d, err := h.fleet.UpdateDesired(t.Context(), "pump-1", func(*meta.Queries, *spec.Desired) error { return fleet.ErrUnchanged }); err != nil || d.Generation != 1 {
		t.Errorf("UpdateDesired that changes nothing = %+v, %v", d, err)
	}
	if d, err := h.fleet.Desired(t.Context(), "pump-1"); err != nil || d.Generation != 1 || d.Suspect {
		t.Errorf("desired = %+v, %v, want what was before", d, err)
	}
	if _, err := h.fleet.UpdateDesired(t.Context(), "nobody", assign); !errors.Is(err, meta.ErrNotFound) || !strings.Contains(err.Error(), `update desired state of device "nobody"`) {
		t.Errorf("UpdateDesired(nobody) = %v", err)
	}
	var wg sync.WaitGroup
	const writers = 10
	for i := range writers {
		wg.Go(func() {
			if _, err := h.fleet.UpdateDesired(t.Context(), "pump-1", func(_ *meta.Queries, d *spec.Desired) error {
				d.Tombstones = append(d.Tombstones, fmt.Sprint(i))
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if d, err := h.fleet.Desired(t.Context(), "pump-1"); err != nil || d.Generation != 1+writers || len(d.Tombstones) != writers || d.Assignments["pm25"].Digest != "abc" {
		t.Errorf("desired = %+v, %v, want the change of every writer", d, err)
	}
	h.inBucket("pump-1", 1+writers)
}

// inBucket holds the bucket, which is what devices see, to a generation.
func (h *hub) inBucket(device string, generation uint64) {
	h.t.Helper()
	e, err := h.bus.Desired.Get(h.t.Context(), device)
	if err != nil {
		h.t.Fatal(err)
	}
	var d spec.Desired
	if err := json.Unmarshal(e.Value(), &d); err != nil || d.Generation != generation {
		h.t.Errorf("the bucket holds generation %d, %v, want %d", d.Generation, err, generation)
	}
}

// TestGenerationNeverFallsBehindTheDevice has a device that has accepted more than this hub
// remembers: the hub was restored from a backup, or the device deleted and enrolled again.
func TestGenerationNeverFallsBehindTheDevice(t *testing.T) {
	h := newHub(t, fleet.Options{})
	h.enrolled("pump-1")
	report := func(document string) {
		t.Helper()
		if err := h.db.Tx(t.Context(), func(q *meta.Queries) error {
			return q.PutReported(t.Context(), meta.Document{Device: "pump-1", Document: document, At: meta.Now()})
		}); err != nil {
			t.Fatal(err)
		}
	}
	change := func(_ *meta.Queries, d *spec.Desired) error { d.Suspect = !d.Suspect; return nil }
	for i, step := range []struct {
		reported string
		want     uint64
	}{{`{"generation":41}`, 42}, {`{"generation":41}`, 43}, {`{"generation":2}`, 44}, {`{"generation":18446744073709551615}`, 45}, {`damaged`, 46}} {
		report(step.reported)
		if d, err := h.fleet.UpdateDesired(t.Context(), "pump-1", func(*meta.Queries, *spec.Desired) error { return fleet.ErrUnchanged }); err != nil || i > 0 && d.Generation != step.want-1 {
			t.Errorf("step %d: nothing changed = generation %d, %v, want the one before", i, d.Generation, err)
		}
		if d, err := h.fleet.UpdateDesired(t.Context(), "pump-1", change); err != nil || d.Generation != step.want {
			t.Errorf("step %d: generation %d, %v, want %d", i, d.Generation, err, step.want)
		}
	}
	if _, _, err := h.fleet.Reported(t.Context(), "pump-1"); err == nil || !strings.Contains(err.Error(), `reported state of device "pump-1"`) {
		t.Errorf("Reported of a damaged document = %v", err)
	}
	if _, _, err := h.fleet.Reported(t.Context(), "nobody"); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("Reported(nobody) = %v, want ErrNotFound", err)
	}
}

// TestDamagedDesired finds a document that is none: it is reported and left for a person to look
// at.
func TestDamagedDesired(t *testing.T) {
	h := newHub(t, fleet.Options{})
	h.enrolled("pump-1")
	if err := h.db.Tx(t.Context(), func(q *meta.Queries) error {
		return q.PutDesired(t.Context(), meta.Document{Device: "pump-1", Generation: 3, Document: `{"generation":3,`, At: meta.Now()})
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.fleet.Desired(t.Context(), "pump-1"); err == nil || !strings.Contains(err.Error(), `desired state of device "pump-1": unexpected end of JSON`) {
		t.Errorf("Desired = %v", err)
	}
	if _, err := h.fleet.UpdateDesired(t.Context(), "pump-1", func(*meta.Queries, *spec.Desired) error { return nil }); err == nil || !strings.Contains(err.Error(), `update desired state of device "pump-1"`) {
		t.Errorf("UpdateDesired = %v", err)
	}
	if doc, err := h.db.Read().Desired(t.Context(), "pump-1"); err != nil || doc.Document != `{"generation":3,` {
		t.Errorf("the document is now %q, %v", doc.Document, err)
	}
}

func TestTombstoneReachesAll(t *testing.T) {
	h := newHub(t, fleet.Options{})
	names := []string{"a", "b", "c"}
	for _, n := range names {
		h.enrolled(n)
	}
	for _, digest := range []string{"bad", "bad", "worse"} {
		if err := h.fleet.Tombstone(t.Context(), digest); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range names {
		if d, err := h.fleet.Desired(t.Context(), n); err != nil || !slices.Equal(d.Tombstones, []string{"bad", "worse"}) || d.Generation != 2 {
			t.Errorf("desired of %s = %+v, %v", n, d, err)
		}
		h.inBucket(n, 2)
	}
}

func TestDelete(t *testing.T) {
	h := newHub(t, fleet.Options{})
	b := h.enrolled("pump-1")
	if _, err := h.fleet.UpdateDesired(t.Context(), "pump-1", func(*meta.Queries, *spec.Desired) error { return nil }); err != nil {
		t.Fatal(err)
	}
	h.enrolled("pump-2") // nothing is desired of it yet
	for _, name := range []string{"pump-1", "pump-2"} {
		if err := h.fleet.Delete(t.Context(), "ada", name); err != nil {
			t.Fatal(err)
		}
		if _, err := h.db.Read().Device(t.Context(), name); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("Device(%s) = %v, want ErrNotFound", name, err)
		}
		if _, err := h.bus.Desired.Get(t.Context(), name); !errors.Is(err, jetstream.ErrKeyNotFound) {
			t.Errorf("the bucket holds %s: %v", name, err)
		}
		if err := h.fleet.Delete(t.Context(), "ada", name); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("Delete(%s) again = %v, want ErrNotFound", name, err)
		}
	}
	if _, err := b.connect(); err == nil {
		t.Error("a deleted device connects")
	}
	if err := h.db.Read().VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRun starts the fleet on what a crash left: a document that did not reach the bucket,
// another that is old there, and a device that seems connected. Then it follows a link.
func TestRun(t *testing.T) {
	h := newHub(t, fleet.Options{})
	b := h.enrolled("new")
	h.enrolled("old")
	if _, err := h.fleet.UpdateDesired(t.Context(), "old", func(*meta.Queries, *spec.Desired) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := h.db.Tx(t.Context(), func(q *meta.Queries) error {
		return errors.Join(
			q.PutDesired(t.Context(), meta.Document{Device: "new", Generation: 5, Document: `{"device":"new","generation":5}`, At: meta.Now()}),
			q.PutDesired(t.Context(), meta.Document{Device: "old", Generation: 2, Document: `{"device":"old","generation":2}`, At: meta.Now()}),
			q.SetConnected(t.Context(), "old", "", true, meta.Now()))
	}); err != nil {
		t.Fatal(err)
	}
	if err := h.fleet.Watch(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.fleet.Run(ctx) }()
	wait.For(t, "the bucket gets both documents", func() bool {
		_, err := h.bus.Desired.Get(t.Context(), "new")
		e, err2 := h.bus.Desired.Get(t.Context(), "old")
		return err == nil && err2 == nil && strings.Contains(string(e.Value()), `"generation":2`)
	})
	h.inBucket("new", 5)
	if h.row("old").Connected {
		t.Error("a device is connected that nobody saw connect")
	}
	nc, err := b.connect()
	if err != nil {
		t.Fatal(err)
	}
	wait.For(t, "the link is up", func() bool { return h.row("new").Connected })
	nc.Close()
	wait.For(t, "the link is down", func() bool { return !h.row("new").Connected })
	events, err := h.db.Read().LinkEvents(t.Context(), "new", 0)
	if err != nil || len(events) != 2 || !events[0].Connected || events[1].Connected {
		t.Errorf("link events = %+v, %v, want up and down", events, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run = %v after a clean stop", err)
	}
}
