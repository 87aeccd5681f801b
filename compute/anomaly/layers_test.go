package anomaly

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/internal/race"
	"skerry.dev/compute/state"
)

// TestAlarmKeepsItsRate draws scores of several shapes, without an anomaly among them: the share
// of alarms is the rate.
func TestAlarmKeepsItsRate(t *testing.T) {
	if race.Enabled {
		t.Skip("judges by many rows, which takes long under the race detector: run without -race")
	}
	shapes := map[string]func(rng *rand.Rand) float64{
		"uniform":  func(rng *rand.Rand) float64 { return rng.Float64() },
		"narrow":   func(rng *rand.Rand) float64 { return 0.5 + 0.01*rng.NormFloat64() },
		"heavy":    func(rng *rand.Rand) float64 { x := rng.ExpFloat64(); return x * x / (1 + x*x) },
		"mostly 0": func(rng *rand.Rand) float64 { return max(0, rng.NormFloat64()-1.5) / 5 },
	}
	for name, draw := range shapes {
		for _, rate := range []float64{0.05, 0.01, 0.002} {
			a, err := NewAlarm(rate)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 1))
			const warm, n = 4096, 60_000
			hits := 0
			for i := range warm + n {
				if a.Update(draw(rng)) && i >= warm {
					hits++
				}
			}
			if got := float64(hits) / n; got > 1.25*rate || got < rate/1.6 {
				t.Errorf("%s at %v: %v alarms a row", name, rate, got)
			}
		}
	}
}

func TestAlarmFromFewScores(t *testing.T) { // long before there are 1/rate scores
	a, err := NewAlarm(1e-5)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(2, 2))
	for i := range 1000 {
		if a.Update(0.2 + 0.02*rng.NormFloat64()) {
			t.Errorf("score %d: a false alarm at a rate of 1e-5", i)
		}
	}
	if a.Update(0) || a.Update(math.NaN()) || a.Update(math.Inf(1)) {
		t.Error("a score that is no evidence is an alarm")
	}
	if !a.Update(0.9) {
		t.Error("a score 35 deviations above the others is none")
	}
	var w state.Writer
	a.Save(&w)
	b, _ := NewAlarm(1e-5)
	r := &state.Reader{B: w.B}
	if b.Load(r); r.Err() != nil || len(r.B) != 0 {
		t.Fatalf("load: %v", r.Err())
	}
	for range 200 {
		v := 0.2 + 0.04*rng.NormFloat64()
		if a.Update(v) != b.Update(v) {
			t.Fatal("a loaded alarm decides otherwise")
		}
	}
	for _, rate := range []float64{0, -1, 0.5, math.NaN()} {
		if _, err := NewAlarm(rate); err == nil {
			t.Errorf("a rate of %v is accepted", rate)
		}
	}
}

// TestLikelihood: a stream that often has high scores needs more of them.
func TestLikelihood(t *testing.T) {
	if _, err := NewLikelihood(50); err == nil {
		t.Error("a window of 50 is accepted")
	}
	rng := rand.New(rand.NewPCG(3, 3))
	quiet, _ := NewLikelihood(2000)
	noisy, _ := NewLikelihood(2000)
	top := 0.0
	for range 20_000 {
		quiet.Update(0.1 * rng.Float64())
		s := noisy.Update(float64(rng.IntN(2)))
		top = max(top, s)
	}
	if top > 0.45 {
		t.Errorf("noise reaches %v, want less than a chance of 3e-5 a row", top)
	}
	var a, b float64
	for range 4 {
		a, b = quiet.Update(1), noisy.Update(1)
	}
	if !(a > 0.9 && b < 0.3) {
		t.Errorf("four high scores are %v in a quiet and %v in a noisy stream", a, b)
	}
	sum := 0.0
	for k := range quiet.scores.len() {
		sum += quiet.scores.back(k)
	}
	if math.Abs(sum-quiet.sum) > 1e-9 {
		t.Errorf("the running sum is %v, the sum %v", quiet.sum, sum)
	}
	// -log10 of twice the upper tail, from math.Erfc
	for _, c := range []struct{ z, want float64 }{{1, 0.4985}, {2, 1.3420}, {3, 2.5687}, {5, 6.2416}, {10, 22.8170}} {
		if got := rarity(c.z); math.Abs(got-c.want) > 0.001*c.want || math.Abs(c.want+math.Log10(math.Erfc(c.z/math.Sqrt2))) > 1e-3 {
			t.Errorf("rarity(%v) = %v, want %v (%v)", c.z, got, c.want, -math.Log10(math.Erfc(c.z/math.Sqrt2)))
		}
	}
}

