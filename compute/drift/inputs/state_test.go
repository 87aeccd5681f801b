package inputs

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/state"
)

// TestResume holds that a watcher and its reference, saved at any row, go on bit for bit, and that damaged bytes are refused without a panic and without a change.
func TestResume(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 0))
	rows := gaussian(rng, 4000, 3)
	for _, row := range rows[2500:] {
		row[1]++
	}
	ref := reference(t, rows[:1000], Options{Window: 60, Every: 20, Functions: 8, Bins: 8})
	var saved state.Writer
	ref.Save(&saved)
	r := &state.Reader{B: saved.B}
	again := LoadReference(r)
	if r.Err() != nil || len(r.B) != 0 {
		t.Fatalf("the reference does not load: %v", r.Err())
	}
	bytesOf := func(w *Watcher) []byte {
		var s state.Writer
		w.Save(&s)
		return s.B
	}
	w := NewWatcher(ref)
	resumed := NewWatcher(again)
	reports := 0
	for i, row := range rows[1000:] {
		snapshot := bytesOf(w)
		fresh := NewWatcher(again)
		r := &state.Reader{B: snapshot}
		if fresh.Load(r); r.Err() != nil || len(r.B) != 0 {
			t.Fatalf("row %d: %v", i, r.Err())
		}
		if i%50 == 0 {
			resumed = fresh
		}
		a, b := w.Push(row), resumed.Push(row)
		if (a == nil) != (b == nil) || a != nil && (a.Row != b.Row || a.Drift != b.Drift || a.Joint != b.Joint || !slices.Equal(a.Features, b.Features)) {
			t.Fatalf("row %d: %+v, resumed %+v", i, a, b)
		}
		if a != nil {
			reports++
		}
		if !bytes.Equal(bytesOf(w), bytesOf(resumed)) {
			t.Fatalf("row %d: the states differ", i)
		}
	}
	if reports == 0 {
		t.Error("no report to compare")
	}
	good, whole := bytesOf(w), saved.B
	for i := range len(good) + 2000 {
		bad := slices.Clone(good)
		if i < len(good) {
			bad = bad[:i]
		} else {
			bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
		}
		fresh := NewWatcher(ref)
		before := bytesOf(fresh)
		r := &state.Reader{B: bad}
		fresh.Load(r)
		if i < len(good) && r.Err() == nil {
			t.Fatalf("%d of %d bytes load", i, len(good))
		}
		if r.Err() != nil && !bytes.Equal(bytesOf(fresh), before) {
			t.Fatalf("damage %d changes the watcher", i)
		}
		first(fresh, rows[:100])
	}
	for i := range len(whole) + 4000 {
		bad := slices.Clone(whole)
		if i < len(whole) {
			bad = bad[:i]
		} else {
			bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
		}
		r := &state.Reader{B: bad}
		loaded := LoadReference(r)
		if (loaded == nil) != (r.Err() != nil) || i < len(whole) && loaded != nil {
			t.Fatalf("damage %d: a reference %v with the error %v", i, loaded != nil, r.Err())
		}
		if loaded != nil && loaded.NumFeatures() == 3 && loaded.Options().Window < 1000 {
			first(NewWatcher(loaded), rows[:200])
		}
	}
}
