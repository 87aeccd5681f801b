package forest

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/ensemble"
)

// TestGolden holds that the bytes of a forest are these, whatever the architecture: products are
// rounded before they are added, and no function differs. The table is of integers, divisions,
// and ensemble.Exp, which promises the same bits. Run it as 386 and, under an emulator, as arm64:
//
//	GOARCH=386 go test ./compute/forest -run Golden
//	GOARCH=arm64 go test -exec qemu-aarch64 ./compute/forest -run Golden
//
// A change that is meant to change models changes the sums; the test prints them.
func TestGolden(t *testing.T) {
	const rows, cols = 900, 5
	rng := rand.New(rand.NewPCG(91, 1))
	x, y, w := make([]float64, rows*cols), make([]float64, rows), make([]float64, rows)
	for i := range rows {
		r := x[i*cols : (i+1)*cols]
		r[0] = float64(rng.IntN(40) - 20)
		r[1] = float64(rng.IntN(1<<20)) / 7
		r[2] = ensemble.Exp(float64(rng.IntN(2000)-1000) / 300)
		r[3] = float64(rng.IntN(25))
		r[4] = 1 / float64(1+rng.IntN(1000))
		if rng.IntN(6) == 0 {
			r[rng.IntN(cols)] = math.NaN()
		}
		for j, f := range []float64{1.0 / 7, 1.0 / 90_000, 1.0 / 11, 0, -1} {
			if r[j] == r[j] {
				y[i] += float64(f * r[j])
			}
		}
		if r[3] == r[3] {
			y[i] += float64(int(r[3])*7%5) / 3
		}
		w[i] = float64(1+rng.IntN(9)) / 3
	}
	d := Data{X: mixed(t, x, false, false, false, true, false), Weight: w}
	for _, c := range []struct {
		p    Params
		bare bool // without weights
		want string
	}{
		{Params{}, true, "1b0755481d522d3d"},
		{Params{Features: 1, RowsShare: 0.5}, false, "b3556a170dcf3a3f"},
		{Params{Extra: true}, false, "e8ee52bac5935d10"},
		{Params{Classes: 2, Balanced: true, Smooth: 0.3}, true, "b8eb28cee09cc689"},
		{Params{Classes: 3, Smooth: 0.7}, false, "6f4da5c82d54ee09"},
		{Params{Classes: 3, Extra: true, Leaves: 40}, true, "31c8d6351bf5636b"},
	} {
		d := d
		d.Y = make([]float64, rows)
		for i, v := range y {
			if d.Y[i] = v; c.p.Classes > 0 {
				d.Y[i] = float64(min(max(int(v), 0), c.p.Classes-1))
			}
		}
		if c.bare {
			d.Weight = nil
		}
		c.p.Trees, c.p.Seed, c.p.Threads = 12, 4, 2
		m := fit(t, d, c.p)
		b, _ := m.Ensemble.AppendBinary(nil)
		sum := sha256.Sum256(b)
		if got := hex.EncodeToString(sum[:8]); got != c.want {
			t.Errorf("%+v, weights %v: %d nodes, sum %q, want %q", c.p, !c.bare, m.Ensemble.Nodes(), got, c.want)
		}
	}
}
