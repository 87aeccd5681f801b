package gbdt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/binned"
)

// table returns rows of x with missing values and ties, and a target that depends on them.
func table(rng *rand.Rand, rows, cols int) (x, y []float64) {
	x, y = make([]float64, rows*cols), make([]float64, rows)
	for i := range rows {
		r := x[i*cols : (i+1)*cols]
		for j := range r {
			switch {
			case rng.IntN(10) == 0:
				r[j] = math.NaN()
			case j%2 == 0:
				r[j] = math.Round(4 * rng.NormFloat64())
			default:
				r[j] = rng.NormFloat64()
			}
		}
		y[i] = rng.NormFloat64() + 3*math.Sin(r[0])
		if r[0] != r[0] {
			y[i] = 2
		}
		if r[1] > 0 {
			y[i] += 2
		}
	}
	return x, y
}

func matrix(t testing.TB, x []float64, cols int) *binned.Matrix {
	t.Helper()
	m, err := binned.Fit(binned.FromRows(x, cols), binned.MaxBins, 2)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Apply(binned.FromRows(x, cols), 2)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func train(t testing.TB, d Data, p Params) *Model {
	t.Helper()
	m, err := Train(context.Background(), d, p)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// bruteForce returns the smallest squared error that one split of the rows can reach with at
// least minRows on each side.
func bruteForce(x, y []float64, cols, minRows int) float64 {
	best := math.Inf(1)
	sse := func(rows []int) float64 {
		var sum, ss float64
		for _, i := range rows {
			sum += y[i]
		}
		for _, i := range rows {
			d := y[i] - sum/float64(len(rows))
			ss += d * d
		}
		return ss
	}
	for j := range cols {
		for c := range y {
			for _, missingLeft := range []bool{false, true} {
				cut := x[c*cols+j]
				if cut != cut {
					cut = math.Inf(1) // present against missing
				}
				var left, right []int
				for i := range y {
					if v := x[i*cols+j]; v <= cut || (v != v && missingLeft) {
						left = append(left, i)
					} else {
						right = append(right, i)
					}
				}
				if len(left) >= minRows && len(right) >= minRows {
					best = min(best, sse(left)+sse(right))
				}
			}
		}
	}
	return best
}

func TestFirstSplitIsTheBest(t *testing.T) {
	for seed := range uint64(25) {
		rng := rand.New(rand.NewPCG(seed, 1))
		cols := 1 + rng.IntN(4)
		if cols == 1 {
			cols = 2
		}
		x, y := table(rng, 60+rng.IntN(60), cols)
		m := train(t, Data{X: matrix(t, x, cols), Y: y}, Params{Rounds: 1, LearningRate: 1, Leaves: 2, MinRows: 5})
		var got float64
		dst := make([]float64, 1)
		for i := range y {
			if err := m.Ensemble.PredictInto(dst, x[i*cols:(i+1)*cols]); err != nil {
				t.Fatal(err)
			}
			got += (y[i] - dst[0]) * (y[i] - dst[0])
		}
		if want := bruteForce(x, y, cols, 5); got > want*(1+1e-6) || got < want*(1-1e-6) {
			t.Errorf("seed %d: squared error after one split is %v, the best is %v", seed, got, want)
		}
	}
}

func TestQuantileMatchesSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	for range 500 {
		v := make([]float64, 1+rng.IntN(40))
		for i := range v {
			v[i] = float64(rng.IntN(20))
		}
		q := rng.Float64()
		s := slices.Clone(v)
		slices.Sort(s)
		pos := q * float64(len(s)-1)
		k := int(pos)
		want := s[k]
		if k+1 < len(s) {
			want += (pos - float64(k)) * (s[k+1] - s[k])
		}
		if got := quantile(v, q); math.Abs(got-want) > 1e-12 {
			t.Fatalf("quantile(%v, %v) = %v, want %v", s, q, got, want)
		}
	}
}

// TestQuantileLeaves holds that a leaf of quantile loss is the quantile of its residuals: with
// one tree and rate 1 the prediction is that of the rows that share the leaf.
func TestQuantileLeaves(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	x, y := table(rng, 400, 2)
	for _, weighted := range []bool{false, true} {
		d := Data{X: matrix(t, x, 2), Y: y}
		if weighted {
			d.Weight = make([]float64, len(y))
			for i := range d.Weight {
				// equal weights choose an order statistic next to the interpolated quantile
				d.Weight[i] = 2
			}
		}
		m := train(t, d, Params{Objective: Quantile, Alpha: 0.8, Rounds: 1, LearningRate: 1, Leaves: 6})
		byLeaf := map[float64][]float64{}
		dst := make([]float64, 1)
		for i := range y {
			_ = m.Ensemble.PredictInto(dst, x[2*i:2*i+2])
			byLeaf[dst[0]] = append(byLeaf[dst[0]], y[i])
		}
		if len(byLeaf) != 6 {
			t.Fatalf("%d leaves, want 6", len(byLeaf))
		}
		for v, ys := range byLeaf {
			var below, upTo float64
			for _, w := range ys {
				if w < v-1e-9 {
					below++
				}
				if w <= v+1e-9 {
					upTo++
				}
			}
			n := float64(len(ys))
			if below > 0.8*n+1 || upTo < 0.8*n-1 {
				t.Errorf("weighted %v: %v of %v rows of a leaf lie below its 0.8-quantile, %v up to it", weighted, below, n, upTo)
			}
		}
	}
}

func TestSameModelForEveryThreadCount(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	const cols = 40
	x, y := table(rng, 3000, cols)
	class := make([]float64, len(y))
	for i := range y {
		class[i] = float64(min(max(int(y[i]+1), 0), 2))
	}
	for _, p := range []Params{
		{Objective: Squared, RowFraction: 0.7, FeatureFraction: 0.5},
		{Objective: Absolute}, {Objective: Quantile, Alpha: 0.1}, {Objective: Huber}, {Objective: Softmax, Classes: 3},
	} {
		p.Rounds, p.Leaves, p.Seed = 8, 12, 9
		target := y
		if p.Objective == Softmax {
			target = class
		}
		var want []byte
		for _, p.Threads = range []int{1, 2, 3, 5} {
			m := train(t, Data{X: matrix(t, x, cols), Y: target}, p)
			got, _ := m.Ensemble.AppendBinary(nil)
			if want == nil {
				want = got
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: the model of %d threads differs from that of 1", p.Objective, p.Threads)
			}
		}
	}
}

// TestObjectivesLearn holds that every objective beats the best constant on rows it did not see.
func TestObjectivesLearn(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 1))
	const cols, rows = 4, 4000
	x, y := table(rng, rows, cols)
	var d Data
	for i := range rows {
		if i%4 == 0 {
			d.Valid = append(d.Valid, int32(i))
		} else {
			d.Train = append(d.Train, int32(i))
		}
	}
	for _, p := range []Params{
		{Objective: Squared}, {Objective: Absolute}, {Objective: Quantile, Alpha: 0.9}, {Objective: Huber, Delta: 0.5},
		{Objective: Logistic}, {Objective: Softmax, Classes: 3}, {Objective: Squared, RowFraction: 0.5, FeatureFraction: 0.6},
	} {
		d.X, d.Y = matrix(t, x, cols), slices.Clone(y)
		for i := range d.Y {
			switch p.Objective {
			case Logistic:
				d.Y[i] = float64(min(max(int(y[i]), 0), 1))
			case Softmax:
				d.Y[i] = float64(min(max(int(y[i]), 0), 2))
			}
		}
		p.Rounds, p.EarlyStop, p.Leaves, p.Seed = 300, 20, 8, 1
		m := train(t, d, p)
		first, best := m.Losses[0], m.Losses[m.Rounds-1]
		if best > 0.8*first {
			t.Errorf("%s: loss %v after a round, %v after %d", p.Objective, first, best, m.Rounds)
		}
		if best != slices.Min(m.Losses) || len(m.Losses)-m.Rounds > 20 {
			t.Errorf("%s: kept %d of %d rounds", p.Objective, m.Rounds, len(m.Losses))
		}
		if len(m.Importance) != cols || m.Importance[0]+m.Importance[1] < 0.7 {
			t.Errorf("%s: importance %v, the target depends on the first two", p.Objective, m.Importance)
		}
	}
}

