package forecast

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"skerry.dev/test/realdata"
)

// TestM4 forecasts every sixth hourly series of the M4 competition 48 hours ahead. The whole set
// is in test/bench/forecast.
func TestM4(t *testing.T) {
	_, rows := realdata.CSV(t, "forecast", "m4_hourly.csv.gz")
	type series struct{ train, test []float64 }
	var all []series
	last := ""
	for _, row := range rows {
		if row[0] != last {
			all, last = append(all, series{}), row[0]
		}
		y, err := strconv.ParseFloat(row[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		if s := &all[len(all)-1]; row[3] == "train" {
			s.train = append(s.train, y)
		} else {
			s.test = append(s.test, y)
		}
	}
	score := func(o Options, every int) (smape, mase float64) {
		n := 0.0
		for k := 0; k < len(all); k += every {
			f, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			for _, y := range all[k].train {
				f.Learn(y)
			}
			dst := make([]float64, 48)
			f.Forecast(dst)
			n++
			smape += (SMAPE(all[k].test, dst) - smape) / n
			mase += (MASE(all[k].test, dst, all[k].train, 24) - mase) / n
		}
		return smape, mase
	}
	if a, b := score(Options{Learner: SeasonalNaive, Seasons: []int{24}}, 1); math.Abs(a-13.912) > 5e-4 || math.Abs(b-1.193) > 5e-4 {
		t.Errorf("seasonal naive on all %d series: %.4f / %.4f, published 13.912 / 1.193", len(all), a, b)
	}
	base, baseUnit := score(Options{Learner: SeasonalNaive, Seasons: []int{24}}, 6)
	for _, c := range []struct {
		learner string
		share   float64 // of the seasonal naive errors
	}{{HoltWinters, 1}, {SeasonalAR, 0.85}, {Auto, 0.75}} {
		if a, b := score(Options{Learner: c.learner, Seasons: []int{24, 168}}, 6); a > c.share*base || b > c.share*baseUnit {
			t.Errorf("%s: %.3f / %.3f, seasonal naive %.3f / %.3f", c.learner, a, b, base, baseUnit)
		}
	}
}

// go test ./compute/online/forecast -run '^$' -bench Learn -count 6
func BenchmarkLearn(b *testing.B) {
	for _, name := range Names() {
		b.Run("learner="+name, func(b *testing.B) {
			f, err := New(Options{Learner: name, Seasons: []int{24, 168}, Horizon: 48})
			if err != nil {
				b.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 1))
			y := make([]float64, 4096)
			for i := range y {
				y[i] = float64(i%24) + float64(i%168/24) + rng.NormFloat64()
			}
			for _, v := range y {
				f.Learn(v)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				f.Learn(y[i%len(y)])
				i++
			}
		})
	}
}
