package online_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/online"
	"skerry.dev/compute/state"
)

// TestEchoSmooths lets a model see a slow wave through much noise, each row by itself: a
// correction that hears the echo of its predictions must learn to smooth them, one without
// cannot.
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
			if a.Into(da, []float64{nan, nan, nan}); !math.IsNaN(da[0]) {
				t.Fatal("silence has an echo")
			}
		}
		a.Into(da, p)
		b.Into(db, p)
		for k := range da {
			if da[k] != db[k] || math.IsNaN(da[k]) {
				t.Fatalf("row %d: %v after silence, %v without", i, da, db)
			}
		}
	}
}

// kept is what a snapshot holds.
type kept interface {
	Save(*state.Writer)
	Load(*state.Reader)
}

// restarted returns fresh in the state of p.
func restarted[T kept](t *testing.T, p, fresh T) T {
	t.Helper()
	var w state.Writer
	p.Save(&w)
	r := &state.Reader{B: w.B}
	if fresh.Load(r); r.Err() != nil || len(r.B) != 0 {
		t.Fatalf("load: %v, %d bytes left", r.Err(), len(r.B))
	}
	return fresh
}

// TestCorrectionsResume holds that an echo, the correction that hears it and the spread of its
// errors go on after restarts at any row as if nothing had happened, with labels ten rows late.
func TestCorrectionsResume(t *testing.T) {
	inputs := make([]online.Input, 1)
	newEcho := func() *online.Echo { return online.NewEcho(online.Schema{Inputs: inputs}) }
	newCorrector := func() *online.CorrectorRegressor {
		c, err := online.NewCorrectorRegressor(online.Schema{Inputs: append(inputs[:1:1], newEcho().Inputs()...)}, 4, online.LinearOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	newSpread := func() *online.Spread {
		s, err := online.NewSpread(inputs)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	const rows, late = 400, 10
	play := func(restart bool) (said [2][]float64) {
		rng := rand.New(rand.NewPCG(9, 9))
		e, c, s := newEcho(), newCorrector(), newSpread()
		xs, whys, ys := make([][5]float64, rows), make([][online.SpreadInputs]float64, rows), make([]float64, rows)
		for i := range rows {
			if restart {
				e, c, s = restarted(t, e, newEcho()), restarted(t, c, newCorrector()), restarted(t, s, newSpread())
			}
			x := &xs[i]
			x[0], ys[i] = rng.NormFloat64(), 10*math.Sin(float64(i)/40)
			if x[4] = ys[i] + rng.NormFloat64(); i%17 == 3 {
				x[4] = math.NaN()
			}
			e.Into(x[1:4], x[4:])
			p := c.Predict(x[:])
			s.Into(whys[i][:], p, math.Abs(p-x[4]))
			said[0], said[1] = append(said[0], p), append(said[1], s.Expect(whys[i][:], x[:]))
			if j := i - late; j >= 0 {
				c.Learn(xs[j][:], ys[j], 1)
				s.Learn(whys[j][:], xs[j][:], ys[j], ys[j]-said[0][j])
			}
		}
		return said
	}
	whole, again := play(false), play(true)
	for k, name := range []string{"prediction", "spread"} {
		known := 0
		for i := range rows {
			if math.Float64bits(whole[k][i]) != math.Float64bits(again[k][i]) {
				t.Fatalf("row %d: %s %v, with restarts %v", i, name, whole[k][i], again[k][i])
			}
			if !math.IsNaN(whole[k][i]) {
				known++
			}
		}
		if known < rows/2 {
			t.Errorf("only %d of %d rows have a %s", known, rows, name)
		}
	}
}