func TestHistoryAgainstSorting(t *testing.T) {
	h := newHistory(50, 0.1)
	rng := rand.New(rand.NewPCG(4, 4))
	var all []float64
	for range 1000 {
		v := math.Round(rng.NormFloat64() * 5) // with ties
		h.add(v)
		all = append(all, v)
		want := slices.Sorted(slices.Values(all[max(0, len(all)-50):]))
		if !slices.Equal(h.sorted, want) {
			t.Fatalf("after %d values %v, want %v", len(all), h.sorted, want)
		}
	}
	n := len(h.sorted)
	for _, v := range []float64{-100, -7, -3.5, 0, 2, 7, 30} {
		up, down := 0, 0
		for _, x := range h.sorted {
			if x >= v {
				up++
			}
			if x <= v {
				down++
			}
		}
		edge := h.sorted[n-1-h.tailSize()]
		if got, want := h.above(v), -math.Log(float64(up+1)/float64(n+1)); v <= edge && math.Abs(got-want) > 1e-12 || v > edge && got < -math.Log(float64(h.tailSize()+1)/float64(n+1)) {
			t.Errorf("above(%v) = %v, by counting %v", v, got, want)
		}
		mirror := newHistory(50, 0.1)
		for _, x := range h.sorted {
			mirror.add(-x)
		}
		if a, b := h.below(v), mirror.above(-v); math.Abs(a-b) > 1e-12 {
			t.Errorf("below(%v) = %v, the mirror says %v", v, a, b)
		}
	}
}

func TestPeaksAgainstLooking(t *testing.T) {
	for _, size := range []int{0, 1, 7, 40} {
		p := newPeaks(size)
		rng := rand.New(rand.NewPCG(5, uint64(size)))
		var all []float64
		for i := range 2000 {
			v := float64(rng.IntN(30)) - 3
			want := v > 0 && !slices.ContainsFunc(all[max(0, i-size):], func(x float64) bool { return x >= v })
			if got := p.add(v); got != want {
				t.Fatalf("size %d, number %d: %v is a peak: %v, want %v", size, i, v, got, want)
			}
			all = append(all, v)
		}
	}
}

// TestEigen rebuilds random symmetric matrices from their parts.
func TestEigen(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for _, n := range []int{1, 2, 5, 20} {
		a := make([]float64, n*n)
		for i := range n {
			for j := range i + 1 {
				a[i*n+j] = rng.NormFloat64()
				a[j*n+i] = a[i*n+j]
			}
		}
		d, v := slices.Clone(a), make([]float64, n*n)
		eigen(d, v, n)
		for i := range n {
			for j := range n {
				sum, dot := 0.0, 0.0
				for k := range n {
					sum += v[i*n+k] * d[k*n+k] * v[j*n+k]
					dot += v[k*n+i] * v[k*n+j]
				}
				if math.Abs(sum-a[i*n+j]) > 1e-10 || math.Abs(dot-map[bool]float64{true: 1}[i == j]) > 1e-10 {
					t.Fatalf("n=%d: element %d,%d is rebuilt as %v from %v, vectors' product %v", n, i, j, sum, a[i*n+j], dot)
				}
			}
		}
	}
}

