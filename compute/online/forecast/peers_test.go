package forecast

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"testing"
)

// TestAgainstStatsmodels plays a series through the smoother with the parameters and the start of
// testdata/holtwinters.py. statsmodels' smoothing_trend is the share of the level's change, as
// ours is. Its errors are never cut, so neither are these. One season ahead, and two, it takes
// the seasonal value from before the newest row, ours has learned from that row: the two differ
// by what was learned.
func TestAgainstStatsmodels(t *testing.T) {
	f, err := os.Open("testdata/holtwinters.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	of := map[string][]float64{}
	for _, row := range rows[1:] {
		v, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		of[row[0]] = append(of[row[0]], v)
	}
	for kind, damping := range map[string]float64{"damped": 0.9, "steady": 1} {
		s := newSmoother(smoothing{level: 0.3, trend: 0.2, damping: damping, seasons: 0.25}, []int{6})
		s.ready, s.level, s.trend, s.phase[0] = true, 48, 0.5, 5
		copy(s.season[0], []float64{3, 1, -2, -5, 0, 3})
		for _, y := range of["value"] {
			s.size = 0
			s.step(y)
		}
		got := make([]float64, len(of[kind]))
		s.forecast(got, nil)
		for k, want := range of[kind] {
			if k%6 == 5 {
				want += s.p.seasons * s.err
			}
			if math.Abs(got[k]-want) > 1e-9 {
				t.Errorf("%s, step %d: %v, statsmodels says %v", kind, k+1, got[k], want)
			}
		}
		if len(got) != 12 {
			t.Errorf("%s: %d forecasts in the file, must be 12", kind, len(got))
		}
	}
}
