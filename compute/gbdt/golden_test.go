package gbdt

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/ensemble"
)

// goldenTable is a table of whole numbers, fractions, NaN, categories and weights whose bits are
// the same on every architecture: integers, divisions, and ensemble.Exp, which promises it.
func goldenTable(t testing.TB) Data {
	const rows, cols = 1200, 6
	rng := rand.New(rand.NewPCG(81, 1))
	x, y, w := make([]float64, rows*cols), make([]float64, rows), make([]float64, rows)
	for i := range rows {
		r := x[i*cols : (i+1)*cols]
		r[0] = float64(rng.IntN(40) - 20)
		r[1] = float64(rng.IntN(1<<20)) / 7
		r[2] = ensemble.Exp(float64(rng.IntN(2000)-1000) / 300)
		r[3] = float64(rng.IntN(25))
		r[4] = float64(rng.IntN(3))
		r[5] = 1 / float64(1+rng.IntN(1000))
		if rng.IntN(8) == 0 {
			r[rng.IntN(cols)] = math.NaN()
		}
		for j, f := range []float64{1.0 / 7, 1.0 / 90_000, 1.0 / 11, 0, 1.0 / 3, -1} {
			if r[j] == r[j] {
				y[i] += float64(f * r[j])
			}
		}
		if r[3] == r[3] {
			y[i] += float64(int(r[3])*7%5) / 3
		}
		y[i] += float64(rng.IntN(1000)) / 999
		w[i] = float64(1+rng.IntN(9)) / 3
	}
	all := mixed(x, false, false, false, true, true, false)
	d := Data{X: binnedRows(t, all, all), Y: y, Weight: w}
	for i := range int32(rows) {
		if i%5 == 2 {
			d.Valid = append(d.Valid, i)
		} else {
			d.Train = append(d.Train, i)
		}
	}
	return d
}

// TestGolden holds that the bytes of a model are these, whatever the architecture: products are
// rounded before they are added, and exponentials and logarithms are our own. Run it as 386 and,
// under an emulator, as arm64:
//
//	GOARCH=386 go test ./compute/gbdt -run Golden
//	GOARCH=arm64 go test -exec qemu-aarch64 ./compute/gbdt -run Golden
//
// A change that is meant to change models changes the sums; the test prints them.
func TestGolden(t *testing.T) {
	d := goldenTable(t)
	y := d.Y
	for _, c := range []struct {
		p    Params
		bare bool // without weights
		want string
	}{
		{Params{}, true, "574af6487d9bf97d"},
		{Params{Monotone: []int8{1, 1, 0, 0, 0, -1}, L1: 0.5, L2: 2}, false, "c14ab20b20e55701"},
		{Params{Objective: Absolute, RowFraction: 0.7, FeatureFraction: 0.6, SplitFraction: 0.7}, true, "a0f83ba6265f8893"},
		{Params{Objective: Quantile, Alpha: 0.85, Monotone: []int8{1, 0, 0, 0, 0, 0}}, false, "3ac07108c1b6f2a0"},
		{Params{Objective: Huber, Delta: 0.3, Boosting: DART, DropSkip: 0.2, EarlyStop: 0}, false, "5163d063c6cfc31a"},
		{Params{Objective: Poisson, OneHotCategories: 30}, false, "33f2e1131ef4e105"},
		{Params{Objective: Logistic, CategoryGroup: 1}, true, "ae68f0417c54e9dd"},
		{Params{Objective: Logistic, Boosting: GOSS}, false, "a477fb16d46a7188"},
		{Params{Objective: Softmax, Classes: 3}, false, "dfae05423af8e534"},
		{Params{Objective: Softmax, Classes: 3, Boosting: DART, DropRate: 0.3}, true, "40e8010e1fefbb39"},
	} {
		d := d
		d.Y = make([]float64, len(y))
		for i, v := range y {
			switch v = max(v, -1); c.p.Objective {
			case Poisson:
				d.Y[i] = math.Floor(v + 1)
			case Logistic:
				d.Y[i] = float64(min(max(int(v+1)-2, 0), 1))
			case Softmax:
				d.Y[i] = float64(min(max(int(v+1)-1, 0), 2))
			default:
				d.Y[i] = y[i]
			}
		}
		if c.bare {
			d.Weight = nil
		}
		c.p.Rounds, c.p.LearningRate, c.p.Leaves, c.p.MinRows, c.p.Seed, c.p.Threads = 40, 0.3, 12, 5, 4, 2
		if c.p.Boosting != DART {
			c.p.EarlyStop = 8
		}
		m := train(t, d, c.p)
		b, _ := m.Ensemble.AppendBinary(nil)
		h := sha256.New()
		h.Write(b)
		for _, l := range m.Losses {
			fmt.Fprintf(h, "%x", math.Float64bits(l)) // early stopping compares them
		}
		if got := hex.EncodeToString(h.Sum(nil)[:8]); got != c.want {
			t.Errorf("%s, %s, weights %v: %d rounds, %d nodes, sum %q, want %q", c.p.Objective, c.p.Boosting, !c.bare, m.Rounds, m.Ensemble.Nodes(), got, c.want)
		}
	}
}
