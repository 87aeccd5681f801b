package main

import (
	"math"
	"testing"
	"time"

	"skerry.dev/sync/wire"
)

// TestDeviceReleases holds that a chunk counts once, when the ledger has all of it.
func TestDeviceReleases(t *testing.T) {
	f := newFleet(config{Devices: 1, Records: 10, Window: 1, Pack: 3})
	d := f.devices[0]
	for range 4 {
		d.add(time.Now().Add(-time.Second))
	}
	d.maxChunks = 2
	if chunks, _ := d.next(); len(chunks) != 2 || chunks[0].first != 1 || chunks[1].last != 20 {
		t.Fatalf("a message for a hub that takes two has %d chunks", len(chunks))
	}
	d.applied(wire.Applied{Sets: []wire.AppliedSet{{Run: d.id, Class: wire.ClassReading, Mark: 15, Ranges: []wire.Range{{From: 21, To: 30}}}}})
	if n, left := f.released.Load(), d.waiting(); n != 20 || left != 2 {
		t.Errorf("%d readings released with %d chunks left, want 20 with 2", n, left)
	}
	d.release(1, 40)
	d.release(1, 40)
	if n := f.released.Load(); n != 40 || d.made != 40 {
		t.Errorf("%d of %d readings released, want all once", n, d.made)
	}
	if p50 := f.lags.quantile(0.5); p50 < 1000 || p50 > 60_000 {
		t.Errorf("median lag %v ms of chunks that are a second old", p50)
	}
	if f.lags.reset(); !math.IsNaN(f.lags.quantile(0.5)) {
		t.Error("a lag of nothing")
	}
}
