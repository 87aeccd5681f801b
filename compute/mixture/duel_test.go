package mixture

import (
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/state"
)

// TestDuel gives two forecasters losses that differ by chance alone, which lasts as long as labels
// are late, then lets the second be better, then worse, by half of what a row's chance is.
func TestDuel(t *testing.T) {
	for _, late := range []int{0, 24} {
		rng := rand.New(rand.NewPCG(3, uint64(late)))
		m := NewDuel(300, [2]float64{2, 1})
		if w := m.Weights(); math.Abs(w[0]-2./3) > 1e-15 || math.Abs(w[1]-1./3) > 1e-15 {
			t.Fatalf("first weights %v, want two thirds and one third", w)
		}
		var chance []float64
		row := func(better float64) {
			chance = append(chance, rng.NormFloat64())
			sum := 0.0
			for _, v := range chance[max(0, len(chance)-1-late):] {
				sum += v / math.Sqrt(float64(1+late))
			}
			m.Update(0.4, 0.4+0.1*sum-better, float64(late))
		}
		mean, far := 0.0, 0
		for range 20_000 {
			row(0)
			w := m.Weights()[0]
			mean += w / 20_000
			if w < 0.1 || w > 0.95 {
				far++
			}
		}
		if mean < 0.5 || mean > 0.8 || far > 1000 {
			t.Errorf("labels %d rows late: the first has weight %.2f on average, and an extreme one on %d of 20000 rows: want about two thirds and few", late, mean, far)
		}
		for range 500 * (1 + late) {
			row(0.05)
		}
		if w := m.Weights(); w[1] < 0.99 {
			t.Errorf("labels %d rows late: weights %.3f, want nearly all for the second", late, w)
		}
		for range 900 * (1 + late) {
			row(-0.05)
		}
		if w := m.Weights(); w[1] > 0.01 {
			t.Errorf("labels %d rows late: weights %.3f, want little for the second, which has got worse", late, w)
		}
	}
}

func TestDuelOfOdd(t *testing.T) {
	m := NewDuel(100, [2]float64{1, 1})
	for range 1000 {
		m.Update(math.NaN(), 0.4, 0)
		m.Update(0.4, math.NaN(), 0)
	}
	if w := m.Weights(); w != [2]float64{0.5, 0.5} {
		t.Errorf("weights %v when only one says anything, want even ones", w)
	}
	for range 1000 {
		m.Update(math.Inf(1), -5, 3)
	}
	if w := m.Weights(); !(w[1] > 0.999 && w[1] <= 1) {
		t.Errorf("weights %v after losses beyond the range, want all for the second", w)
	}
}

func TestDuelState(t *testing.T) {
	a := NewDuel(100, [2]float64{1000, 1})
	rng := rand.New(rand.NewPCG(8, 8))
	for range 300 {
		a.Update(rng.Float64(), rng.Float64(), 2)
	}
	var w state.Writer
	a.Save(&w)
	b := NewDuel(100, [2]float64{1, 1})
	r := &state.Reader{B: w.B}
	if b.Load(r); r.Err() != nil || len(r.B) != 0 {
		t.Fatalf("load: %v, %d bytes left", r.Err(), len(r.B))
	}
	if a.Weights() != b.Weights() {
		t.Errorf("weights %v after a restart, want %v", b.Weights(), a.Weights())
	}
	nan, inf := math.NaN(), math.Inf(1)
	for _, bad := range [][4]float64{{nan, 0.5, 0, 0}, {-1, 2, 0, 0}, {1, 1, 0, 0}, {0.5, 0.5, nan, 0}, {0.5, 0.5, inf, 0}, {0.5, 0.5, 0, -1}, {0.5, 0.5, 0, inf}} {
		var w state.Writer
		for _, v := range bad {
			w.Float(v)
		}
		r := &state.Reader{B: w.B}
		if b.Load(r); r.Err() == nil {
			t.Errorf("%v is taken", bad)
		}
		if a.Weights() != b.Weights() {
			t.Errorf("%v moved the weights", bad)
		}
	}
}
