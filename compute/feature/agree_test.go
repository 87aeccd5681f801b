package feature

import (
	"flag"
	"math"
	"math/rand/v2"
	"testing"
)

var agreeRows = flag.Int("agree-rows", 0, "rows of TestEveryOpAgrees, 50000 unless given")

// TestEveryOpAgrees streams rows with gaps, repeats and late rows through a history of just the
// look-back, as a device does, which is saved and loaded into a new one now and then, and
// computes the same rows afterwards inside a longer one, as the hub does. Every column must have
// the same bits. A million rows take half a minute:
//
//	go test ./compute/feature -run EveryOpAgrees -count 1 -v -agree-rows 1000000
func TestEveryOpAgrees(t *testing.T) {
	rows := *agreeRows
	switch {
	case rows > 0:
	case testing.Short():
		rows = 2000
	default:
		rows = 50_000
	}
	p := full()
	stream, err := NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	const chunk = 1000
	s, rng := newSensors(11), rand.New(rand.NewPCG(5, 5))
	short, long := NewHistory(len(p.Inputs), p.Rows), NewHistory(len(p.Inputs), chunk+MaxLookback)
	streamed, b := make([]float64, chunk*p.Width()), make([]float64, p.Width())
	present := make([]int, p.Width())
	for done := 0; done < rows; done += chunk {
		for k := range chunk {
			at, row := s.next()
			short.Push(at, row)
			long.Push(at, row)
			if err := stream.Into(streamed[k*p.Width():][:p.Width()], short); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(100) == 0 {
				short, stream = reload(t, short, p)
			}
		}
		for k := range chunk {
			if err := batch.IntoAt(b, long, chunk-1-k); err != nil {
				t.Fatal(err)
			}
			for i, v := range streamed[k*p.Width():][:p.Width()] {
				if !same(v, b[i]) {
					t.Fatalf("row %d column %s: %v streaming, %v in batch", done+k, p.Columns[i].Name, v, b[i])
				}
				if !math.IsNaN(v) && v != 0 {
					present[i]++
				}
			}
		}
	}
	for i, n := range present {
		if n == 0 {
			t.Errorf("column %s has never been anything but 0 or missing: nothing was compared", p.Columns[i].Name)
		}
	}
	t.Logf("%d rows of %d columns agree", rows, p.Width())
}

// reload saves a history and returns what a restart would have.
func reload(t *testing.T, h *History, p *Pipeline) (*History, *Evaluator) {
	t.Helper()
	again := NewHistory(h.Width(), p.Rows)
	if rest, err := again.DecodeBinary(h.AppendBinary(nil)); err != nil || len(rest) != 0 {
		t.Fatalf("DecodeBinary: %v, %d bytes left", err, len(rest))
	}
	e, err := NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	return again, e
}

// TestResumeAtEveryRow restarts after each row and holds the next row to an uninterrupted stream.
func TestResumeAtEveryRow(t *testing.T) {
	p := full()
	e, err := NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	s := newSensors(3)
	h := NewHistory(len(p.Inputs), p.Rows)
	a, b := make([]float64, p.Width()), make([]float64, p.Width())
	for k := range 300 {
		at, row := s.next()
		if k > 0 {
			again, fresh := reload(t, h, p)
			again.Push(at, row)
			if err := fresh.Into(b, again); err != nil {
				t.Fatal(err)
			}
		}
		h.Push(at, row)
		if err := e.Into(a, h); err != nil {
			t.Fatal(err)
		}
		for i := range a {
			if k > 0 && !same(a[i], b[i]) {
				t.Fatalf("row %d column %s: %v, %v after a restart", k, p.Columns[i].Name, a[i], b[i])
			}
		}
	}
}
