// Package onlinetest holds what every online learner must do: the same rows give the same bits, a
// saved state goes on as if nothing had happened, rows are left alone, bad rows do no lasting
// harm and memory keeps its budget.
package onlinetest

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/internal/race"
	"skerry.dev/compute/online"
	"skerry.dev/compute/state"
)

// Schema is that of the rows the checks use: numbers, two categories and a constant. Classes is 3
// or 0.
func Schema(classes int) online.Schema {
	return online.Schema{
		Classes: classes,
		Inputs:  []online.Input{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "kind", Categories: 4}, {Name: "yes", Categories: 2}, {Name: "constant"}},
	}
}

// fewer is n, or a tenth of it under the race detector.
func fewer(n int) int {
	if race.Enabled {
		return n / 10
	}
	return n
}

// rows draws n rows, whose target depends on numbers and categories and changes halfway; one
// value in twenty is missing.
func rows(n int, seed uint64) (x [][]float64, y []float64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	for i := range n {
		r := []float64{rng.NormFloat64(), rng.Float64() * 100, rng.NormFloat64() * 1e-3, float64(rng.IntN(4)), float64(rng.IntN(2)), 3}
		t := r[0] + r[1]/50 + 2*float64(int(r[3])%2) + 1000*r[2]*r[4]
		if i > n/2 {
			t = -t
		}
		for j := range r {
			if rng.IntN(20) == 0 {
				r[j] = math.NaN()
			}
		}
		x, y = append(x, r), append(y, t)
	}
	return x, y
}

func class(y float64) int {
	switch {
	case y < -1:
		return 0
	case y < 2:
		return 1
	}
	return 2
}

// learner hides whether it classifies.
type learner interface {
	online.Learner
	predict(x []float64) []float64
	learn(x []float64, y, weight float64)
}

type classifier struct{ online.Classifier }

func (c classifier) predict(x []float64) []float64 {
	p := make([]float64, 3)
	c.Classify(p, x)
	return p
}

func (c classifier) learn(x []float64, y, weight float64) { c.Learn(x, class(y), weight) }

type regressor struct{ online.Regressor }

func (r regressor) predict(x []float64) []float64        { return []float64{r.Predict(x)} }
func (r regressor) learn(x []float64, y, weight float64) { r.Learn(x, y, weight) }

// Classifier checks what make makes; each call must return a new learner for the schema with the
// same options. budget is what Bytes may be at most, 0 for no check.
func Classifier(t *testing.T, budget int, make func(s online.Schema) online.Classifier) {
	run(t, budget, func() learner { return classifier{make(Schema(3))} })
	t.Run("probabilities", func(t *testing.T) {
		c := classifier{make(Schema(3))}
		x, y := rows(2000, 1)
		for i := range x {
			p, sum := c.predict(x[i]), 0.0
			for _, v := range p {
				if !(v >= 0 && v <= 1) {
					t.Fatalf("row %d: probabilities %v", i, p)
				}
				sum += v
			}
			if math.Abs(sum-1) > 1e-9 || i == 0 && (p[0] != p[1] || p[1] != p[2]) {
				t.Fatalf("row %d: probabilities %v", i, p)
			}
			c.learn(x[i], y[i], 1)
		}
		c.Learn(x[0], -1, 1)
		c.Learn(x[0], 3, 1)
	})
}

// Regressor is Classifier for regressors.
func Regressor(t *testing.T, budget int, make func(s online.Schema) online.Regressor) {
	run(t, budget, func() learner { return regressor{make(Schema(0))} })
	t.Run("bounded", func(t *testing.T) { // far outside of what was seen, predictions stay near it
		r := make(Schema(0))
		x, y := rows(2000, 1)
		low, high := math.Inf(1), math.Inf(-1)
		for i := range x {
			r.Learn(x[i], y[i], 1)
			low, high = min(low, y[i]), max(high, y[i])
		}
		for _, v := range []float64{1e3, -1e6, 1e12, -1e300} {
			far := slices.Clone(x[0])
			far[0], far[1] = v, -v
			if p := r.Predict(far); p < low-10*(high-low) || p > high+10*(high-low) {
				t.Errorf("Predict at %v = %v after targets from %v to %v", v, p, low, high)
			}
		}
	})
}

func saved(l learner) []byte {
	var w state.Writer
	l.Save(&w)
	return w.B
}

func same(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}

