package sequential

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

const hour = int64(3600_000_000)

// losses are absolute errors of two models, clipped, that go together and last.
type losses struct {
	rng              *rand.Rand
	last             float64 // autocorrelation of the errors
	heavy            bool    // Student's t with three degrees of freedom
	common, own, alt float64
}

func (l *losses) next(worse float64) (incumbent, candidate float64) {
	step := func(x float64) float64 {
		z := l.rng.NormFloat64()
		if l.heavy {
			q := 0.0
			for range 3 {
				v := l.rng.NormFloat64()
				q += v * v
			}
			z /= math.Sqrt(q / 3)
		}
		return l.last*x + math.Sqrt(1-l.last*l.last)*z
	}
	l.common, l.own, l.alt = step(l.common), step(l.own), step(l.alt)
	size := func(own, scale float64) float64 { return min(math.Abs(0.7*l.common+0.714*own)*scale, 4) }
	return size(l.own, 1), size(l.alt, 1+worse)
}

// TestLooksAtEveryRow judges a candidate that is worse by exactly the margin, which every verdict
// gets wrong, and one that is as good as the incumbent, after each block of four rows.
func TestLooksAtEveryRow(t *testing.T) {
	const runs, rows, margin, alpha = 200, 6000, 0.05, 0.05
	for _, c := range []struct {
		last      float64
		heavy     bool
		wrong     float64 // at most
		undecided bool    // too much lasts for so few rows
	}{{0, false, 0.05, false}, {0.5, false, 0.05, false}, {0.9, false, 0.06, true}, {0, true, 0.05, false}, {0.9, true, 0.08, true}} {
		wrong, passed, failed := 0, 0, 0
		for _, worse := range []float64{margin, 0} {
			for seed := range uint64(runs) {
				l := &losses{rng: rand.New(rand.NewPCG(seed, 5)), last: c.last, heavy: c.heavy}
				for range 300 {
					l.next(worse)
				}
				var b Blocks
				for i := range int64(rows) {
					inc, cand := l.next(worse)
					if b.Add(i*hour, inc, cand); i < 200 || i%4 > 0 {
						continue
					}
					e := b.Estimate(margin, alpha, 500)
					over := e.Mean - margin*e.Incumbent
					if over-e.Half <= 0 && over+e.Half >= 0 {
						continue
					}
					switch {
					case worse == margin:
						wrong++
					case over < 0:
						passed++
					default:
						failed++
					}
					break
				}
			}
		}
		name := fmt.Sprintf("autocorrelation %v, heavy tails %v", c.last, c.heavy)
		t.Logf("%s: wrong on the margin %d, an equal model passes %d and fails %d of %d", name, wrong, passed, failed, runs)
		if float64(wrong) > c.wrong*runs {
			t.Errorf("%s: %d of %d verdicts on the margin, want at most %.0f", name, wrong, runs, c.wrong*runs)
		}
		if failed > runs/100 {
			t.Errorf("%s: an equal model fails %d times of %d", name, failed, runs)
		}
		if !c.undecided && passed < runs/3 {
			t.Errorf("%s: an equal model passes %d times of %d", name, passed, runs)
		}
	}
}

// TestBlocksAddUp: blocks of several devices, kept at their own lengths, come to what one device
// that had all rows would keep, in any order.
func TestBlocksAddUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var all Blocks
	parts := make([]Blocks, 3)
	for i := range 5000 {
		at := int64(i)*60_000_000 - 1000*60_000_000
		k := i % 3
		if i > 4000 {
			k = 0
		}
		inc, cand := rng.Float64(), rng.Float64()
		all.Add(at, inc, cand)
		parts[k].Add(at, inc, cand)
	}
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}} {
		var sum Blocks
		for _, k := range order {
			sum.Merge(parts[k])
		}
		if sum.Length != all.Length || sum.First != all.First || len(sum.Sums) != len(all.Sums) {
			t.Fatalf("order %v: %d blocks of %d from %d, want %d of %d from %d", order, len(sum.Sums), sum.Length, sum.First, len(all.Sums), all.Length, all.First)
		}
		for i, s := range sum.Sums {
			if w := all.Sums[i]; s.Rows != w.Rows || math.Abs(s.Incumbent-w.Incumbent) > 1e-9 || math.Abs(s.Diff-w.Diff) > 1e-9 {
				t.Errorf("order %v, block %d: %+v, want %+v", order, i, s, w)
			}
		}
	}
	if err := all.Check(); err != nil {
		t.Error(err)
	}
}

// TestBlocksBackwards: rows that come late, or long before, have their blocks too.
func TestBlocksBackwards(t *testing.T) {
	var forth, back Blocks
	at := make([]int64, 1000)
	for i := range at {
		at[i] = int64(i*i) * 1_000_000
		forth.Add(at[i], 1, 2)
	}
	slices.Reverse(at)
	for _, us := range at {
		back.Add(us, 1, 2)
	}
	if forth.Length != back.Length || len(forth.Sums) != len(back.Sums) || forth.Sums[3] != back.Sums[3] {
		t.Errorf("%+v\n%+v", forth, back)
	}
	if e := forth.Estimate(0.05, 0.05, 100); e.Rows != 1000 || e.Incumbent != 1 || e.Mean != 1 {
		t.Errorf("%+v", e)
	}
}

func TestBlocksCheck(t *testing.T) {
	ok := Block{Rows: 2, Incumbent: 1, Diff: -1}
	for name, b := range map[string]Blocks{
		"too many":       {Length: 1000, Sums: make([]Block, MaxBlocks+1)},
		"odd length":     {Length: 3000, Sums: []Block{ok}},
		"no length":      {Sums: []Block{ok}},
		"negative":       {Length: -1000, Sums: []Block{ok}},
		"far":            {Length: 1 << 20 * 1000, First: math.MaxInt64, Sums: []Block{ok}},
		"rows":           {Length: 1000, Sums: []Block{{Rows: -1}}},
		"not a number":   {Length: 1000, Sums: []Block{{Rows: 1, Incumbent: math.NaN()}}},
		"a perfect rest": {Length: 1000, Sums: []Block{{Rows: 1, Incumbent: 1, Diff: -100}}},
	} {
		if b.Check() == nil {
			t.Errorf("%s: %+v is taken", name, b)
		}
	}
	if err := (&Blocks{Length: 4000, First: -3, Sums: []Block{ok, {}}}).Check(); err != nil {
		t.Error(err)
	}
}
