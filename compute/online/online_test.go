package online

import (
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/state"
)

func TestLearnsAndForgetsNothingOnLoad(t *testing.T) {
	l := NewLinear(3, 0, 0)
	rng := rand.New(rand.NewPCG(1, 9))
	var early, late float64
	row := make([]float64, 3)
	next := func() float64 {
		for i := range row {
			row[i] = rng.NormFloat64()*10 + 5
		}
		return 0.05*row[0] - 0.03*row[1] + 0.1*rng.NormFloat64()
	}
	for i := range 4000 {
		y := next()
		e := math.Abs(y - l.Predict(row))
		if i < 200 {
			early += e / 200
		}
		if i >= 3800 {
			late += e / 200
		}
		l.Learn(row, y)
	}
	if late > 0.15 || late > early/2 {
		t.Errorf("error %.3f early, %.3f late", early, late)
	}
	var w state.Writer
	l.Save(&w)
	m := NewLinear(3, 0, 0)
	r := &state.Reader{B: w.B}
	if m.Load(r); r.Err() != nil {
		t.Fatal(r.Err())
	}
	for range 50 {
		y := next()
		l.Learn(row, y)
		m.Learn(row, y)
		if l.Predict(row) != m.Predict(row) {
			t.Fatal("predictions differ after a load")
		}
	}
	l.Reset()
	if p := l.Predict(row); p != 0 {
		t.Errorf("Predict after Reset = %v, want 0", p)
	}
}

// TestNeverDiverges feeds what breaks plain gradient descent: jumps of scale, infinities, missing values, absurd targets.
func TestNeverDiverges(t *testing.T) {
	l := NewLinear(2, 0, 3)
	rng := rand.New(rand.NewPCG(2, 9))
	for i := range 5000 {
		x := []float64{rng.NormFloat64() * math.Pow(10, float64(i%9)), rng.NormFloat64()}
		y := rng.NormFloat64()
		switch i % 50 {
		case 0:
			x[0] = math.Inf(1)
		case 1:
			x[1] = math.NaN()
		case 2:
			y = 1e12
		case 3:
			y = math.NaN()
		}
		if p := l.Predict(x); math.IsNaN(p) || math.Abs(p) > 3 {
			t.Fatalf("step %d: prediction %v", i, p)
		}
		l.Learn(x, y)
	}
	if l.Inputs() != 2 {
		t.Error("Inputs")
	}
}
