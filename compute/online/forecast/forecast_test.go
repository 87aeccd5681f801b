package forecast

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Learner: "arima"}, `learner "arima", must be one of auto`},
		{Options{Horizon: -1}, "horizon -1, must be 1 to 1000"},
		{Options{Horizon: 1001}, "horizon 1001"},
		{Options{Seasons: []int{1}}, "season 1, must be 2 to 2000"},
		{Options{Seasons: []int{24, 2001}}, "season 2001"},
		{Options{Seasons: []int{24, 24}}, "seasons 24 and 24, must ascend"},
		{Options{Seasons: []int{2, 3, 4}}, "3 seasons, must be up to 2"},
		{Options{Damping: 1.1}, "damping 1.1, must be above 0 and up to 1"},
		{Options{Damping: math.NaN()}, "damping NaN"},
		{Options{Forget: 0.5}, "forget 0.5, must be 0.9 to 1"},
	} {
		if _, err := New(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%+v) = %v, want %q", c.o, err, c.want)
		}
	}
	f, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if o := f.Options(); o.Learner != Auto || o.Horizon != 48 || o.Damping != 0.98 || o.Forget != 0.9995 {
		t.Errorf("defaults %+v", o)
	}
	defer func() {
		if recover() == nil {
			t.Error("Forecast beyond the horizon did not panic")
		}
	}()
	f.Forecast(make([]float64, 49))
}

func TestNaive(t *testing.T) {
	last, _ := New(Options{Learner: Last, Horizon: 4})
	season, _ := New(Options{Learner: SeasonalNaive, Seasons: []int{3}, Horizon: 4})
	got := make([]float64, 4)
	last.Forecast(got)
	if !slices.Equal(got, []float64{0, 0, 0, 0}) {
		t.Errorf("before any value: %v", got)
	}
	for _, y := range []float64{9, 1, 2, 3} {
		last.Learn(y)
		season.Learn(y)
	}
	if last.Forecast(got); !slices.Equal(got, []float64{3, 3, 3, 3}) {
		t.Errorf("last: %v", got)
	}
	if season.Forecast(got); !slices.Equal(got, []float64{1, 2, 3, 1}) {
		t.Errorf("seasonal: %v", got)
	}
	season.Learn(math.NaN()) // filled with 1, so that the phase is kept
	if season.Forecast(got); !slices.Equal(got, []float64{2, 3, 1, 2}) {
		t.Errorf("seasonal after a gap: %v", got)
	}
}

// TestSmootherByHand compares one step with the formulas written out.
func TestSmootherByHand(t *testing.T) {
	s := newSmoother(smoothing{level: 0.5, trend: 0.4, damping: 0.9, seasons: 0.25, memory: 0.2}, []int{2})
	s.ready, s.level, s.trend, s.season[0], s.phase[0], s.err = true, 10, 1, []float64{2, -2}, 1, 0.5
	// foreseen 10 + 0.9·1 + 2 = 12.9 without the error's memory: 1.1, of which 0.2·0.5 was expected
	s.step(14)
	for _, c := range []struct {
		what      string
		got, want float64
	}{{"level", s.level, 10.9 + 0.5*1.0}, {"trend", s.trend, 0.9 + 0.5*0.4*1.0}, {"season", s.season[0][0], 2.25}, {"the other", s.season[0][1], -2}, {"error", s.err, 1.1}} {
		if math.Abs(c.got-c.want) > 1e-12 {
			t.Errorf("%s %v, want %v", c.what, c.got, c.want)
		}
	}
	got := make([]float64, 2)
	s.forecast(got, nil)
	want := []float64{11.4 + 0.9*1.1 - 2 + 0.2*1.1, 11.4 + 0.9*1.1 + 0.81*1.1 + 2.25 + 0.04*1.1}
	for k := range want {
		if math.Abs(got[k]-want[k]) > 1e-12 {
			t.Errorf("foresees %v, want %v", got, want)
		}
	}
}

