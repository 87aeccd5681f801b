package fitting

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"testing"

	"skerry.dev/compute/feature"
)

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-12*max(1, math.Abs(want)) }

// TestScikitLearn holds scalings and encodings to those of scikit-learn, made by testdata/peers.py.
func TestScikitLearn(t *testing.T) {
	b, err := os.ReadFile("testdata/peers.json")
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		X, Codes, Y, Quantiles, Encodings []float64
		Center, Scale, Mean               float64
	}
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	center, scale, err := Robust(p.X)
	if err != nil || !near(center, p.Center) || !near(scale, p.Scale) {
		t.Errorf("Robust = %v, %v (%v), want %v, %v", center, scale, err, p.Center, p.Scale)
	}
	q, err := Quantiles("q", 0, p.X, 16)
	if err != nil || len(q.Table) != len(p.Quantiles) {
		t.Fatalf("Quantiles: %v, %d points", err, len(q.Table))
	}
	for k, want := range p.Quantiles {
		if !near(q.Table[k], want) {
			t.Errorf("quantile %d = %v, want %v", k, q.Table[k], want)
		}
	}
	c, _, err := Target("t", 0, 6, p.Codes, p.Y, TargetOptions{Smoothing: 7})
	if err != nil || len(c.Table) != len(p.Encodings) || !near(c.Default, p.Mean) {
		t.Fatalf("Target: %v, %d categories, mean %v, want %v", err, len(c.Table), c.Default, p.Mean)
	}
	for k, want := range p.Encodings {
		if !near(c.Table[k], want) {
			t.Errorf("encoding of %d = %v, want %v", k, c.Table[k], want)
		}
	}
}

func TestRobustEdges(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, tt := range []struct {
		v             []float64
		center, scale float64
	}{
		{[]float64{3, nan, 3, inf, 3}, 3, 1}, {[]float64{1, 1, 1, 1, 1, 1, 1, 1, 9}, 1, 8}, {[]float64{-math.MaxFloat64, -math.MaxFloat64, math.MaxFloat64, math.MaxFloat64}, 0, math.MaxFloat64}, {[]float64{4}, 4, 1},
	} {
		if c, s, err := Robust(tt.v); err != nil || c != tt.center || s != tt.scale {
			t.Errorf("Robust(%v) = %v, %v (%v), want %v, %v", tt.v, c, s, err, tt.center, tt.scale)
		}
	}
	if _, _, err := Robust([]float64{nan, inf}); err == nil {
		t.Error("Robust of nothing present is no error")
	}
}

// TestTargetIsLeakFree teaches categories of about two rows each a target of pure chance.
// Encodings by the table betray it; those of the training rows do not, and not one bit of a row's
// encoding changes with its own target.
func TestTargetIsLeakFree(t *testing.T) {
	const n, levels = 3000, 1500
	rng := rand.New(rand.NewPCG(1, 2))
	codes, y := make([]float64, n), make([]float64, n)
	for i := range codes {
		codes[i], y[i] = float64(rng.IntN(levels)), rng.Float64()
	}
	for _, blocks := range []bool{false, true} {
		o := TargetOptions{Smoothing: 0.1, Seed: 3, Blocks: blocks}
		c, train, err := Target("t", 0, levels, codes, y, o)
		if err != nil {
			t.Fatal(err)
		}
		table := make([]float64, n)
		for i, v := range codes {
			table[i] = c.Table[int(v)]
		}
		if leak := correlation(table, y); leak < 0.5 {
			t.Errorf("correlation by the table %v: the test has no leak to avoid", leak)
		}
		if leak := correlation(train, y); math.Abs(leak) > 0.06 { // 3 standard deviations of chance
			t.Errorf("blocks %v: encodings of the training rows have correlation %v with targets of chance", blocks, leak)
		}
		for i := 0; i < n; i += 97 {
			was := y[i]
			y[i] = 1e6 * rng.Float64()
			_, again, err := Target("t", 0, levels, codes, y, o)
			if err != nil {
				t.Fatal(err)
			}
			if again[i] != train[i] {
				t.Fatalf("the encoding of row %d changes from %v to %v with its own target", i, train[i], again[i])
			}
			if slices.Equal(again, train) {
				t.Fatalf("no encoding changes with the target of row %d", i)
			}
			y[i] = was
		}
	}
}

func correlation(a, b []float64) float64 {
	a, b = slices.Clone(a), slices.Clone(b)
	normalise(a)
	normalise(b)
	return dot(a, b) / math.Sqrt(dot(a, a)*dot(b, b))
}

