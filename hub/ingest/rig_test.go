package ingest_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/configs"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/ingest"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// rig is an ingester over a database in which dev-1 and dev-2 are enrolled.
type rig struct {
	db      *meta.Store
	in      *ingest.Ingester
	metrics *prometheus.Registry
}

// newRig opens an ingester that does not run yet.
func newRig(t *testing.T, d metatest.DB, opts configs.HubIngest) *rig {
	t.Helper()
	r := &rig{db: d.Open(t), metrics: prometheus.NewRegistry()}
	r.tx(t, func(q *meta.Queries) error {
		for _, name := range []string{"dev-1", "dev-2"} {
			if err := q.InsertDevice(t.Context(), meta.Device{Name: name, Site: "north", PublicKey: "key of " + name}); err != nil {
				return err
			}
		}
		return nil
	})
	r.in = ingest.New(r.db, ingest.Options{HubIngest: opts, Registerer: r.metrics})
	return r
}

func (r *rig) tx(t *testing.T, fn func(q *meta.Queries) error) {
	t.Helper()
	if err := r.db.Tx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// reports lets a device report that it runs tasks.
func (r *rig) reports(t *testing.T, device string, names ...string) {
	t.Helper()
	st := spec.Reported{Device: device, Tasks: map[string]spec.ReportedTask{}}
	for _, n := range names {
		st.Tasks[n] = spec.ReportedTask{Kind: "forecast", Spec: "name: " + n, SpecHash: "aa"}
	}
	if err := errors.Join(r.in.States(t.Context(), []ingest.State{state(t, device, st)})...); err != nil {
		t.Fatal(err)
	}
}

// run runs the ingester until the test ends.
func (r *rig) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.in.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// offer queues a message of a device; its receipt comes on the channel.
func (r *rig) offer(device string, lane ingest.Lane, message []byte) <-chan wire.Receipt {
	receipt := make(chan wire.Receipt, 1)
	r.in.Offer(ingest.Message{
		Site:   "north",
		Device: device,
		Lane:   lane,
		Data:   message,
		Reply:  func(got wire.Receipt) { receipt <- got },
	})
	return receipt
}

// stored sends a message that must be stored whole.
func (r *rig) stored(t *testing.T, device string, lane ingest.Lane, message []byte) {
	t.Helper()
	if got := <-r.offer(device, lane, message); !got.Applied {
		t.Fatalf("receipt of %s on lane %s = %+v, want applied", device, lane, got)
	}
}

// chunk encodes records of a run of a device.
func chunk(t *testing.T, device string, run wire.Run, class wire.Class, first uint64, records wire.Records) []byte {
	t.Helper()
	b, err := wire.Encode(wire.Header{Device: device, Run: run, Class: class, First: first}, &records)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readings encodes n readings of a device from a sequence number on.
func readings(t *testing.T, device string, run wire.Run, first uint64, n int) []byte {
	t.Helper()
	var records wire.Records
	for i := range n {
		records.Readings = append(records.Readings, wire.Reading{Series: "s", Time: int64(first) + int64(i), Value: 1})
	}
	return chunk(t, device, run, wire.ClassReading, first, records)
}

// feed reads the events of a kind, "" for all.
func (r *rig) feed(t *testing.T, kind string) []feed.Event {
	t.Helper()
	events, err := feed.Read(t.Context(), r.db.Read(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(events, func(e feed.Event) bool { return kind != "" && e.Kind != kind })
}

// value reads a counter or gauge by its name and the value of its label, "" for one without.
func (r *rig) value(t *testing.T, name, label string) float64 {
	t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label != "" && (len(m.GetLabel()) != 1 || m.GetLabel()[0].GetValue() != label) {
				continue
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return 0
}