func run(t *testing.T, budget int, make func() learner) {
	t.Run("same rows, same bits", func(t *testing.T) {
		a, b := make(), make()
		x, y := rows(500+fewer(2500), 2)
		for i := range x {
			if p, q := a.predict(x[i]), b.predict(x[i]); !same(p, q) {
				t.Fatalf("row %d: %v and %v", i, p, q)
			}
			a.learn(x[i], y[i], 1)
			b.learn(x[i], y[i], 1)
		}
		if !bytes.Equal(saved(a), saved(b)) {
			t.Fatal("the states differ")
		}
	})
	t.Run("save and resume", func(t *testing.T) {
		x, y := rows(1000+fewer(3000), 3)
		rng := rand.New(rand.NewPCG(9, 9))
		a, b := make(), make()
		for i := range x {
			if rng.IntN(500) == 0 || i == 0 {
				s := saved(b)
				b = make()
				r := &state.Reader{B: s}
				b.Load(r)
				if r.Err() != nil || len(r.B) != 0 {
					t.Fatalf("row %d: load leaves %d bytes, %v", i, len(r.B), r.Err())
				}
				if !bytes.Equal(saved(b), s) {
					t.Fatalf("row %d: what was loaded saves otherwise", i)
				}
			}
			if p, q := a.predict(x[i]), b.predict(x[i]); !same(p, q) {
				t.Fatalf("row %d: %v without and %v with restarts", i, p, q)
			}
			a.learn(x[i], y[i], 1)
			b.learn(x[i], y[i], 1)
		}
		if !bytes.Equal(saved(a), saved(b)) {
			t.Fatal("the states differ")
		}
	})
	t.Run("damaged states", func(t *testing.T) {
		a := make()
		x, y := rows(1500, 4)
		for i := range x {
			a.learn(x[i], y[i], 1)
		}
		s := saved(a)
		rng := rand.New(rand.NewPCG(5, 5))
		for range fewer(200) {
			bad := slices.Clone(s)
			if rng.IntN(2) == 0 {
				bad = bad[:rng.IntN(len(bad))]
			} else {
				for range 1 + rng.IntN(4) {
					bad[rng.IntN(len(bad))] = byte(rng.Uint32())
				}
			}
			l := make()
			r := &state.Reader{B: bad}
			l.Load(r)
			l.predict(x[0]) // whether it was taken or refused, what is there works
			l.learn(x[0], y[0], 1)
		}
	})
	// numbers that break sums and counters, in the place of numbers of a snapshot
	t.Run("extreme states", func(t *testing.T) {
		a := make()
		x, y := rows(260, 10)
		for i := range x[:200] {
			a.learn(x[i], y[i], 1)
		}
		s := saved(a)
		words := len(s) / 8
		// all near the ends, fewer between
		for at := 0; at < words; at += 1 + max(0, min(at, words-at)-fewer(40))/2 {
			for _, v := range []uint64{1<<63 - 1, 1 << 63, math.Float64bits(math.MaxFloat64), math.Float64bits(-1e250)} {
				bad := slices.Clone(s)
				binary.LittleEndian.PutUint64(bad[8*at:], v)
				l := make()
				r := &state.Reader{B: bad}
				if l.Load(r); r.Err() != nil {
					continue
				}
				for i := range x[200:] {
					for _, p := range l.predict(x[200+i]) {
						if math.IsNaN(p) || math.IsInf(p, 0) {
							t.Fatalf("number %d of a snapshot as %#x: predicts %v", at, v, p)
						}
					}
					l.learn(x[200+i], y[200+i], 1)
				}
				r = &state.Reader{B: saved(l)}
				if make().Load(r); r.Err() != nil {
					t.Fatalf("number %d of a snapshot as %#x is taken, but what it becomes is not", at, v)
				}
			}
		}
	})
	t.Run("rows are left alone", func(t *testing.T) {
		l := make()
		x, y := rows(500, 5)
		for i := range x {
			before := slices.Clone(x[i])
			l.predict(x[i])
			l.learn(x[i], y[i], 2)
			if !same(before, x[i]) {
				t.Fatalf("row %d was %v and is %v", i, before, x[i])
			}
		}
	})
	t.Run("weights", func(t *testing.T) {
		a, b := make(), make()
		x, y := rows(300, 6)
		for i := range x {
			a.learn(x[i], y[i], 1)
			b.learn(x[i], y[i], 1)
			for _, w := range []float64{0, -1, math.NaN(), math.Inf(1)} {
				b.learn(x[i], y[i], w)
			}
		}
		if !bytes.Equal(saved(a), saved(b)) {
			t.Fatal("a weight that is not positive and finite changed the state")
		}
	})
	t.Run("bad rows", func(t *testing.T) {
		l := make()
		x, y := rows(3000, 7)
		bad := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e308, -1e308, math.MaxFloat64, 5e-324, 1e18, -7}
		for i := range x {
			if i > 1000 && i < 1300 {
				row := slices.Clone(x[i])
				for j := range row {
					row[j] = bad[(i+j)%len(bad)]
				}
				l.learn(row, []float64{1e308, -1e308, math.NaN(), math.Inf(1)}[i%4], 1)
				x[i] = row
			} else {
				l.learn(x[i], y[i], 1)
			}
			for _, p := range l.predict(x[i]) {
				if math.IsNaN(p) || math.IsInf(p, 0) {
					t.Fatalf("row %d: predicts %v", i, p)
				}
			}
		}
	})
	t.Run("allocations", func(t *testing.T) {
		l := make()
		x, y := rows(4000, 8)
		for i := range x {
			l.learn(x[i], y[i], 1)
		}
		const n = 200 // growth is rare: what is left is what each row takes
		i := 0
		if per := testing.AllocsPerRun(n, func() {
			l.learn(x[i%len(x)], y[i%len(x)], 1)
			i++
		}); per >= 1 {
			t.Errorf("Learn allocates %v times a row", per)
		}
	})
	if budget > 0 {
		t.Run("budget", func(t *testing.T) {
			l := make()
			x, y := rows(fewer(20_000), 9)
			for i := range x {
				l.learn(x[i], y[i], 1)
				if b := l.Bytes(); b <= 0 || b > budget {
					t.Fatalf("row %d: %d bytes, allowed are %d", i, b, budget)
				}
			}
		})
	}
}