// TestPatterns plays series that the learners must get almost right: two seasons, a damped trend,
// and one that only an autoregression knows.
func TestPatterns(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	weeks := func(i int) float64 {
		return 100 + 10*math.Sin(2*math.Pi*float64(i)/6) + 20*float64(i%42/30) + 0.5*rng.NormFloat64()
	}
	line := func(i int) float64 { return 3 * float64(i) }
	// its period is no season
	wave := func(i int) float64 { return 5*math.Sin(float64(i)/3.7) + 0.01*rng.NormFloat64() }
	for _, c := range []struct {
		name    string
		learner string
		seasons []int
		value   func(i int) float64
		damping float64
		limit   float64 // mean absolute error over the horizon
	}{
		{"two seasons", HoltWinters, []int{6, 42}, weeks, 0, 1}, {"two seasons", SeasonalAR, []int{6, 42}, weeks, 0, 1}, {"two seasons", Auto, []int{6, 42}, weeks, 0, 0.8},
		{"wave", SeasonalAR, nil, wave, 0, 0.2}, {"wave", Auto, nil, wave, 0, 0.3},
		// a damped trend falls behind
		{"line", HoltWinters, nil, line, 1, 1}, {"line", HoltWinters, nil, line, 0.98, 20},
	} {
		f, err := New(Options{Learner: c.learner, Seasons: c.seasons, Horizon: 30, Damping: c.damping})
		if err != nil {
			t.Fatal(err)
		}
		n := 1500
		for i := range n {
			f.Learn(c.value(i))
		}
		dst, off := make([]float64, 30), 0.0
		f.Forecast(dst)
		for k, y := range dst {
			off += math.Abs(y-c.value(n+k)) / 30
		}
		if off > c.limit {
			t.Errorf("%s, %s: mean absolute error %.3g, want at most %v", c.name, c.learner, off, c.limit)
		}
	}
}

// TestAutoChooses lets auto meet a random walk, where nothing is better than the last value, and
// a pattern of noise, where the seasonal value is far better than it.
func TestAutoChooses(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	pattern := make([]float64, 12)
	for i := range pattern {
		pattern[i] = 10 * rng.NormFloat64()
	}
	walk, repeat := 0.0, 0
	for _, c := range []struct {
		name string
		next func() float64
	}{
		{"walk", func() float64 { walk += rng.NormFloat64(); return walk }},
		{"repeat", func() float64 { repeat++; return pattern[repeat%12] + 0.1*rng.NormFloat64() }},
	} {
		f, _ := New(Options{Seasons: []int{12}, Horizon: 12})
		for range 2000 {
			f.Learn(c.next())
		}
		e := f.Experts()
		if len(e) != 4 || e[0].Name != Last || e[1].Name != "seasonal-naive 12" {
			t.Fatalf("experts %+v", e)
		}
		sum := 0.0
		for _, x := range e {
			sum += x.Weight
		}
		if math.Abs(sum-1) > 1e-9 || c.name == "walk" && e[0].Weight < e[1].Weight || c.name == "repeat" && e[0].Weight > 0.01 {
			t.Errorf("%s: experts %+v", c.name, e)
		}
	}
}

// TestSameBitsEverywhere holds forecasts to the bits of amd64 wherever the test runs. The hash
// changes with the method; it must never change with the architecture.
func TestSameBitsEverywhere(t *testing.T) {
	f, _ := New(Options{Seasons: []int{8, 24}, Horizon: 16})
	rng := rand.New(rand.NewPCG(7, 8))
	dst, h := make([]float64, 16), fnv.New64a()
	for i := range 1200 {
		y := float64(i%8) + 0.5*float64(i%24) + float64(rng.Uint32())/(1<<30)
		if i%50 == 7 {
			y = math.NaN()
		}
		f.Learn(y)
		if f.Forecast(dst); i%10 == 0 {
			for _, v := range dst {
				b := math.Float64bits(v)
				_, _ = h.Write([]byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24), byte(b >> 32), byte(b >> 40), byte(b >> 48), byte(b >> 56)})
			}
		}
	}
	if got, want := h.Sum64(), uint64(0x70d5e78c86d04798); got != want {
		t.Errorf("forecasts hash to %#x, want %#x", got, want)
	}
}
