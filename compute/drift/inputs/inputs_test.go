package inputs

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/internal/race"
)

// gaussian makes rows of independent standard normal values.
func gaussian(rng *rand.Rand, n, d int) [][]float64 {
	rows := make([][]float64, n)
	for i := range rows {
		rows[i] = make([]float64, d)
		for j := range rows[i] {
			rows[i][j] = rng.NormFloat64()
		}
	}
	return rows
}

func reference(t testing.TB, rows [][]float64, opts Options) *Reference {
	t.Helper()
	ref, err := NewReference(rows, opts)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// first pushes rows until a drift is reported.
func first(w *Watcher, rows [][]float64) *Report {
	for _, row := range rows {
		if r := w.Push(row); r != nil && r.Drift {
			return r
		}
	}
	return nil
}

// TestKinds holds that changes other than of the mean are found, that the features are named in
// the order of their share, and that a report says how they moved.
func TestKinds(t *testing.T) {
	for _, test := range []Test{KolmogorovSmirnov, PSI, Wasserstein} {
		rng := rand.New(rand.NewPCG(1, 0))
		ref := reference(t, gaussian(rng, 2000, 5), Options{Test: test})
		for _, c := range []struct {
			name  string
			apply func(row []float64)
			want  int
			check func(f Feature) bool
		}{
			{"mean", func(r []float64) { r[2]++ }, 2, func(f Feature) bool { return f.Shift > 0.3 && f.Shift < 1.3 }},
			{"spread", func(r []float64) { r[1] *= 3 }, 1, func(f Feature) bool { return math.Abs(f.Shift) < 0.5 }},
			{"stuck", func(r []float64) { r[0] = 0.1 }, 0, func(f Feature) bool { return f.PSI > 0.25 }},
			{"missing", func(r []float64) {
				if r[4] > 0.2 {
					r[3] = math.NaN()
				}
			}, 3, func(f Feature) bool { return f.Missing > 0.05 }},
			{"infinite", func(r []float64) { r[3] = math.Inf(1) }, 3, func(f Feature) bool { return f.Missing > 0.05 && f.Shift < 1 }},
			{"huge", func(r []float64) { r[3] = 1e99 }, 3, func(f Feature) bool { return f.Shift > 1e90 && f.Shift <= 1e100 }},
			{"two", func(r []float64) { r[4] += 2; r[1] += 0.5 }, 4, func(f Feature) bool { return f.Shift > 0.3 }},
		} {
			w := NewWatcher(ref)
			if r := first(w, gaussian(rng, 1000, 5)); r != nil {
				t.Fatalf("%s, %s: %+v before the change", test, c.name, r)
			}
			rows := gaussian(rng, 500, 5)
			for _, row := range rows {
				c.apply(row)
			}
			r := first(w, rows)
			if r == nil {
				t.Errorf("%s, %s: not found", test, c.name)
				continue
			}
			if f := r.Features[0]; f.Index != c.want || !c.check(f) || r.Row < 1000 || f.PValue > 0.01 || !(f.Statistic > 0) {
				t.Errorf("%s, %s: %+v, want feature %d first", test, c.name, *r, c.want)
			}
		}
	}
}

// TestDependence holds that the joint test finds a change of dependence that no single feature
// shows, and names the features in it.
func TestDependence(t *testing.T) {
	for seed := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, 0))
		rows := gaussian(rng, 6000, 6)
		for i, row := range rows {
			if i < 4000 {
				row[4] = 0.8*row[1] + 0.6*row[4]
			}
		}
		ref := reference(t, rows[:3000], Options{})
		w := NewWatcher(ref)
		if r := first(w, rows[3000:4000]); r != nil {
			t.Fatalf("%+v before the change", r)
		}
		r := first(w, rows[4000:])
		if r == nil || !r.Joint.Drift || r.Joint.PValue > 1e-3 || len(r.Features) < 2 {
			t.Fatalf("seed %d: %+v, want a joint drift", seed, r)
		}
		named := []int{r.Features[0].Index, r.Features[1].Index}
		if slices.Sort(named); !slices.Equal(named, []int{1, 4}) {
			t.Errorf("seed %d: %v named first, want 1 and 4", seed, named)
		}
		without := NewWatcher(reference(t, rows[:3000], Options{Functions: -1}))
		if r := first(without, rows[3000:]); r != nil {
			t.Errorf("seed %d: %+v without a joint test", seed, r)
		}
	}
}

