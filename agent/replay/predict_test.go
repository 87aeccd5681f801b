package replay

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
	"skerry.dev/compute/tabular"
)

// sums predicts a + 10 b of a row, or the probability of "yes" by it.
func sums(t *testing.T, kind string) *artifact.Artifact {
	t.Helper()
	in := []feature.Input{{Name: "a", Unit: "kg"}, {Name: "b"}}
	zero := 0.0
	cols := []feature.Column{{Name: "a", Op: feature.OpValue, Series: 0, Impute: &zero}, {Name: "b", Op: feature.OpValue, Series: 1, Impute: &zero}}
	link, out := ensemble.Identity, artifact.Output{Series: "y", Input: -1}
	if kind == artifact.KindClassification {
		link, out.Classes = ensemble.Logistic, []string{"no", "yes"}
	}
	m, err := linear.New(len(cols), link, []float64{0}, []float64{1, 10})
	if err != nil {
		t.Fatal(err)
	}
	a := &artifact.Artifact{
		Manifest:  artifact.Manifest{Task: "sums", Kind: kind, Inputs: in, Output: out, Learner: "linear"},
		Pipeline:  &feature.Pipeline{Inputs: in, Tolerance: 1800e6, Rows: 4, Columns: cols},
		Models:    map[artifact.Role]artifact.Predictor{artifact.Point: m},
		Reference: []artifact.Reference{{Quantiles: []float64{0, 1}}, {Quantiles: []float64{0, 1e9}}},
	}
	if kind != artifact.KindClassification {
		a.Calibration = artifact.Calibration{Level: 0.5, Scores: []float64{1, 2, 3}}
	}
	return a
}

// numbered is a table of n rows that is written as it is read.
type numbered struct {
	i, n int
	rest []byte
}

func (r *numbered) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.i > r.n {
			return 0, io.EOF
		}
		if r.rest = append(r.rest[:0], "a,b\n"...); r.i > 0 {
			r.rest = fmt.Appendf(r.rest[:0], "%d,%d\n", r.i-1, r.i%7)
		}
		r.i++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// TestPredictHoldsNoRows: where no row needs another, a table takes no more memory at its last row
// than the buffers of its reader, whatever its length.
func TestPredictHoldsNoRows(t *testing.T) {
	const rows = 200_000
	inUse := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	began, grown := inUse(), int64(0)
	n, err := Predict(t.Context(), &numbered{n: rows}, sums(t, artifact.KindRegression), PredictOptions{Name: "f"}, func(i, n int, p *Prediction) error {
		if want := float64(i) + 10*float64((i+1)%7); p.Row != i || n != 0 || p.Value != want || p.Lower != want-2 || p.Upper != want+2 {
			return fmt.Errorf("row %d of %d is %+v, want %v", i, n, *p, want)
		}
		if i == rows-1 {
			grown = inUse() - began
		}
		return nil
	})
	if err != nil || n != rows {
		t.Fatalf("Predict = %d, %v", n, err)
	}
	t.Logf("%d bytes more in use behind %d rows", grown, rows)
	if grown > 4<<20 { // the values and predictions of all are 7 MiB at least
		t.Errorf("%d bytes more are in use behind %d rows", grown, rows)
	}
}

// TestPredictAtOnceAsHeld: a row that needs no other is predicted as if all were held, whatever it
// lacks.
func TestPredictAtOnceAsHeld(t *testing.T) {
	text := "when,a,b\n3,1,2\n1,,5\n2,x,0.25\n,7,-3\n2,1e300,\n"
	for _, kind := range []string{artifact.KindRegression, artifact.KindClassification} {
		run := func(isHeld bool) (out, notes []string) {
			o := PredictOptions{Name: "f", Time: "when", Format: "unix", Table: tabular.Options{Note: func(s string) { notes = append(notes, s) }}}
			p, err := newPredictTable(sums(t, kind), &o)
			if err != nil {
				t.Fatal(err)
			}
			predict := p.predictAtOnce
			if isHeld {
				predict = p.predictHeld
			}
			n, err := predict(t.Context(), strings.NewReader(text), func(i, _ int, q *Prediction) error {
				out = append(out, fmt.Sprint(i, *q))
				return nil
			})
			if err != nil || n != 5 || len(out) != 5 {
				t.Fatalf("%d rows, %v, %q", n, err, out)
			}
			return slices.Delete(out, 3, 4), notes // without a time, a row that is held has no prediction
		}
		got, gotNotes := run(false)
		want, wantNotes := run(true)
		if !slices.Equal(got, want) || !slices.Equal(gotNotes, wantNotes) || len(gotNotes) == 0 {
			t.Errorf("%s at once: %q, notes %q\nheld: %q, notes %q", kind, got, gotNotes, want, wantNotes)
		}
	}
}