// TestCutTree adds and removes points at random, with repeated ones, and checks counts and boxes
// of the whole tree against the points.
func TestCutTree(t *testing.T) {
	const size, width = 40, 3
	tree := newCutTree(size, width)
	rng := rand.New(rand.NewPCG(7, 7))
	points := make([]float64, size*width)
	held := make([]bool, size)
	for step := range 5000 {
		slot := rng.IntN(size)
		p := points[slot*width : (slot+1)*width]
		if held[slot] {
			tree.remove(slot)
		} else {
			for j := range p {
				p[j] = float64(rng.IntN(4))
			}
			tree.insert(slot, p, rng)
		}
		held[slot] = !held[slot]
		if step%20 > 0 {
			continue
		}
		var under func(i int32) []int
		under = func(i int32) (slots []int) {
			n := tree.nodes[i]
			if n.left < 0 {
				for s, l := range tree.leaf {
					if l == i {
						slots = append(slots, s)
					}
				}
			} else {
				left, right := under(n.left), under(n.right)
				for _, s := range left {
					if points[s*width+int(n.column)] > n.at {
						t.Fatalf("step %d: slot %d is on the wrong side", step, s)
					}
				}
				for _, s := range right {
					if points[s*width+int(n.column)] <= n.at {
						t.Fatalf("step %d: slot %d is on the wrong side", step, s)
					}
				}
				slots = append(left, right...)
			}
			low, high := tree.box(i)
			for j := range width {
				l, h := math.Inf(1), math.Inf(-1)
				for _, s := range slots {
					l, h = min(l, points[s*width+j]), max(h, points[s*width+j])
				}
				if l != low[j] || h != high[j] || int(n.n) != len(slots) {
					t.Fatalf("step %d: node %d holds %d points in [%v, %v], and says %d in [%v, %v]", step, i, len(slots), l, h, n.n, low[j], high[j])
				}
			}
			return slots
		}
		want := 0
		for _, h := range held {
			if h {
				want++
			}
		}
		got := 0
		if tree.root >= 0 {
			got = len(under(tree.root))
		}
		if got != want {
			t.Fatalf("step %d: %d points in the tree, want %d", step, got, want)
		}
	}
}

// TestDisplacement: with one point far from a cluster, it displaces nearly all others in every
// tree.
func TestDisplacement(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	far, near := 0.0, 0.0
	for range 20 {
		tree := newCutTree(64, 2)
		for s := range 64 {
			p := []float64{rng.Float64(), rng.Float64()}
			if s == 63 {
				p = []float64{50, 50}
			}
			tree.insert(s, p, rng)
		}
		far += tree.displacement(63) / 20
		near += tree.displacement(5) / 20
	}
	if far < 55 || near > 20 {
		t.Errorf("displacement %v of a far point and %v of one among others, want about 63 and a few", far, near)
	}
}

func TestProfile(t *testing.T) {
	p := newProfile(24, 24)
	for i := range int64(24 * 10) {
		want := float64(i % 24)
		got, ok := p.update(i, want)
		if ok != (i >= 3*24-48) && i > 48 || ok && i > 72 && math.Abs(got-want) > 2 {
			t.Fatalf("hour %d: expected %v (%v), want about %v", i, got, ok, want)
		}
	}
	if got, ok := p.update(240+12, 1e9); !ok || got != 12 { // one odd value
		t.Errorf("expected %v (%v), want 12", got, ok)
	}
	// does not move the median of the days before
	if got, ok := p.update(264+12, 12); !ok || got != 12 {
		t.Errorf("after an odd day: expected %v (%v), want 12", got, ok)
	}
	if _, ok := p.update(20, 3); ok {
		t.Error("a time long past is answered")
	}
	p.update(1<<40, 5) // a clock that jumped ahead and comes back
	for i := range int64(24 * 4) {
		p.update(300+i, float64((300+i)%24))
	}
	if got, ok := p.update(300+24*4, 12); !ok || math.Abs(got-12) > 2 {
		t.Errorf("after the clock came back: expected %v (%v), want about 12", got, ok)
	}
}

// TestNoveltyOnce: a histogram of a new kind is new once, and the same again is known; no order
// of the same values is new.
func TestNoveltyOnce(t *testing.T) {
	n, last := newNovelty(5, 30, 13.28), newRecent(relearnValues+64)
	rng := rand.New(rand.NewPCG(9, 9))
	hits := []int{}
	for i := range 3000 {
		v := rng.Float64()
		if i >= 1500 && i < 1600 || i >= 2500 && i < 2600 {
			v = 0.5 // the same value for a while
		}
		last.add(v)
		if n.update(&last) && i >= 1000 {
			hits = append(hits, i)
		}
	}
	if len(hits) == 0 || hits[0] < 1500 || hits[0] > 1530 {
		t.Errorf("new at %v, want the first between 1500 and 1530", hits)
	}
	for _, h := range hits {
		if h >= 2500 {
			t.Errorf("what happened before is new again at %d", h)
		}
	}
	var w state.Writer
	n.save(&w)
	m := newNovelty(5, 30, 13.28)
	m.load(&state.Reader{B: w.B})
	if !bytes.Equal(m.known, n.known) {
		t.Error("the kinds differ after loading")
	}
}