// TestEpisode holds that a drift is reported when it begins, when another feature joins it and
// when it is over.
func TestEpisode(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 0))
	w := NewWatcher(reference(t, gaussian(rng, 2000, 4), Options{Functions: -1}))
	var reports []Report
	for i, row := range gaussian(rng, 6000, 4) {
		if i >= 1000 && i < 4000 {
			row[1] += 2
		}
		if i >= 2000 && i < 4000 {
			row[3] += 2
		}
		if r := w.Push(row); r != nil {
			c := *r
			c.Features = slices.Clone(r.Features)
			reports = append(reports, c)
		}
	}
	if len(reports) != 3 || !reports[0].Drift || len(reports[0].Features) != 1 || reports[0].Features[0].Index != 1 || !reports[1].Drift || len(reports[1].Features) != 2 || reports[1].Row < 2000 || reports[2].Drift || len(reports[2].Features) != 0 ||
		reports[2].Row < 4000 || reports[2].Row > 4300 {
		t.Errorf("reports = %+v, want one at 1000, one at 2000 and the end at 4000", reports)
	}
}

// TestFollowing holds that rows that depend on those before them, as a sensor's do, cause few
// false alarms, and that a longer window finds a shift in them.
func TestFollowing(t *testing.T) {
	if race.Enabled {
		t.Skip("judges by many rows, which takes long under the race detector: run without -race")
	}
	for _, phi := range []float64{0.5, 0.9, 0.97} {
		alarms, found := 0, 0
		for seed := range uint64(10) {
			rng := rand.New(rand.NewPCG(seed, 5))
			x := make([]float64, 6)
			next := func() []float64 {
				for j := range x {
					x[j] = phi*x[j] + math.Sqrt(1-phi*phi)*rng.NormFloat64()
				}
				return slices.Clone(x)
			}
			var rows [][]float64
			for range 5000 {
				rows = append(rows, next())
			}
			w := NewWatcher(reference(t, rows, Options{}))
			for range 20000 {
				if r := w.Push(next()); r != nil && r.Drift {
					alarms++
				}
			}
			if phi > 0.9 {
				continue
			}
			w = NewWatcher(reference(t, rows, Options{Window: 2000, Every: 100}))
			for range 2000 {
				w.Push(next())
			}
			for range 2500 {
				row := next()
				row[2]++
				if r := w.Push(row); r != nil && r.Drift && r.Features[0].Index == 2 {
					found++
					break
				}
			}
		}
		if alarms > 10 {
			t.Errorf("autocorrelation %v: %d alarms in 200000 rows, want at most 10", phi, alarms)
		}
		if phi <= 0.9 && found < 9 {
			t.Errorf("autocorrelation %v: %d of 10 shifts found by a window of 2000, want 9", phi, found)
		}
	}
}

// TestConfidence holds that a model's confidence, one more column, is watched like any feature,
// and that a constant feature and one with few values are as well.
func TestConfidence(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 0))
	make1 := func(sure float64) []float64 {
		return []float64{7, float64(rng.IntN(3)), max(sure, 1-rng.Float64()*rng.Float64())}
	}
	var rows [][]float64
	for range 2000 {
		rows = append(rows, make1(0.5))
	}
	ref := reference(t, rows, Options{})
	for j, change := range []func(row []float64){
		func(row []float64) { row[0] = 6.5 }, func(row []float64) { row[1] = 1 }, func(row []float64) { row[2] = 0.5 + row[2]/4 },
	} {
		w := NewWatcher(ref)
		for range 5000 {
			if r := w.Push(make1(0.5)); r != nil {
				t.Fatalf("%+v without a change", *r)
			}
		}
		var r *Report
		for i := 0; i < 500 && r == nil; i++ {
			row := make1(0.5)
			change(row)
			r = w.Push(row)
		}
		if r == nil || !r.Drift || r.Features[0].Index != j {
			t.Errorf("feature %d: %+v", j, r)
		}
	}
}

