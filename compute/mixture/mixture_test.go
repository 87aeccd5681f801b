package mixture

import (
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/state"
)

// TestTracksTheBestSequence lets the best expert change twice and compares the mixture's loss
// with the best sequence's, as the fixed-share bound promises.
func TestTracksTheBestSequence(t *testing.T) {
	m := New(3, 2, 0.01, nil)
	rng := rand.New(rand.NewPCG(1, 1))
	var ours, best float64
	const n = 3000
	for i := range n {
		loss := []float64{0.5, 0.5, 0.5}
		loss[i/1000] = 0.1
		for k := range loss {
			loss[k] += 0.1 * rng.Float64()
		}
		for k, w := range m.Weights() {
			ours += w * loss[k]
		}
		best += loss[i/1000]
		m.Update(loss)
	}
	// Regret of fixed share: (ln N + k ln(n/k) + ...)/η plus ηn/8 in the worst case; here the gap
	// is large and the measured regret must be far below 2 %.
	if regret := (ours - best) / n; regret > 0.02 {
		t.Errorf("regret %.4f per step", regret)
	}
	if w := m.Weights(); w[2] < 0.9 {
		t.Errorf("weights %v after the third expert led for 1000 steps", w)
	}
}

func TestAbstainingExpertKeepsItsWeight(t *testing.T) {
	nan := math.NaN()
	m := New(3, 2, 0.01, []float64{0.5, 0.3, 0.2})
	for range 500 {
		m.Update([]float64{nan, 0.1, 0.4})
	}
	w := m.Weights()
	if math.Abs(w[0]-0.5) > 1e-9 || w[1] < w[2] {
		t.Errorf("weights %v, want the sleeping expert at 0.5 and the better of the others ahead", w)
	}
	if p := m.Predict([]float64{nan, 4, 4}); p != 4 {
		t.Errorf("Predict = %v, want 4", p)
	}
	if p := m.Predict([]float64{nan, nan, nan}); !math.IsNaN(p) {
		t.Errorf("Predict of nothing = %v, want NaN", p)
	}
	before := append([]float64{}, w...)
	m.Update([]float64{nan, nan, nan})
	for i := range before {
		if m.Weights()[i] != before[i] {
			t.Error("weights move without a loss")
		}
	}
}

func TestSaveLoad(t *testing.T) {
	m := New(3, 2, 0.01, nil)
	m.Update([]float64{0.1, 0.9, 5})
	var w state.Writer
	m.Save(&w)
	n := New(3, 2, 0.01, nil)
	r := &state.Reader{B: w.B}
	n.Load(r)
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	for i := range m.Weights() {
		if m.Weights()[i] != n.Weights()[i] {
			t.Fatal("weights differ after a load")
		}
	}
	bad := &state.Reader{B: func() []byte { var w state.Writer; w.Floats([]float64{2, -1, 0}); return w.B }()}
	n.Load(bad)
	if bad.Err() == nil {
		t.Error("impossible weights load")
	}
}
