package forecast_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/online/forecast"
	"skerry.dev/compute/state"
)

const horizon = 20

// seasonSets are those the contract is checked with: none, one, two.
var seasonSets = [][]int{nil, {12}, {8, 40}}

func build(t testing.TB, learner string, seasons []int) *forecast.Forecaster {
	t.Helper()
	f, err := forecast.New(forecast.Options{Learner: learner, Seasons: seasons, Horizon: horizon})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// series draws n values with a trend, seasons of 8, 12 and 40 rows, noise, a jump of the level in
// the middle and one value in thirty missing.
func series(n int, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 3))
	y := make([]float64, n)
	for i := range y {
		y[i] = 20 + 0.002*float64(i) + 3*math.Sin(2*math.Pi*float64(i)/12) + 2*math.Sin(2*math.Pi*float64(i)/40) + 2*float64(i%8/4) + 0.3*rng.NormFloat64()
		if i > n/2 {
			y[i] += 15
		}
		if rng.IntN(30) == 0 {
			y[i] = math.NaN()
		}
	}
	return y
}

func saved(f *forecast.Forecaster) []byte {
	var w state.Writer
	f.Save(&w)
	return w.B
}

func ahead(f *forecast.Forecaster) []float64 {
	dst := make([]float64, horizon)
	f.Forecast(dst)
	return dst
}

func same(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}

// each runs a check for every learner with every set of seasons.
func each(t *testing.T, check func(t *testing.T, make func() *forecast.Forecaster)) {
	for _, name := range forecast.Names() {
		for _, seasons := range seasonSets {
			t.Run(fmt.Sprintf("%s %v", name, seasons), func(t *testing.T) {
				check(t, func() *forecast.Forecaster { return build(t, name, seasons) })
			})
		}
	}
}

// TestResumes saves and loads again and again: forecasts and states must be those of a run
// without restarts. Forecasting must not change what comes.
func TestResumes(t *testing.T) {
	each(t, func(t *testing.T, make func() *forecast.Forecaster) {
		rng := rand.New(rand.NewPCG(9, 9))
		a, b := make(), make()
		for i, y := range series(1500, 1) {
			if rng.IntN(150) == 0 || i == 0 {
				s := saved(b)
				b = make()
				r := &state.Reader{B: s}
				if b.Load(r); r.Err() != nil || len(r.B) != 0 {
					t.Fatalf("row %d: load leaves %d bytes, %v", i, len(r.B), r.Err())
				}
				if !bytes.Equal(saved(b), s) {
					t.Fatalf("row %d: what was loaded saves otherwise", i)
				}
			}
			if p, q := ahead(a), ahead(b); i%7 == 0 && !same(p, q) {
				t.Fatalf("row %d: %v without and %v with restarts", i, p, q)
			}
			a.Learn(y)
			b.Learn(y)
			if i%3 == 0 {
				ahead(b)
			}
		}
		if !bytes.Equal(saved(a), saved(b)) {
			t.Error("the states differ")
		}
	})
}

// TestDamagedStates loads torn and flipped bytes: what is taken must work.
func TestDamagedStates(t *testing.T) {
	each(t, func(t *testing.T, make func() *forecast.Forecaster) {
		f := make()
		for _, y := range series(400, 2) {
			f.Learn(y)
		}
		s, more := saved(f), series(60, 3)
		rng := rand.New(rand.NewPCG(5, 5))
		refused := 0
		for k := range 60 {
			bad := slices.Clone(s)
			if k%2 == 0 {
				bad = bad[:rng.IntN(len(bad))]
			} else {
				for range 1 + rng.IntN(4) {
					bad[rng.IntN(len(bad))] = byte(rng.Uint32())
				}
			}
			g := make()
			r := &state.Reader{B: bad}
			if g.Load(r); r.Err() != nil {
				refused++
				continue
			}
			for _, y := range more {
				g.Learn(y)
				finite(t, 0, ahead(g))
			}
		}
		if refused < 30 {
			t.Errorf("%d of 60 damaged states were refused, the 30 torn ones at least must be", refused)
		}
	})
}

func finite(t *testing.T, row int, v []float64) {
	t.Helper()
	for k, y := range v {
		if y-y != 0 {
			t.Fatalf("row %d: foresees %v at step %d", row, y, k+1)
		}
	}
}

