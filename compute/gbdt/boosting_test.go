package gbdt

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

// TestGOSSAndDART hold that both come close to plain boosting on an easy table, differ from it,
// repeat bit for bit for every number of threads, and that the trainer's own loss is the final
// ensemble's: DART changes earlier trees up to the end.
func TestGOSSAndDART(t *testing.T) {
	const rows, cols = 2000, 4
	x, y := table(rand.New(rand.NewPCG(61, 1)), rows, cols)
	class, three := make([]float64, rows), make([]float64, rows)
	var d Data
	d.X = matrix(t, x, cols)
	for i, v := range y {
		class[i], three[i] = float64(min(max(int(v), 0), 1)), float64(min(max(int(v), 0), 2))
		if i%4 == 0 {
			d.Valid = append(d.Valid, int32(i))
		} else {
			d.Train = append(d.Train, int32(i))
		}
	}
	for _, p := range []Params{{Objective: Squared}, {Objective: Absolute}, {Objective: Logistic}, {Objective: Softmax, Classes: 3}} {
		switch d.Y = y; p.Objective {
		case Logistic:
			d.Y = class
		case Softmax:
			d.Y = three
		}
		p.Rounds, p.Leaves, p.Seed = 60, 8, 5
		plain := train(t, d, p)
		first, last := plain.Losses[0], plain.Losses[59]
		for _, p.Boosting = range []Boosting{GOSS, DART} {
			var want []byte
			for _, p.Threads = range []int{1, 2, 3} {
				m := train(t, d, p)
				got, _ := m.Ensemble.AppendBinary(nil)
				if want != nil {
					if !bytes.Equal(got, want) {
						t.Errorf("%s, %s: the model of %d threads differs from that of 1", p.Objective, p.Boosting, p.Threads)
					}
					continue
				}
				want = got
				if b, _ := plain.Ensemble.AppendBinary(nil); bytes.Equal(b, got) {
					t.Errorf("%s, %s: the same model as without", p.Objective, p.Boosting)
				}
				if m.Rounds != 60 || len(m.Losses) != 60 {
					t.Fatalf("%s, %s: %d rounds, %d losses", p.Objective, p.Boosting, m.Rounds, len(m.Losses))
				}
				if l := m.Losses[59]; l > last+0.25*(first-last) {
					t.Errorf("%s, %s: loss %v after 60 rounds; plain boosting starts at %v and reaches %v", p.Objective, p.Boosting, l, first, last)
				}
				if got, want := lossOf(t, m, d, x, cols, p.Objective), m.Losses[59]; math.Abs(got-want) > 1e-8*want {
					t.Errorf("%s, %s: the ensemble's loss is %v, the trainer said %v", p.Objective, p.Boosting, got, want)
				}
			}
		}
	}
}

// lossOf is the mean loss of an ensemble on d.Valid.
func lossOf(t testing.TB, m *Model, d Data, x []float64, cols int, o Objective) float64 {
	t.Helper()
	sum, dst := 0.0, make([]float64, m.Ensemble.Outputs())
	for _, i := range d.Valid {
		if err := m.Ensemble.PredictInto(dst, x[int(i)*cols:][:cols]); err != nil {
			t.Fatal(err)
		}
		switch y := d.Y[i]; o {
		case Squared:
			sum += (y - dst[0]) * (y - dst[0])
		case Absolute:
			sum += math.Abs(y - dst[0])
		case Logistic:
			sum -= math.Log(1 - math.Abs(y-dst[0]))
		case Softmax:
			sum -= math.Log(dst[int(y)])
		}
	}
	return sum / float64(len(d.Valid))
}

// TestDARTDrops holds what dropping does to the trees: with every earlier tree dropped in every
// round, all trees of a constant leaf end up sharing what one would do.
func TestDARTDrops(t *testing.T) {
	x := make([]float64, 100)
	y := make([]float64, 100)
	for i := range x {
		if i >= 50 {
			x[i], y[i] = 1, 8
		}
	}
	// Each round sees no other tree, so it grows the whole correction, and all are scaled to a
	// mean.
	p := Params{Boosting: DART, Rounds: 6, LearningRate: 1, Leaves: 2, DropRate: 1, DropSkip: 1e-300}
	m := train(t, Data{X: matrix(t, x, 1), Y: y}, p)
	if m.Ensemble.Trees() != 6 {
		t.Fatalf("%d trees", m.Ensemble.Trees())
	}
	for k := range 6 {
		if leaf := m.Ensemble.Tree(k)[1].Value; math.Abs(leaf- -4.0/6) > 1e-9 {
			t.Errorf("tree %d says %v, want a sixth of -4", k, leaf)
		}
	}
	if a, b := predict1(t, m, 0), predict1(t, m, 1); math.Abs(a) > 1e-9 || math.Abs(b-8) > 1e-9 {
		t.Errorf("predictions %v and %v, want 0 and 8", a, b)
	}
}
