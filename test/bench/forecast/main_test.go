package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/compute/online/forecast"
)

// TestSeasonalNaiveOnASaw scores a series that rises by one from day to day: the seasonal naive
// forecast is behind by one on the first day and by two on the second, in units of one.
func TestSeasonalNaiveOnASaw(t *testing.T) {
	var s series
	for i := range 10 * 24 {
		v := 100 + float64(i%24) + float64(i/24)
		if i < 8*24 {
			s.train = append(s.train, v)
		} else {
			s.test = append(s.test, v)
		}
	}
	r := m4Row{forecast.SeasonalNaive, []int{24}}
	smape, mase, err := r.score([]series{s, s})
	if err != nil || math.Abs(mase-1.5) > 1e-12 {
		t.Errorf("MASE %v, want 1.5 (%v)", mase, err)
	}
	want := 0.0
	for i, y := range s.test {
		off := float64(1 + i/24)
		want += 200 * off / (2*y - off) / m4Horizon
	}
	if math.Abs(smape-want) > 1e-9 {
		t.Errorf("sMAPE %v, want %v", smape, want)
	}
}

func TestReadM4RefusesShortSeries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m4.csv")
	if err := os.WriteFile(path, []byte("series,value,split\nH1,1,train\nH1,2,test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readM4(path); err == nil || !strings.Contains(err.Error(), "1 values to learn from and 1 to foresee") {
		t.Errorf("a series of two values: %v", err)
	}
}

// TestNoChangeForeseen scores the forecast without a model on a line of slope one: k hours ahead
// it is k behind.
func TestNoChangeForeseen(t *testing.T) {
	c := channel{z: make([]float64, 3*ettHorizon)}
	for i := range c.z {
		c.z[i] = float64(i)
	}
	_, mae, err := c.score(nil, 10, len(c.z))
	if want := float64(1+ettHorizon) / 2; err != nil || math.Abs(mae-want) > 1e-9 {
		t.Errorf("mean error %v, want %v (%v)", mae, want, err)
	}
}
