package forecast

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestFindSeasons(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	noise := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		return v
	}
	day, week := noise(24), noise(168)
	make := func(n int, value func(i int) float64) []float64 {
		v := noise(n)
		for i := range v {
			v[i] = 0.2*v[i] + value(i)
		}
		return v
	}
	walk := noise(2000)
	for i := 1; i < len(walk); i++ {
		walk[i] += walk[i-1]
	}
	gaps := make(1000, func(i int) float64 { return day[i%24] })
	for i := range gaps {
		if rng.IntN(5) == 0 {
			gaps[i] = math.NaN()
		}
	}
	for _, c := range []struct {
		name string
		y    []float64
		want []int
	}{
		{"a day", make(500, func(i int) float64 { return day[i%24] + 0.1*float64(i) }), []int{24}},
		{"a day with gaps", gaps, []int{24}},
		{"a day and a week", make(1500, func(i int) float64 { return 2*day[i%24] + week[i%168] }), []int{24, 168}},
		{"a week and hardly a day", make(1500, func(i int) float64 { return week[i%168] }), []int{168}},
		{"noise", noise(2000), nil}, {"a walk", walk, nil}, {"a line", []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, nil}, {"nothing", nil, nil},
		{"too short", make(50, func(i int) float64 { return day[i%24] }), nil},
	} {
		if got := FindSeasons(c.y, 1000); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestScores(t *testing.T) {
	y, f := []float64{1, 0, -2, 3}, []float64{3, 0, 2, 3}
	if got, want := SMAPE(y, f), (100.0+0+200+0)/4; math.Abs(got-want) > 1e-12 {
		t.Errorf("SMAPE = %v, want %v", got, want)
	}
	// changes of 3 and 1
	if got, want := MASE(y, f, []float64{1, 2, 4, 1}, 2), (2.0+4)/4/2; math.Abs(got-want) > 1e-12 {
		t.Errorf("MASE = %v, want %v", got, want)
	}
	if got := SMAPE([]float64{1e308}, []float64{-1e308}); got != 200 {
		t.Errorf("SMAPE of numbers whose difference overflows = %v", got)
	}
}