// TestRange holds that a feature that leaves the range of the reference for good is found even
// where its rows follow each other too closely for anything else.
func TestRange(t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 0))
	x := 0.0
	next := func() []float64 {
		x = 0.999*x + 0.04*rng.NormFloat64()
		return []float64{rng.NormFloat64(), x}
	}
	var rows [][]float64
	for range 5000 {
		rows = append(rows, next())
	}
	w := NewWatcher(reference(t, rows, Options{}))
	for range 500 {
		row := next()
		row[1] += 10
		if r := w.Push(row); r != nil {
			if f := r.Features[0]; f.Index != 1 || f.Shift < 5 {
				t.Errorf("%+v, want feature 1", *r)
			}
			return
		}
	}
	t.Error("a feature out of its range is not found")
}

func TestFromQuantiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 0))
	points := make([][]float64, 3)
	for j := range points {
		for range 200 {
			points[j] = append(points[j], rng.NormFloat64())
		}
		slices.Sort(points[j])
	}
	ref, err := FromQuantiles(points, 200, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := NewWatcher(ref)
	if r := first(w, gaussian(rng, 10000, 3)); r != nil {
		t.Errorf("%+v without a change", r)
	}
	rows := gaussian(rng, 500, 3)
	for _, row := range rows {
		row[1] -= 1
	}
	if r := first(w, rows); r == nil || r.Features[0].Index != 1 {
		t.Errorf("%+v, want feature 1", r)
	}
	for _, c := range []struct {
		points [][]float64
		rows   int
		words  string
	}{
		{points, 10, "at least 100"}, {nil, 200, "0 features"}, {[][]float64{{1, 2}}, 200, "at least 4"}, {[][]float64{{1, 2, 1, 3}}, 200, "ascending"}, {[][]float64{{1, 2, math.NaN(), 3}}, 200, "finite"},
	} {
		if _, err := FromQuantiles(c.points, c.rows, Options{}); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("FromQuantiles = %v, want %q", err, c.words)
		}
	}
}

// TestHostile holds that rows of anything leave finite figures, in the reference and in the window.
func TestHostile(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 0))
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e308, -1e308, 1e100, -1e100, 0, math.Copysign(0, -1), 5e-324, 1}
	rows := make([][]float64, 3000)
	for i := range rows {
		rows[i] = []float64{odd[rng.IntN(len(odd))], math.NaN(), 3, odd[rng.IntN(3)], rng.NormFloat64()}
	}
	for _, test := range []Test{KolmogorovSmirnov, PSI, Wasserstein} {
		w := NewWatcher(reference(t, rows[:1000], Options{Test: test}))
		for i, row := range rows[1000:] {
			if i > 1000 {
				row[1], row[2], row[3] = odd[i%len(odd)], odd[i%7], float64(i)
			}
			r := w.Push(row)
			if r == nil {
				continue
			}
			for _, f := range r.Features {
				if !bounded(f.Statistic, f.PValue, f.Shift, f.PSI, f.Wasserstein, f.Missing) {
					t.Errorf("%s: %+v", test, f)
				}
			}
		}
		if !w.drifting() {
			t.Errorf("%s: columns that change altogether are not found", test)
		}
	}
}

func TestAllocations(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 0))
	rows := gaussian(rng, 3000, 8)
	for _, row := range rows[2500:] {
		row[1] += 2
	}
	w := NewWatcher(reference(t, rows[:1000], Options{}))
	if n := testing.AllocsPerRun(3, func() {
		for _, row := range rows[1000:] {
			w.Push(row)
		}
	}); n != 0 {
		t.Errorf("%v allocations in 2000 rows, want 0", n)
	}
}

func BenchmarkPush(b *testing.B) {
	rng := rand.New(rand.NewPCG(13, 0))
	rows := gaussian(rng, 4096, 10)
	w := NewWatcher(reference(b, rows[:2000], Options{}))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		w.Push(rows[i&4095])
		i++
	}
}
