package committee_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/online"
	"skerry.dev/compute/online/committee"
	"skerry.dev/compute/online/learner"
	"skerry.dev/compute/online/onlinetest"
	"skerry.dev/compute/state"
)

// outsiders returns members that say what the caller writes.
func outsiders(n int) []committee.Member {
	m := make([]committee.Member, n)
	for k := range m {
		m[k].Name = string(rune('a' + k))
	}
	return m
}

// TestTracksTheBestExpert lets one of three experts be right at a time, labels coming at once or
// late: the committee must stay close to the best sequence.
func TestTracksTheBestExpert(t *testing.T) {
	for _, late := range []int{0, 50} {
		rng := rand.New(rand.NewPCG(1, uint64(late)))
		c, err := committee.New(online.Schema{Inputs: make([]online.Input, 1)}, outsiders(3), 0)
		if err != nil {
			t.Fatal(err)
		}
		const rows, block = 12_000, 3000
		outs, ys := make([][]float64, rows), make([]float64, rows)
		own, experts := 0.0, [3]float64{}
		for i := range rows + late {
			if i < rows {
				ys[i] = 10 * math.Sin(float64(i)/50)
				out := make([]float64, c.Room())
				for k := range 3 {
					sd := 5.0
					if (i/block)%3 == k {
						sd = 0.5
					}
					out[k] = ys[i] + sd*rng.NormFloat64()
					experts[k] += math.Abs(out[k]-ys[i]) / rows
				}
				var p [1]float64
				c.Predict(p[:], out, []float64{0})
				own += math.Abs(p[0]-ys[i]) / rows
				outs[i] = out
			}
			if i >= late {
				c.Learn([]float64{0}, outs[i-late], ys[i-late], 1, float64(min(late, rows-1-(i-late))))
			}
		}
		best := min(experts[0], experts[1], experts[2])
		// the best sequence has 0.4, the best single expert 2.2
		if limit := 0.8 + 0.01*float64(late); own > limit || best < 1 {
			t.Errorf("labels %d rows late: mean error %.3f, want at most %.2f; the experts' are %.3f", late, own, limit, experts)
		}
	}
}

