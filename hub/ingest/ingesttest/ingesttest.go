// Package ingesttest is the contract of a source of telemetry: whatever brings messages of devices
// to an ingester must pass it, on both databases.
package ingesttest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"skerry.dev/configs"
	"skerry.dev/hub/ingest"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/sync/wire"
)

// Source sends one message as a device does and returns the receipt; ctx bounds the wait for it.
type Source func(ctx context.Context, device string, lane ingest.Lane, message []byte) (wire.Receipt, error)

// Site is where the devices of the suite are.
const Site = "north"

// Devices are the names of the devices of the suite.
var Devices = []string{"dev-1", "dev-2"}

// Rig is an ingester over a database of its own, and a source that feeds it.
type Rig struct {
	DB   *meta.Store
	In   *ingest.Ingester
	send Source
	stop func()
}

// Run runs the suite. open connects a source to an ingester; what it opens it closes at the test's
// end. Devices are known to the database.
func Run(t *testing.T, open func(t *testing.T, db *meta.Store, in *ingest.Ingester) Source) {
	suite := func(t *testing.T, database func(testing.TB) metatest.DB) {
		for name, test := range map[string]func(*testing.T, *Rig){
			"StoredBeforeReceipt": storedBeforeReceipt,
			"Repeats":             repeats,
			"Packs":               packs,
			"Forged":              forged,
			"WrongLane":           wrongLane,
			"Hostile":             hostile,
			"Dense":               dense,
			"Concurrent":          concurrent,
			"Full":                full,
			"Stopped":             stopped,
		} {
			t.Run(name, func(t *testing.T) { test(t, newRig(t, database(t), open)) })
		}
	}
	t.Run("sqlite", func(t *testing.T) { suite(t, metatest.SQLite) })
	t.Run("postgres", func(t *testing.T) { suite(t, metatest.Postgres) })
}