// TestBadValues plays a burst of nonsense, a dead sensor and a change of units. Forecasts stay
// finite and, a thousand rows later, are about as good as those of a forecaster that began after
// it: at most twice as far off, as an autoregression that remembers 2000 rows needs its time.
func TestBadValues(t *testing.T) {
	bursts := map[string]func(i int, y float64) float64{
		"infinite":    func(i int, _ float64) float64 { return []float64{math.NaN(), math.Inf(1), math.Inf(-1)}[i%3] },
		"overflowing": func(i int, _ float64) float64 { return []float64{1e308, -1e308, math.MaxFloat64}[i%3] },
		"largest":     func(i int, _ float64) float64 { return []float64{1e99, -1e99, 5e-324, 1e18}[i%4] },
		"stuck high":  func(int, float64) float64 { return 1e99 },
		"stuck":       func(int, float64) float64 { return 21.5 },
		"zero":        func(int, float64) float64 { return 0 },
		"other units": func(_ int, y float64) float64 { return y * 1e6 },
		"all missing": func(int, float64) float64 { return math.NaN() },
		"spikes": func(i int, y float64) float64 {
			if i%17 == 0 {
				return 1e30
			}
			return y
		},
	}
	names := make([]string, 0, len(bursts))
	for name := range bursts {
		names = append(names, name)
	}
	slices.Sort(names)
	each(t, func(t *testing.T, make func() *forecast.Forecaster) {
		for _, name := range names {
			a, b := make(), make()
			y := series(2400, 4)
			bad, good := 0.0, 0.0
			for i, v := range y {
				p, q := ahead(a), ahead(b)
				finite(t, i, p)
				if i >= 1900 && !math.IsNaN(v) {
					bad += math.Abs(v - p[0])
					good += math.Abs(v - q[0])
				}
				if i >= 900 {
					b.Learn(v)
				} else if i >= 600 {
					v = bursts[name](i, v)
				}
				a.Learn(v)
			}
			if bad > 2*good {
				t.Errorf("%s: errors sum to %.3g after the burst, %.3g of a forecaster that began after it", name, bad, good)
			}
		}
	})
}

// TestAllocations holds the steady state, and Bytes against what New takes.
func TestAllocations(t *testing.T) {
	each(t, func(t *testing.T, make func() *forecast.Forecaster) {
		f, dst := make(), numbers(horizon)
		y := series(800, 5)
		before := f.Bytes()
		for _, v := range y {
			f.Learn(v)
		}
		i := 0
		if per := testing.AllocsPerRun(2000, func() {
			f.Learn(y[i%len(y)])
			f.Forecast(dst)
			i++
		}); per != 0 {
			t.Errorf("Learn and Forecast allocate %v times a row", per)
		}
		if f.Bytes() != before || before < 8*len(saved(f))/16 || before > 1<<20 {
			t.Errorf("%d bytes at first, %d later, a saved state has %d", before, f.Bytes(), len(saved(f)))
		}
	})
}

func numbers(n int) []float64 { return make([]float64, n) }

// TestLimits makes forecasters at the limits of their options: all must take values and resume.
func TestLimits(t *testing.T) {
	for _, o := range []forecast.Options{{Horizon: 1}, {Horizon: 1, Seasons: []int{2}}, {Horizon: 2, Seasons: []int{2, 3}}, {Horizon: forecast.MaxHorizon, Seasons: []int{3}}, {Horizon: 3, Seasons: []int{1999, forecast.MaxSeason}}} {
		for _, o.Learner = range forecast.Names() {
			f, err := forecast.New(o)
			if err != nil {
				t.Fatal(err)
			}
			dst := numbers(o.Horizon)
			n := 300
			if len(o.Seasons) > 0 && o.Seasons[0] > n {
				n = 4500 // so that the models begin
			}
			for i, y := range series(n, 7) {
				if f.Learn(y); i%50 == 0 {
					f.Forecast(dst)
					finite(t, i, dst)
				}
			}
			g, err := forecast.New(o)
			if err != nil {
				t.Fatal(err)
			}
			r := &state.Reader{B: saved(f)}
			if g.Load(r); r.Err() != nil || !bytes.Equal(saved(f), saved(g)) {
				t.Errorf("%+v: %v, or another state", o, r.Err())
			}
		}
	}
}

// FuzzLoad loads anything: no panic, and what is taken saves to the same bytes.
func FuzzLoad(f *testing.F) {
	made := build(f, forecast.Auto, []int{4})
	f.Add(saved(made))
	for _, y := range series(60, 6) {
		made.Learn(y)
	}
	f.Add(saved(made))
	f.Fuzz(func(t *testing.T, b []byte) {
		g := build(t, forecast.Auto, []int{4})
		r := &state.Reader{B: b}
		if g.Load(r); r.Err() != nil {
			return
		}
		if got := saved(g); !bytes.Equal(got, b[:len(b)-len(r.B)]) {
			t.Error("what was loaded saves otherwise")
		}
		g.Learn(1)
		finite(t, 0, ahead(g))
	})
}