// TestMinScored holds that a learner counts only after thirty predictions were scored, and after
// so many more when labels come late: what a hundred labels on their way have to say of it is one
// thing.
func TestMinScored(t *testing.T) {
	for late, first := range map[int]int{0: 30, 100: 530} {
		s := online.Schema{Inputs: make([]online.Input, 1)}
		l, err := learner.Regressor("linear", s, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		c, err := committee.New(s, []committee.Member{{Name: "fresh", Value: l}, {Name: "sound"}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(4, 4))
		var xs, outs [][]float64
		// labels known when the committee first said something else than the sound expert
		heard, n := -1, 0
		for i := 0; i < 2000 && heard < 0; i++ {
			x, out, p := []float64{rng.NormFloat64()}, make([]float64, c.Room()), []float64{0}
			out[1] = 5
			c.Predict(p, out, x)
			if math.Abs(p[0]-5) > 1e-9 {
				heard = n
			}
			xs, outs = append(xs, x), append(outs, out)
			if i >= late {
				c.Learn(xs[n], outs[n], 5+x[0], 1, float64(late))
				n++
			}
		}
		if heard != first {
			t.Errorf("labels %d rows late: the learner is heard after %d of them, want %d", late, heard, first)
		}
	}
}

// TestNeverMuchWorse gives it one good expert among nine useless ones on a stream that never
// changes.
func TestNeverMuchWorse(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	s := online.Schema{Inputs: make([]online.Input, 1), Classes: 2}
	c, err := committee.New(s, outsiders(10), 0)
	if err != nil {
		t.Fatal(err)
	}
	own, good := 0.0, 0.0
	out, p := make([]float64, c.Room()), make([]float64, 2)
	for range 5000 {
		y := rng.IntN(2)
		for k := range 10 {
			q := 0.5 + 0.45*(2*rng.Float64()-1)
			if k == 3 {
				if q = 0.1; y == 1 {
					q = 0.9
				}
			}
			out[2*k], out[2*k+1] = 1-q, q
		}
		good -= math.Log(out[6+y])
		c.Predict(p, out, []float64{0})
		own -= math.Log(p[y])
		c.Learn([]float64{0}, out, float64(y), 1, 0)
	}
	if own > good*1.03+10 {
		t.Errorf("log loss %.1f, the good expert's is %.1f", own, good)
	}
	if w := c.Weights(); w[3] < 0.98 {
		t.Errorf("weights %.3f, want nearly all for the fourth", w)
	}
}

func TestAbstaining(t *testing.T) {
	c, err := committee.New(online.Schema{Inputs: make([]online.Input, 1)}, outsiders(2), 0)
	if err != nil {
		t.Fatal(err)
	}
	nan := math.NaN()
	out, p := make([]float64, c.Room()), []float64{0}
	out[0], out[1] = nan, nan
	if c.Predict(p, out, []float64{1}); !math.IsNaN(p[0]) {
		t.Errorf("nobody says anything: %v, want NaN", p[0])
	}
	out[0], out[1] = nan, 7
	if c.Predict(p, out, []float64{1}); p[0] != 7 {
		t.Errorf("one says 7: %v", p[0])
	}
	c.Learn([]float64{1}, out, 7, 1, 0)
	before := c.Weights()[0]
	c.Learn([]float64{1}, out, math.NaN(), 1, 0)
	c.Learn([]float64{1}, out, math.Inf(1), 1, 0)
	if c.Weights()[0] != before {
		t.Error("a label that is no number moved the weights")
	}
	for name, bad := range map[string][]committee.Member{"nobody": nil, "prior": {{Name: "x", Prior: -1}}} {
		if _, err := committee.New(online.Schema{Inputs: make([]online.Input, 1)}, bad, 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestResumes holds that a committee of the default learners goes on after restarts as if nothing
// had happened.
func TestResumes(t *testing.T) {
	fresh := func() *committee.Committee {
		s := onlinetest.Schema(3)
		m, err := learner.Auto(s, len(s.Inputs)-1, 1)
		if err != nil {
			t.Fatal(err)
		}
		c, err := committee.New(s, m, 0)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	rng := rand.New(rand.NewPCG(3, 3))
	a, b := fresh(), fresh()
	out, other, p, q := make([]float64, a.Room()), make([]float64, a.Room()), make([]float64, 3), make([]float64, 3)
	last := len(a.Members()) - 1
	for i := range 1500 {
		x := []float64{rng.NormFloat64(), rng.Float64(), math.NaN(), float64(rng.IntN(4)), float64(rng.IntN(2)), 1}
		class := rng.IntN(3)
		if x[0] > 0 {
			class = 1
		}
		if i%300 == 299 {
			var w state.Writer
			b.Save(&w)
			b = fresh()
			r := &state.Reader{B: w.B}
			if b.Load(r); r.Err() != nil || len(r.B) != 0 {
				t.Fatalf("row %d: load: %v, %d bytes left", i, r.Err(), len(r.B))
			}
		}
		out[3*last], other[3*last] = math.NaN(), math.NaN() // the last value is an outsider
		a.Predict(p, out, x)
		b.Predict(q, other, x)
		for k := range p {
			if math.Float64bits(p[k]) != math.Float64bits(q[k]) {
				t.Fatalf("row %d: %v without and %v with restarts", i, p, q)
			}
		}
		a.Learn(x, out, float64(class), 1, 0)
		b.Learn(x, other, float64(class), 1, 0)
	}
	var v, w state.Writer
	a.Save(&v)
	b.Save(&w)
	if !bytes.Equal(v.B, w.B) {
		t.Error("the states differ after restarts")
	}
}

// TestGuestsCostLittle gives a committee a guest that comes late, helps, then errs, and is replaced
// by one that is nearly always closer than the others and now and then so wrong that it is worse
// than they are, of which the loss that experts are weighed by sees only a part. Beside a committee
// that never had a guest it must gain while the guest helps, and lose little by all that follows.
func TestGuestsCostLittle(t *testing.T) {
	const comes, errs, next, rows = 1000, 4000, 6000, 9000
	for _, classes := range []int{0, 2} {
		for _, late := range []int{0, 10} {
			rng := rand.New(rand.NewPCG(5, uint64(late)))
			s := online.Schema{Inputs: make([]online.Input, 1), Classes: classes}
			members := outsiders(4)
			members[0].Guest = true
			with, err := committee.New(s, members, 0)
			if err != nil {
				t.Fatal(err)
			}
			without, err := committee.New(s, outsiders(3), 0)
			if err != nil {
				t.Fatal(err)
			}
			w := with.Width()
			outs, ys := make([][2][]float64, rows), make([]float64, rows)
			excess := [3]float64{}
			for i := range rows + late {
				if i < rows {
					y := float64(rng.IntN(2))
					ys[i] = y
					say := func(o []float64, good float64) { // good is how close to the truth, 0 to 1
						if classes == 0 {
							o[0] = y + (1-good)*rng.NormFloat64()
							return
						}
						p := min(max(good+0.1*rng.NormFloat64(), 0.01), 0.99)
						o[int(y)], o[1-int(y)] = p, 1-p
					}
					odd := func(o []float64) {
						far := i%250 < 10
						if classes == 0 {
							if o[0] = y; far {
								o[0] += 3
							}
							return
						}
						p := 0.999
						if far {
							p = 0.0001
						}
						o[int(y)], o[1-int(y)] = p, 1-p
					}
					a, b := make([]float64, with.Room()), make([]float64, without.Room())
					switch {
					case i < comes:
						a[0] = math.NaN()
					case i < errs:
						say(a[:w], 0.95)
					case i < next:
						say(a[:w], 0.3)
					default:
						odd(a[:w])
					}
					for k, good := range []float64{0.8, 0.6, 0.4} {
						say(b[k*w:(k+1)*w], good)
					}
					copy(a[w:4*w], b)
					if i == comes || i == next {
						with.Reset()
					}
					p, q := make([]float64, w), make([]float64, w)
					with.Predict(p, a, []float64{0})
					without.Predict(q, b, []float64{0})
					if i < comes && math.Abs(p[0]-q[0]) > 1e-12 {
						t.Fatalf("row %d: %v before any guest, %v without one", i, p, q)
					}
					d := math.Abs(y-p[0]) - math.Abs(y-q[0])
					if classes > 0 {
						d = math.Log(max(q[int(y)], 1e-4)) - math.Log(max(p[int(y)], 1e-4))
					}
					switch {
					case i >= next:
						excess[2] += d
					case i >= errs:
						excess[1] += d
					case i >= comes:
						excess[0] += d
					}
					outs[i] = [2][]float64{a, b}
				}
				if k := i - late; k >= 0 {
					on := float64(min(late, rows-1-k))
					with.Learn([]float64{0}, outs[k][0], ys[k], 1, on)
					without.Learn([]float64{0}, outs[k][1], ys[k], 1, on)
				}
			}
			t.Logf("%d classes, labels %d rows late: excess %.1f while the guest helps, %.1f while it errs, %.1f for the next", classes, late, excess[0], excess[1], excess[2])
			limit := 15 + 3*float64(late)
			if excess[0] > -200 || excess[1] > limit || excess[2] > limit {
				t.Errorf("%d classes, labels %d rows late: excess %.1f, want below -200, and at most %.0f twice", classes, late, excess, limit)
			}
		}
	}
}
