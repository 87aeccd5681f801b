package inputs

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/state"
)

// TestResume holds that a watcher and its reference, saved at any row, go on bit for bit, and
// that damaged bytes are refused without a panic and without a change.
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

// TestReferenceOfAnyColumn saves and loads references of columns that do not vary, or hardly, and
// finds in them what is none of theirs.
func TestReferenceOfAnyColumn(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 0))
	for name, column := range map[string]func(i int) float64{
		"constant": func(int) float64 { return 0 }, "missing": func(int) float64 { return math.NaN() }, "two classes": func(i int) float64 { return float64(i % 2) },
		"tiny": func(int) float64 { return 1e-320 }, "mostly one": func(i int) float64 { return float64(max(i%40-30, 0)) }, "ascending": func(i int) float64 { return float64(i) },
	} {
		var rows [][]float64
		for i := range 600 {
			rows = append(rows, []float64{rng.NormFloat64(), column(i)})
		}
		ref := reference(t, rows, Options{})
		var saved state.Writer
		ref.Save(&saved)
		r := &state.Reader{B: saved.B}
		again := LoadReference(r)
		if again == nil || r.Err() != nil || len(r.B) != 0 {
			t.Errorf("%s: the reference does not load: %v", name, r.Err())
			continue
		}
		w, found := NewWatcher(again), false
		for range 400 {
			if rep := w.Push([]float64{rng.NormFloat64(), -7}); rep != nil && rep.Drift {
				found = found || rep.Features[0].Index == 1
			}
		}
		if !found {
			t.Errorf("%s: a column of -7 is not reported", name)
		}
	}
}