// TestTables computes fitted tables on a device's side: known, unknown and missing categories.
func TestTables(t *testing.T) {
	nan := math.NaN()
	codes := []float64{0, 0, 1, 0, nan, 1, 0, 7, 0.5, 0}
	freq, err := Frequency("f", 0, 3, codes)
	if err != nil {
		t.Fatal(err)
	}
	target, train, err := Target("t", 0, 3, codes, []float64{1, 1, 0, 1, 1, nan, 1, 0, 1, 1}, TargetOptions{Folds: 3, Smoothing: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range train {
		if !finite(v) {
			t.Errorf("row %d has encoding %v", i, v)
		}
	}
	p := &feature.Pipeline{Inputs: []feature.Input{{Name: "c"}}, Columns: []feature.Column{freq, target}, Rows: 1}
	e, err := feature.NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	h, dst := feature.NewHistory(1, 1), make([]float64, 2)
	mean := 7 / 9.0
	for _, tt := range []struct{ code, freq, target float64 }{{0, 5 / 7.0, (5 + mean) / 6}, {1, 2 / 7.0, mean / 2}, {2, 0, mean}, {3, 0, mean}, {nan, nan, mean}} {
		h.Push(0, []float64{tt.code})
		if err := e.Into(dst, h); err != nil {
			t.Fatal(err)
		}
		if !near(dst[0], tt.freq) && !math.IsNaN(tt.freq) || !near(dst[1], tt.target) {
			t.Errorf("code %v = %v, want %v and %v", tt.code, dst, tt.freq, tt.target)
		}
	}
}

// TestCrosses finds the products in a target among columns of chance, and nothing in a target
// that is linear.
func TestCrosses(t *testing.T) {
	const n, width = 4000, 8
	rng := rand.New(rand.NewPCG(4, 4))
	p := &feature.Pipeline{Inputs: make([]feature.Input, width), Rows: 1}
	for j := range width {
		p.Columns = append(p.Columns, feature.Column{Name: string(rune('a' + j)), Op: feature.OpValue, Series: j})
	}
	x, y, linear := make([]float64, n*width), make([]float64, n), make([]float64, n)
	for i := range n {
		row := x[i*width:][:width]
		for j := range row {
			// not centred, so that products correlate with their factors
			row[j] = rng.Float64()*4 + float64(j)
		}
		row[6] = 5 // constant
		if i%5 == 0 {
			row[7] = math.NaN()
		}
		linear[i] = 3*row[0] - 2*row[1] + row[2] + rng.Float64()
		y[i] = linear[i] + 3*row[1]*row[4] + row[3]*row[3]
	}
	got, err := Crosses(p, x, y, CrossOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < 2 || got[0].Name != "b*e" || got[1].Name != "d*d" || got[0].Of != 1 || got[0].By != 4 {
		t.Errorf("products %+v, want b*e and d*d first", got)
	}
	if more, err := Crosses(p, x, linear, CrossOptions{Least: 0.08}); err != nil || len(more) != 0 {
		t.Errorf("products %+v (%v) of a linear target, want none", more, err)
	}
	p.Columns = append(p.Columns, got...)
	if err := p.Check(); err != nil {
		t.Error(err)
	}
}

// TestPartial finds a product behind a linear part that is a hundred times as large.
func TestPartial(t *testing.T) {
	const n = 500
	rng := rand.New(rand.NewPCG(9, 9))
	s := screen{x: make([]float64, 2*n), y: make([]float64, n), width: 2}
	for i := range n {
		u, v := rng.Float64(), rng.Float64()
		s.x[2*i], s.x[2*i+1], s.y[i] = u, v, 100*u-100*v+u*v+rng.Float64()/1000
		s.rows = append(s.rows, i)
	}
	if got := s.partial(0, 1); !(got > 0.99 && got <= 1+1e-9) {
		t.Errorf("partial correlation of the product = %v, want nearly 1", got)
	}
	if got := s.partial(1, 1); got > 0.2 {
		t.Errorf("partial correlation of a square that is not there = %v, want little", got)
	}
}

func TestRefuses(t *testing.T) {
	two := []float64{0, 1}
	p := &feature.Pipeline{Columns: make([]feature.Column, 1)}
	for name, f := range map[string]func() error{
		"1 point":   func() error { _, err := Quantiles("", 0, two, 1); return err },
		"33 points": func() error { _, err := Quantiles("", 0, two, 33); return err },
		"no values": func() error { _, err := Quantiles("", 0, nil, 5); return err },
		"no levels": func() error { _, err := Frequency("", 0, 0, two); return err },
		"no codes":  func() error { _, err := Frequency("", 0, 2, []float64{9}); return err },
		"many levels": func() error {
			_, _, err := Target("", 0, feature.MaxTable+1, two, two, TargetOptions{Folds: 2})
			return err
		},
		"lengths":      func() error { _, _, err := Target("", 0, 2, two, two[:1], TargetOptions{Folds: 2}); return err },
		"too few rows": func() error { _, _, err := Target("", 0, 2, two, two, TargetOptions{}); return err },
		"one fold":     func() error { _, _, err := Target("", 0, 2, two, two, TargetOptions{Folds: 1}); return err },
		"smoothing": func() error {
			_, _, err := Target("", 0, 2, two, two, TargetOptions{Folds: 2, Smoothing: -1})
			return err
		},
		"no targets": func() error {
			_, _, err := Target("", 0, 2, two, []float64{math.NaN(), math.NaN()}, TargetOptions{Folds: 2})
			return err
		},
		"one target": func() error {
			_, _, err := Target("", 0, 2, two, []float64{1, math.NaN()}, TargetOptions{Folds: 2})
			return err
		},
		"huge targets": func() error {
			_, _, err := Target("", 0, 2, []float64{0, 0, 0}, []float64{1e308, 1e308, 1e308}, TargetOptions{Folds: 2})
			return err
		},
		"shape":          func() error { _, err := Crosses(p, two, two[:1], CrossOptions{}); return err },
		"no products":    func() error { _, err := Crosses(p, two, two, CrossOptions{Most: -1}); return err },
		"correlation":    func() error { _, err := Crosses(p, two, two, CrossOptions{Least: 1}); return err },
		"rows to screen": func() error { _, err := Crosses(p, two, two, CrossOptions{Rows: 9}); return err },
	} {
		if f() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestSeedDecides holds the deal of the rows to the seed, and to nothing else.
func TestSeedDecides(t *testing.T) {
	codes, y := make([]float64, 200), make([]float64, 200)
	rng := rand.New(rand.NewPCG(6, 6))
	for i := range y {
		codes[i], y[i] = float64(rng.IntN(4)), rng.Float64()
	}
	fit := func(seed uint64) []float64 {
		_, train, err := Target("", 0, 4, codes, y, TargetOptions{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return train
	}
	if a, b, c := fit(1), fit(1), fit(2); !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, c) {
		t.Error("the same seed deals otherwise, or another one the same")
	}
}