func TestPathLength(t *testing.T) {
	// c(n) = 2·H(n-1) - 2(n-1)/n with the harmonic number.
	for _, n := range []int{3, 16, 256, 10_000} {
		h := 0.0
		for i := 1; i < n; i++ {
			h += 1 / float64(i)
		}
		want := 2*h - 2*float64(n-1)/float64(n)
		if got := pathLength(n); math.Abs(got-want) > 2e-3 {
			t.Errorf("pathLength(%d) = %v, exactly %v", n, got, want)
		}
	}
	if pathLength(0) != 0 || pathLength(1) != 0 || pathLength(2) != 1 {
		t.Errorf("pathLength of 0, 1, 2 = %v, %v, %v, want 0, 0, 1", pathLength(0), pathLength(1), pathLength(2))
	}
}

// TestHotelling compares T² with the distance of Mahalanobis, where all components are kept, and
// T² and Q with the whole length, where one is.
func TestHotelling(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	rows := make([][]float64, 500)
	for i := range rows {
		a, b := rng.NormFloat64(), rng.NormFloat64()
		rows[i] = []float64{100 + 3*a, -5 + 0.01*(0.8*a+0.6*b)}
	}
	fitted := func(variance string) *pca {
		s, err := New("pca", map[string]string{"train": "500", "variance": variance}, Schema{Columns: []string{"a", "b"}, Timed: true})
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range rows {
			s.Update(x, int64(i))
		}
		return s.(*configured).configurable.(*pca)
	}
	whole, first := fitted("0.999999"), fitted("0.6")
	if len(whole.spread) != 2 || len(first.spread) != 1 {
		t.Fatalf("%d and %d components, want 2 and 1", len(whole.spread), len(first.spread))
	}
	var m [2]float64
	var c [3]float64
	for _, x := range rows {
		m[0] += x[0] / 500
		m[1] += x[1] / 500
	}
	for _, x := range rows {
		c[0] += (x[0] - m[0]) * (x[0] - m[0]) / 500
		c[1] += (x[0] - m[0]) * (x[1] - m[1]) / 500
		c[2] += (x[1] - m[1]) * (x[1] - m[1]) / 500
	}
	det := c[0]*c[2] - c[1]*c[1]
	for _, x := range [][]float64{{100, -5}, {103, -4.99}, {90, -4.9}, {110, -5.05}} {
		u, v := x[0]-m[0], x[1]-m[1]
		want := (c[2]*u*u - 2*c[1]*u*v + c[0]*v*v) / det
		if got, q := whole.distances(x); math.Abs(got-want) > 1e-9*(1+want) || q > 1e-9 {
			t.Errorf("%v: T² %v and Q %v, want %v and 0", x, got, q, want)
		}
		got, q := first.distances(x)
		if length := u*u/c[0] + v*v/c[2]; math.Abs(got*first.spread[0]+q-length) > 1e-9*(1+length) {
			t.Errorf("%v: along the component %v and off it %v, together %v", x, got*first.spread[0], q, length)
		}
	}
}

// TestIsolationKeepsAFairSample: trained on many rows, the forest knows the first as well as the
// last.
func TestIsolationKeepsAFairSample(t *testing.T) {
	s, err := New("isolation-forest", map[string]string{"train": "4000", "window": "500"}, Schema{Columns: []string{"a", "b"}})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(11, 11))
	for i := range 4000 {
		x := []float64{rng.NormFloat64(), rng.NormFloat64()}
		if i < 2000 {
			x[0] += 100
		}
		if got := s.Update(x, int64(i)); got != 0 {
			t.Fatalf("row %d: score %v before the forest is grown", i, got)
		}
	}
	early, late, between := s.Update([]float64{100, 0}, 0), s.Update([]float64{0, 0}, 0), s.Update([]float64{50, 6}, 0)
	if math.Abs(early-late) > 0.06 || between < early+0.15 {
		t.Errorf("scores %v of the first half's centre, %v of the second's and %v between them", early, late, between)
	}
	before := saved(s)
	s.Update([]float64{1e9, 1e9}, 0)
	if !bytes.Equal(before, saved(s)) {
		t.Error("a trained forest changed with a row")
	}
}
