package online_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/online"
)

// TestEchoSmooths lets a model see a slow wave through much noise, each row by itself: a correction that hears the echo of its predictions must learn to smooth them, one without cannot.
func TestEchoSmooths(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	s := online.Schema{Inputs: make([]online.Input, 1)}
	echo := online.NewEcho(s)
	wide := online.Schema{Inputs: append(s.Inputs, echo.Inputs()...)}
	made := func(s online.Schema, at int) *online.CorrectorRegressor {
		c, err := online.NewCorrectorRegressor(s, at, online.LinearOptions{Rate: 0.01})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	with, without := made(wide, 4), made(s, 4)
	x := make([]float64, 5)
	var model, smooth, plain float64
	for i := range 20_000 {
		y := 10 * math.Sin(float64(i)/500)
		x[0], x[4] = rng.NormFloat64(), y+4*rng.NormFloat64()
		echo.Into(x[1:4], x[4:])
		if i > 2000 {
			model += math.Abs(x[4] - y)
			smooth += math.Abs(with.Predict(x) - y)
			plain += math.Abs(without.Predict(x) - y)
		}
		with.Learn(x, y, 1)
		without.Learn(x, y, 1)
	}
	if smooth > 0.6*model || plain < 0.95*model {
		t.Errorf("errors: model %.0f, corrected %.0f without and %.0f with the echo", model, plain, smooth)
	}
}

// TestEchoSilence holds that rows on which the model says nothing leave its echo as it was.
func TestEchoSilence(t *testing.T) {
	a, b := online.NewEcho(online.Schema{Classes: 3}), online.NewEcho(online.Schema{Classes: 3})
	da, db := make([]float64, len(a.Inputs())), make([]float64, len(b.Inputs()))
	nan := math.NaN()
	for i := range 50 {
		p := []float64{0.2, 0.5, 0.3}
		p[i%3] += 0.4
		if i%7 == 3 {
			if a.Into(da, []float64{nan, nan, nan}); da[0] == da[0] {
				t.Fatal("silence has an echo")
			}
		}
		a.Into(da, p)
		b.Into(db, p)
		for k := range da {
			if da[k] != db[k] || da[k] != da[k] {
				t.Fatalf("row %d: %v after silence, %v without", i, da, db)
			}
		}
	}
}