func newRig(t *testing.T, d metatest.DB, open func(*testing.T, *meta.Store, *ingest.Ingester) Source) *Rig {
	t.Helper()
	r := &Rig{DB: d.Open(t)}
	if err := r.DB.Tx(t.Context(), func(q *meta.Queries) error {
		for _, name := range Devices {
			if err := q.InsertDevice(t.Context(), meta.Device{
				Name:      name,
				Site:      Site,
				PublicKey: "key of " + name,
			}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r.In = ingest.New(r.DB, ingest.Options{HubIngest: configs.HubIngest{Queue: 64 << 10}})
	r.send = open(t, r.DB, r.In)
	r.start(t)
	return r
}

// start runs the ingester until stop or the test's end.
func (r *Rig) start(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.In.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(r.stop)
}

var run = wire.Run{7}

// Chunk encodes n readings of a device from a sequence number on.
func Chunk(t testing.TB, device string, first uint64, n int, value float64) []byte {
	t.Helper()
	r := &wire.Records{}
	for i := range n {
		r.Readings = append(r.Readings, wire.Reading{
			Series: "s",
			Time:   int64(first) + int64(i),
			Value:  value,
		})
	}
	return encode(t, device, wire.ClassReading, first, r)
}

func encode(t testing.TB, device string, c wire.Class, first uint64, r *wire.Records) []byte {
	t.Helper()
	b, err := wire.Encode(wire.Header{Device: device, Run: run, Class: c, First: first}, r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// must sends a message that must be answered, again as often as it is sent back.
func (r *Rig) must(t *testing.T, device string, lane ingest.Lane, message []byte) wire.Receipt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		receipt, err := r.send(ctx, device, lane, message)
		if err != nil {
			t.Fatalf("send %d bytes of %s: %v", len(message), device, err)
		}
		if receipt.RetryMS == 0 || receipt.Applied {
			return receipt
		}
		select {
		case <-ctx.Done():
			return receipt
		case <-time.After(time.Duration(receipt.RetryMS) * time.Millisecond):
		}
	}
}

// mark returns up to which number the ledger has the readings of a device.
func (r *Rig) mark(t *testing.T, device string) uint64 {
	t.Helper()
	a, err := r.In.Applied(t.Context(), device, run)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range a.Sets {
		if s.Class == wire.ClassReading {
			return s.Mark
		}
	}
	return 0
}

// staged returns how many chunks of readings of a device wait for the lake.
func (r *Rig) staged(t *testing.T, device string) int {
	t.Helper()
	rows, err := r.DB.Read().DeviceStaged(t.Context(), device, int64(wire.ClassReading))
	if err != nil {
		t.Fatal(err)
	}
	return len(rows)
}

func storedBeforeReceipt(t *testing.T, r *Rig) {
	for i := range 5 {
		first := uint64(1 + 10*i)
		if got := r.must(t, "dev-1", ingest.Live, Chunk(t, "dev-1", first, 10, 1)); !got.Applied {
			t.Fatalf("receipt %d = %+v, want applied", i, got)
		}
		if m := r.mark(t, "dev-1"); m != first+9 {
			t.Fatalf("the receipt is here and the ledger ends at %d, want %d", m, first+9)
		}
	}
	if n := r.staged(t, "dev-1"); n != 5 {
		t.Errorf("%d chunks staged, want 5", n)
	}
}

func repeats(t *testing.T, r *Rig) {
	c := Chunk(t, "dev-1", 1, 10, 1)
	for _, lane := range []ingest.Lane{ingest.Live, ingest.Backfill, ingest.Live} {
		if got := r.must(t, "dev-1", lane, c); !got.Applied {
			t.Errorf("receipt of a repeat = %+v, want applied", got)
		}
	}
	// the same numbers with other contents: kept aside, and released because the numbers are stored
	if got := r.must(t, "dev-1", ingest.Live, Chunk(t, "dev-1", 1, 10, 2)); !got.Applied {
		t.Errorf("receipt of a covered conflict = %+v, want applied", got)
	}
	// numbers that are stored in part: the rest is not in the ledger
	if got := r.must(t, "dev-1", ingest.Live, Chunk(t, "dev-1", 5, 10, 2)); got.Applied || len(got.Refused) != 1 {
		t.Errorf("receipt of a conflict in part = %+v, want it refused", got)
	}
	if n := r.staged(t, "dev-1"); n != 1 {
		t.Errorf("%d chunks staged, want 1", n)
	}
	conflicts, err := r.DB.Read().Conflicts(t.Context(), "dev-1", 0)
	if err != nil || len(conflicts) != 2 {
		t.Errorf("%d conflicts kept, %v; want 2", len(conflicts), err)
	}
}

func packs(t *testing.T, r *Rig) {
	var chunks [][]byte
	for i := range 6 {
		chunks = append(chunks, Chunk(t, "dev-1", uint64(1+10*i), 10, 1))
	}
	message := wire.Pack([][]byte{chunks[0], chunks[1], []byte("damaged"), chunks[2], chunks[0], chunks[3]})
	got := r.must(t, "dev-1", ingest.Backfill, message)
	if got.Applied || len(got.Refused) != 1 || got.Refused[0].Index != 2 || got.Refused[0].Reason == "" {
		t.Errorf("receipt = %+v, want chunk 2 refused with a reason", got)
	}
	if m := r.mark(t, "dev-1"); m != 40 {
		t.Errorf("the ledger ends at %d, want 40: one bad chunk must not hold the others", m)
	}
	if got := r.must(t, "dev-1", ingest.Backfill, wire.Pack(chunks)); !got.Applied {
		t.Errorf("receipt of old and new chunks = %+v, want applied", got)
	}
	if m, n := r.mark(t, "dev-1"), r.staged(t, "dev-1"); m != 60 || n != 6 {
		t.Errorf("the ledger ends at %d with %d chunks, want 60 with 6", m, n)
	}
	cut := wire.Pack(chunks)
	if got := r.must(t, "dev-1", ingest.Backfill, cut[:len(cut)-3]); len(got.Refused) != 1 {
		t.Errorf("receipt of a cut pack = %+v, want it refused", got)
	}
}

func forged(t *testing.T, r *Rig) {
	got := r.must(t, "dev-1", ingest.Live, Chunk(t, "dev-2", 1, 10, 1))
	if len(got.Refused) != 1 || !strings.Contains(got.Refused[0].Reason, "dev-2") {
		t.Errorf("receipt of another device's chunk = %+v, want it refused by name", got)
	}
	if m := r.mark(t, "dev-2"); m != 0 {
		t.Errorf("dev-1 wrote %d readings into the ledger of dev-2", m)
	}
}

func wrongLane(t *testing.T, r *Rig) {
	event := encode(t, "dev-1", wire.ClassEvent, 1, &wire.Records{Events: []wire.Event{{Kind: "note", Detail: "{}"}}})
	if got := r.must(t, "dev-1", ingest.Live, event); len(got.Refused) != 1 {
		t.Errorf("receipt of an event among telemetry = %+v, want it refused", got)
	}
	if got := r.must(t, "dev-1", ingest.Events, event); !got.Applied {
		t.Errorf("receipt of an event on its lane = %+v, want applied", got)
	}
}

// hostile sends texts that a database may not take. They are answered for good, the same on both
// databases and with the place, and hold nobody back.
func hostile(t *testing.T, r *Rig) {
	texts := map[string]bool{ // and whether they can be names
		"a\x00b":                     false,
		strings.Repeat("x", 256):     false,
		strings.Repeat("x", 60_000):  false,
		strings.Repeat("\u20ac", 85): true, // of 255 bytes
		"'; DROP TABLE ledger; --":   true,
		"\u202e\U0010ffff":           true,
	}
	check := func(what string, lane ingest.Lane, chunk []byte, ok bool) {
		t.Helper()
		got := r.must(t, "dev-1", lane, chunk)
		if got.Applied != ok || !ok && (len(got.Refused) != 1 || !strings.Contains(got.Refused[0].Reason, what)) {
			t.Errorf("receipt of a hostile %s = %+v, want applied %v, and a refusal to name the place", what, got, ok)
		}
	}
	first := uint64(0)
	for text, ok := range texts {
		first++
		event := func(e wire.Event) []byte {
			defer func() { first++ }()
			return encode(t, "dev-1", wire.ClassEvent, first, &wire.Records{Events: []wire.Event{e}})
		}
		check("event 0: kind", ingest.Events, event(wire.Event{Kind: text, Detail: text}), ok)
		check("event 0: task", ingest.Events, event(wire.Event{Kind: "note", Task: text}), ok)
		check("event 0: kind", ingest.Events, event(wire.Event{Kind: "note", Detail: text}), true)
		check("event 0: kind", ingest.Events, event(wire.Event{Kind: wire.GapKind, Detail: text}), true)
		label := func(l wire.Label) []byte {
			defer func() { first++ }()
			l.Row = int64(first)
			return encode(t, "dev-1", wire.ClassLabel, first, &wire.Records{Labels: []wire.Label{l}})
		}
		check("label 0: task", ingest.Live, label(wire.Label{Task: text}), ok)
		check("label 0: champion", ingest.Live, label(wire.Label{Task: "t", ChampionID: text}), ok)
		check("host value 0: metric", ingest.Live,
			encode(t, "dev-1", wire.ClassHost, first, &wire.Records{Hosts: []wire.Host{{Metric: text}}}), ok)
		check("prediction 0: model", ingest.Live,
			encode(t, "dev-1", wire.ClassPrediction, first, &wire.Records{Predictions: []wire.Prediction{{Task: "t", Model: text}}}), ok)
		// the second reading is the one that is named
		check("reading 1: series", ingest.Live,
			encode(t, "dev-1", wire.ClassReading, 1000+2*first, &wire.Records{Readings: []wire.Reading{{Series: "s"}, {Series: text}}}), ok)
	}
	gap := func(first uint64, reason string) []byte {
		return encode(t, "dev-1", wire.ClassEvent, first, &wire.Records{Events: []wire.Event{{Kind: wire.GapKind,
			Detail: fmt.Sprintf(`{"run":%q,"class":"reading","from":1,"to":5,"reason":%q,"series":{"s":{"count":5}}}`, run, reason)}}})
	}
	check("event 0: reason", ingest.Events, gap(2000, strings.Repeat("x", 256)), false)
	check("event 0: reason", ingest.Events, gap(2001, "cap"), true)
	if m := r.mark(t, "dev-1"); m != 5 {
		t.Errorf("the ledger ends at %d after a gap of 5", m)
	}
	if got := r.must(t, "dev-2", ingest.Live, Chunk(t, "dev-2", 1, 10, 1)); !got.Applied {
		t.Errorf("receipt of another device afterwards = %+v, want applied", got)
	}
}

// dense packs far more than one transaction should take into a small message: what is too much is
// left out by name, what is stored is released, and sending the rest again ends.
func dense(t *testing.T, r *Rig) {
	var chunks [][]byte
	const n, per = 20, 400
	for i := range n {
		events := make([]wire.Event, per)
		for j := range events {
			events[j] = wire.Event{Kind: "note", Detail: "{}"}
		}
		chunks = append(chunks, encode(t, "dev-1", wire.ClassEvent, uint64(1+i*per), &wire.Records{Events: events}))
	}
	rounds := 0
	for ; len(chunks) > 0; rounds++ {
		got := r.must(t, "dev-1", ingest.Events, wire.Pack(chunks))
		var rest [][]byte
		for _, f := range got.Refused {
			rest = append(rest, chunks[f.Index])
		}
		if got.Applied != (len(rest) == 0) || len(rest) >= len(chunks) {
			t.Fatalf("receipt of %d chunks = applied %v, %d refused: the rest would never end", len(chunks), got.Applied, len(rest))
		}
		chunks = rest
	}
	if rounds < 3 {
		t.Errorf("%d events were stored in %d transactions", n*per, rounds)
	}
	if q, err := r.DB.Read().QuarantinedMessages(t.Context(), 10); err != nil || len(q) != 0 {
		t.Errorf("%d messages are quarantined, %v", len(q), err)
	}
	a, err := r.In.Applied(t.Context(), "dev-1", run)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range a.Sets {
		if s.Class == wire.ClassEvent && s.Mark != n*per {
			t.Errorf("the ledger of events ends at %d, want %d", s.Mark, n*per)
		}
	}
}

func concurrent(t *testing.T, r *Rig) {
	const chunks, senders = 30, 4
	var wg sync.WaitGroup
	for _, device := range Devices {
		for s := range senders {
			wg.Go(func() {
				for i := range chunks {
					// every sender sends everything, in an order of its own
					k := (i*7 + s*11) % chunks
					for {
						ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
						got, err := r.send(ctx, device, ingest.Lane(1+s%2), Chunk(t, device, uint64(1+k), 1, 1))
						cancel()
						if err != nil || got.Applied {
							if err != nil {
								t.Errorf("send: %v", err)
							}
							break
						}
						if got.RetryMS == 0 {
							t.Errorf("receipt = %+v", got)
							break
						}
					}
				}
			})
		}
	}
	wg.Wait()
	for _, device := range Devices {
		if m, n := r.mark(t, device), r.staged(t, device); m != chunks || n != chunks {
			t.Errorf("the ledger of %s ends at %d with %d chunks, want %d of both", device, m, n, chunks)
		}
	}
}

// full fills the queue of an ingester that stands still: what does not fit is sent back at once,
// and one device leaves room for the others.
func full(t *testing.T, r *Rig) {
	r.stop()
	var wg sync.WaitGroup
	back := make(chan wire.Receipt, 64)
	for i := range 32 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if got, err := r.send(ctx, "dev-1", ingest.Live, Chunk(t, "dev-1", uint64(1+i*20), 20, float64(i))); err == nil {
				back <- got
			}
		})
	}
	wg.Wait()
	close(back)
	n := 0
	for got := range back {
		if n++; got.RetryMS == 0 || got.Error == "" {
			t.Errorf("receipt of a full queue = %+v, want a time to come again and why", got)
		}
	}
	if n == 0 || n == 32 {
		t.Fatalf("%d of 32 messages were sent back, want some", n)
	}
	answered := make(chan wire.Receipt, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		got, err := r.send(ctx, "dev-2", ingest.Live, Chunk(t, "dev-2", 1, 1, 1))
		if err != nil {
			got.Error = fmt.Sprint(err)
		}
		answered <- got
	}()
	r.start(t)
	if got := <-answered; !got.Applied {
		t.Errorf("receipt of another device = %+v, want applied: one device filled the queue for all", got)
	}
}

// stopped sends while nobody stores: nothing is promised, and the same message is stored later.
func stopped(t *testing.T, r *Rig) {
	r.stop()
	c := Chunk(t, "dev-1", 1, 10, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	if got, err := r.send(ctx, "dev-1", ingest.Live, c); err == nil && (got.Applied || len(got.Refused) > 0) {
		t.Errorf("receipt of a stopped ingester = %+v", got)
	}
	cancel()
	r.start(t)
	if got := r.must(t, "dev-1", ingest.Live, c); !got.Applied {
		t.Errorf("receipt after the start = %+v, want applied", got)
	}
	if n := r.staged(t, "dev-1"); n != 1 {
		t.Errorf("%d chunks staged, want 1", n)
	}
}
