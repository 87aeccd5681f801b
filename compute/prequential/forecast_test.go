package prequential

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// daily is a column with a pattern of six rows, noise, a few gaps and a column of text.
func daily(rows int, noise float64) string {
	rng := rand.New(rand.NewPCG(2, 2))
	var b strings.Builder
	b.WriteString("at,load,note\n")
	for i := range rows {
		v := fmt.Sprintf("%.4f", 10+[]float64{0, 4, 5, 1, -3, -6}[i%6]+noise*rng.NormFloat64())
		if i > 20 && rng.IntN(40) == 0 {
			v = ""
		}
		fmt.Fprintf(&b, "2024-01-01T%02d:%02d:00Z,%s,text\n", i/60%24, i%60, v)
	}
	return b.String()
}

func foresee(t *testing.T, text string, o ForecastOptions) *ForecastReport {
	t.Helper()
	o.Name, o.Target = "test.csv", "load"
	r, err := Forecast(context.Background(), strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestForecast(t *testing.T) {
	text := daily(1500, 0.5)
	r := foresee(t, text, ForecastOptions{Horizon: 5})
	if !slices.Equal(r.Season, []int{6}) || !r.Found || r.Learner != "auto" || r.Horizon != 5 || r.Rows < 1400 || r.Rows >= 1500 || r.Speed <= 0 || r.Bytes < 1000 || len(r.Experts) != 4 {
		t.Errorf("report %+v", r)
	}
	m, last, seasonal := r.Metrics, r.Baselines["last"], r.Baselines["seasonal"]
	if *m.MAE > 0.85**seasonal.MAE || *m.MAE > 0.2**last.MAE || *m.RMSE < *m.MAE || *m.Mean.SMAPE > *seasonal.Mean.SMAPE || *m.MASE > 0.85 || math.Abs(*seasonal.MASE-1) > 0.1 {
		t.Errorf("MAE %v, RMSE %v, MASE %v, mean sMAPE %v; last %v; seasonal %v, MASE %v, mean sMAPE %v", *m.MAE, *m.RMSE, *m.MASE, *m.Mean.SMAPE, *last.MAE, *seasonal.MAE, *seasonal.MASE, *seasonal.Mean.SMAPE)
	}
	// ±1.64 deviations of 0.5 are 1.64 wide
	if *m.Coverage < 0.86 || *m.Coverage > 0.94 || *m.Width < 1 || *m.Width > 4 {
		t.Errorf("coverage %v, width %v", *m.Coverage, *m.Width)
	}
	if len(r.Curve) < 150 {
		t.Errorf("%d points of the curve", len(r.Curve))
	}
	given := foresee(t, text, ForecastOptions{Horizon: 5, Seasons: []int{}, Learner: "last"})
	if given.Found || len(given.Season) != 0 || *given.Metrics.MAE != *given.Baselines["last"].MAE || *given.Baselines["seasonal"].MAE != *given.Baselines["last"].MAE || len(given.Experts) != 0 {
		t.Errorf("without a season: %+v", given)
	}
}

// TestForecastByHand scores few rows: every figure can be counted.
func TestForecastByHand(t *testing.T) {
	var rows []TableRow
	r := foresee(t, "load,x\n1,0\n2,0\n4,0\n,0\n3,0\n", ForecastOptions{Horizon: 2, Seasons: []int{}, Learner: "last", Visit: func(r *TableRow) error { rows = append(rows, *r); return nil }})
	// Two rows ahead: row 2 from row 0, 4 against 1; row 4 from row 2, 3 against 4. One ahead:
	// row 1, 2 against 1; row 2, 4 against 2; row 4 from the gap, filled with 4.
	for _, c := range []struct {
		what string
		got  *float64
		want float64
	}{{"MAE", r.Metrics.MAE, 2}, {"RMSE", r.Metrics.RMSE, math.Sqrt(5)}, {"sMAPE", r.Metrics.SMAPE, (200*3.0/5 + 200*1.0/7) / 2}, {"MASE", r.Metrics.MASE, 2 / 1.5}, {"mean MAE", r.Metrics.Mean.MAE, (2 + 4.0/3) / 2}} {
		if c.got == nil || math.Abs(*c.got-c.want) > 1e-12 {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
	if len(rows) != 2 || rows[0].Row != 2 || rows[0].Truth != 4 || rows[0].Predicted != 1 || rows[1].Row != 4 || rows[1].Predicted != 4 {
		t.Errorf("rows %+v", rows)
	}
}

// TestForecastDoesNotLookAhead changes what comes after a row: no forecast made until then may
// change.
func TestForecastDoesNotLookAhead(t *testing.T) {
	play := func(text string) map[int]float64 {
		said := map[int]float64{}
		foresee(t, text, ForecastOptions{Horizon: 7, Seasons: []int{6}, Visit: func(r *TableRow) error { said[r.Row] = r.Predicted; return nil }})
		return said
	}
	lines := strings.SplitAfter(daily(600, 0.5), "\n")
	a := play(strings.Join(lines, ""))
	for i := 401; i < len(lines)-1; i++ { // row 400 on
		lines[i] = "2024-01-01T00:00:00Z,-50,text\n"
	}
	b := play(strings.Join(lines, ""))
	n := 0
	for row, p := range a {
		if q, ok := b[row]; ok && row < 407 {
			if n++; p != q {
				t.Errorf("row %d was foreseen as %v, and as %v when rows from 400 on are others", row, p, q)
			}
		}
	}
	if n < 350 || a[500] == b[500] {
		t.Errorf("%d rows compared; row 500: %v and %v", n, a[500], b[500])
	}
}

func TestForecastReportIsStable(t *testing.T) {
	r := foresee(t, daily(300, 0.5), ForecastOptions{Horizon: 3, Seasons: []int{6}, Learner: "seasonal-naive"})
	r.Speed = 1
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(b, &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"file", "rows", "target", "learner", "horizon", "season", "season_found", "metrics", "baselines", "experts", "rows_per_second", "state_bytes"} {
		if _, ok := keys[k]; !ok {
			t.Errorf("no %q in %s", k, b)
		}
		delete(keys, k)
	}
	if len(keys) > 0 {
		t.Errorf("unknown keys %v", keys)
	}
	var plot bytes.Buffer
	if err := r.WritePlot(&plot); err != nil || !strings.Contains(plot.String(), "load, 3 rows ahead, by row") {
		t.Errorf("plot: %v, %.300s", err, plot.String())
	}
}

func TestForecastRefuses(t *testing.T) {
	for _, c := range []struct {
		text string
		o    ForecastOptions
		want string
	}{
		{daily(50, 1), ForecastOptions{Target: "volt", Horizon: 1}, `there is no column "volt"`},
		{daily(50, 1), ForecastOptions{Target: "note", Horizon: 1}, `target "note" holds text`},
		{daily(50, 1), ForecastOptions{Target: "at", Horizon: 1}, `target "at" holds times`},
		{daily(50, 1), ForecastOptions{Target: "load"}, "horizon 0: must be 1 to 1000"},
		{daily(50, 1), ForecastOptions{Target: "load", Horizon: 50}, "50 rows are too few to score a forecast 50 rows ahead"},
		{daily(50, 1), ForecastOptions{Target: "load", Horizon: 2, Learner: "arima"}, `learner "arima"`},
		{daily(50, 1), ForecastOptions{Target: "load", Horizon: 2, Seasons: []int{1}}, "season 1, must be"},
		{"load,x\n,1\n,2\n,3\n", ForecastOptions{Target: "load", Horizon: 1}, `"load" holds`},
	} {
		if _, err := Forecast(context.Background(), strings.NewReader(c.text), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := Forecast(ctx, strings.NewReader(daily(50, 1)), ForecastOptions{Target: "load", Horizon: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