// TestScoresMatchEnsemble holds that what the trainer believes of its validation rows is what the
// packed ensemble predicts.
func TestScoresMatchEnsemble(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	x, y := table(rng, 1000, 3)
	d := Data{X: matrix(t, x, 3), Y: y}
	for i := range 1000 {
		if i < 700 {
			d.Train = append(d.Train, int32(i))
		} else {
			d.Valid = append(d.Valid, int32(i))
		}
	}
	m := train(t, d, Params{Rounds: 40, Leaves: 10})
	var sum float64
	dst := make([]float64, 1)
	for _, i := range d.Valid {
		_ = m.Ensemble.PredictInto(dst, x[3*i:3*i+3])
		sum += (y[i] - dst[0]) * (y[i] - dst[0])
	}
	if got, want := sum/300, m.Losses[39]; math.Abs(got-want) > 1e-9*want {
		t.Errorf("the ensemble's loss is %v, the trainer said %v", got, want)
	}
}

func TestTrainRefuses(t *testing.T) {
	x, y := table(rand.New(rand.NewPCG(8, 1)), 50, 2)
	b := matrix(t, x, 2)
	nan := slices.Clone(y)
	nan[3] = math.NaN()
	for name, c := range map[string]struct {
		d Data
		p Params
	}{
		"objective": {Data{X: b, Y: y}, Params{Objective: "guess"}},
		"alpha":     {Data{X: b, Y: y}, Params{Alpha: 2}},
		"rate":      {Data{X: b, Y: y}, Params{LearningRate: -1}},
		"target":    {Data{X: b, Y: nan}, Params{}},
		"class":     {Data{X: b, Y: y}, Params{Objective: Logistic}},
		"length":    {Data{X: b, Y: y[1:]}, Params{}},
		"row":       {Data{X: b, Y: y, Train: []int32{50}}, Params{}},
		"no rows":   {Data{X: b, Y: y, Train: []int32{}}, Params{}},
	} {
		if _, err := Train(context.Background(), c.d, c.p); err == nil {
			t.Errorf("Train with a bad %s gave no error", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := Params{Progress: func(round int, _ float64) bool {
		if round == 3 {
			cancel()
		}
		return true
	}}
	if _, err := Train(ctx, Data{X: b, Y: y}, p); !errors.Is(err, context.Canceled) {
		t.Errorf("Train under a cancelled context = %v", err)
	}
}

// go test ./compute/gbdt -run '^$' -bench Train -benchtime 1x
func BenchmarkTrain(b *testing.B) {
	rng := rand.New(rand.NewPCG(9, 1))
	const rows, cols = 100_000, 60
	x, y := make([]float64, rows*cols), make([]float64, rows)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	for i := range y {
		r := x[i*cols:]
		y[i] = r[0]*r[1] + math.Sin(2*r[2]) + r[3] + 0.5*rng.NormFloat64()
	}
	m := matrix(b, x, cols)
	for _, o := range []Objective{Squared, Absolute} {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("objective=%s/threads=%d", o, threads), func(b *testing.B) {
				for b.Loop() {
					train(b, Data{X: m, Y: y}, Params{Objective: o, Threads: threads})
				}
			})
		}
	}
}