// TestPredictAtOnceSays: what shows at the end of a table is said when its rows have been handed
// over.
func TestPredictAtOnceSays(t *testing.T) {
	a := sums(t, artifact.KindRegression)
	var notes []string
	o := PredictOptions{Name: "f", Table: tabular.Options{Note: func(s string) { notes = append(notes, s) }}}
	seen := 0
	count := func(_, _ int, _ *Prediction) error { seen++; return nil }
	if n, err := Predict(t.Context(), strings.NewReader("a,c\n500,1\n0.5,1\n-700,1\n"), a, o, count); n != 3 || err != nil || len(notes) != 2 ||
		!strings.Contains(notes[1], `column "a": 2 of 3 values are more than 100 times as large as any that the model has learned from (0 to 1), the first is 500`) {
		t.Errorf("Predict = %d, %v, notes %q", n, err, notes)
	}
	full := errors.New("disk full")
	for text, want := range map[string]struct {
		words string
		seen  int
	}{
		"a,b\n":                               {"read rows f: there is no row", 0},
		"a,b\n1 g,2\n":                        {"numbers with the unit g, the model has learned from numbers with kg", 1},
		"a,b\n1,2\n3,4,5":                     {"wrong number of fields", 1},
		"c,d\n1,2\n":                          {"none of the columns is an input", 0},
		"a,b\n1,2\n77,1\n":                    {"disk full", 2},
		"a,b\n" + strings.Repeat("x,1\n", 30): {"30 of 30 cells are none", 30},
	} {
		seen = 0
		if _, err := Predict(t.Context(), strings.NewReader(text), a, o, func(_, _ int, p *Prediction) error {
			if seen++; p.Value == 87 {
				return full
			}
			return nil
		}); err == nil || !strings.Contains(err.Error(), want.words) || seen != want.seen {
			t.Errorf("Predict(%.20q) = %v behind %d rows, want %q behind %d", text, err, seen, want.words, want.seen)
		}
	}
}

// TestPredictIsBounded: a table whose rows have to be held is refused when they are too many.
func TestPredictIsBounded(t *testing.T) {
	o := PredictOptions{Name: "f", Format: "unix"}
	p, err := newPredictTable(rising(t, 1), &o)
	if err != nil {
		t.Fatal(err)
	}
	// two inputs, a time and three results of 8 bytes, and a place of 4
	if want := heldBytes / 52; p.most != want {
		t.Errorf("at most %d rows, want %d", p.most, want)
	}
	p.most = 3
	text := "time,y,x\n3,1,1\n2,2,1\n1,3,1\n"
	if n, err := p.predictHeld(t.Context(), strings.NewReader(text), func(_, _ int, _ *Prediction) error { return nil }); n != 3 || err != nil {
		t.Errorf("predict 3 rows = %d, %v", n, err)
	}
	if p, err = newPredictTable(rising(t, 1), &o); err != nil {
		t.Fatal(err)
	}
	p.most = 3
	const want = "more than 3 rows: the artifact looks back in time"
	if _, err := p.predictHeld(t.Context(), strings.NewReader(text+"4,4,1\n"), nil); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "the 3 rows before it") {
		t.Errorf("predict 4 rows = %v, want %q", err, want)
	}
}

// TestHeld: rows come back as they were added, over many blocks.
func TestHeld(t *testing.T) {
	for _, width := range []int{1, 3, blockValues, blockValues + 1} {
		h := held[float64]{width: width}
		n := 3*blockValues/width + 2
		row := make([]float64, width)
		for i := range n {
			row[0], row[width-1] = float64(i), float64(i)
			h.add(row...)
		}
		for i := range n {
			if got := h.row(i); len(got) != width || got[0] != float64(i) || got[width-1] != float64(i) {
				t.Fatalf("row %d of %d values begins with %v and ends with %v", i, len(got), got[0], got[len(got)-1])
			}
		}
		if h.row(n - 1)[0] = math.Inf(1); h.row(n - 2)[0] != float64(n-2) || !math.IsInf(h.row(n - 1)[0], 1) {
			t.Error("a changed row is another")
		}
	}
}
