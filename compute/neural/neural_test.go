package neural

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/internal/race"
)

func normal(rng *rand.Rand, n int, scale float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = scale * rng.NormFloat64()
	}
	return v
}

func random(t testing.TB, widths []int, link ensemble.Link) *Network {
	t.Helper()
	n, err := New(widths, link, 2, 0.5, normal(rand.New(rand.NewPCG(1, 1)), Params(widths), 1))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// rich is a network with everything in it: two embeddings among four inputs, clipped numbers,
// both activations and a normalisation.
func rich(t testing.TB, link ensemble.Link) *Network {
	t.Helper()
	rng := rand.New(rand.NewPCG(2, 1))
	s := Spec{Inputs: 4, Clip: 3, Link: link, Scale: 1, Shift: 0.25,
		Embeddings: []Embedding{{Input: 1, Levels: 5, Dim: 3, Table: normal(rng, 18, 1)}, {Input: 3, Levels: 2, Dim: 2, Table: normal(rng, 6, 1)}},
		Layers: []Layer{
			{In: 7, Out: 9, Bias: normal(rng, 9, 1), Weights: normal(rng, 63, 0.5), Activation: GELU, Norm: &Norm{Gain: normal(rng, 9, 1), Offset: normal(rng, 9, 1)}},
			{In: 9, Out: 6, Bias: normal(rng, 6, 1), Weights: normal(rng, 54, 0.5), Activation: ReLU},
			{In: 6, Out: 3, Bias: normal(rng, 3, 1), Weights: normal(rng, 18, 0.5), Activation: Linear},
		}}
	n, err := Build(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// forward is the definition of the forward pass, apart from rounding.
func forward(s Spec, x []float64) []float64 {
	var a []float64
	for i, v := range x {
		at := slices.IndexFunc(s.Embeddings, func(e Embedding) bool { return e.Input == i })
		switch {
		case at >= 0:
			e := s.Embeddings[at]
			row := e.Levels
			for c := range e.Levels {
				if v == float64(c) {
					row = c
				}
			}
			a = append(a, e.Table[row*e.Dim:(row+1)*e.Dim]...)
		case s.Clip != 0:
			a = append(a, v/math.Sqrt(1+v*v/s.Clip/s.Clip))
		default:
			a = append(a, v)
		}
	}
	for _, l := range s.Layers {
		z := slices.Clone(l.Bias)
		for u := range z {
			for j, v := range a {
				z[u] += l.Weights[u*l.In+j] * v
			}
		}
		if l.Norm != nil {
			var mean, variance float64
			for _, v := range z {
				mean += v / float64(len(z))
			}
			for _, v := range z {
				variance += (v - mean) * (v - mean) / float64(len(z))
			}
			for u := range z {
				z[u] = (z[u]-mean)/math.Sqrt(variance+1e-5)*l.Norm.Gain[u] + l.Norm.Offset[u]
			}
		}
		for u, v := range z {
			switch l.Activation {
			case ReLU:
				z[u] = max(v, 0)
			case GELU:
				z[u] = v / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v)))
			}
		}
		a = z
	}
	for k := range a {
		a[k] = s.Shift + s.Scale*a[k]
	}
	s.Link.Apply(a)
	return a
}

func near(a, b []float64, tol float64) bool {
	return slices.EqualFunc(a, b, func(v, w float64) bool { return math.Abs(v-w) <= tol*max(1, math.Abs(w)) })
}

func TestPredictInto(t *testing.T) {
	for _, widths := range [][]int{{1, 1}, {3, 2}, {5, 7, 4, 2}, {4, 9, 1}} {
		n := random(t, widths, ensemble.Identity)
		x := []float64{0.3, -1, 2, 0.7, -0.2}[:widths[0]]
		got, want := make([]float64, n.Outputs()), forward(n.Spec(), x)
		if err := n.PredictInto(got, x); err != nil || !near(got, want, 1e-13) {
			t.Errorf("widths %v: PredictInto(%v) = %v, %v, want %v", widths, x, got, err, want)
		}
		x[0] = math.NaN()
		if err := n.PredictInto(got, x); !errors.Is(err, ErrMissing) || got[0] == got[0] {
			t.Errorf("PredictInto(NaN) = %v, %v, want NaN and ErrMissing", got, err)
		}
	}
}

func TestPredictIntoRich(t *testing.T) {
	for _, link := range []ensemble.Link{ensemble.Identity, ensemble.Logistic, ensemble.Softmax} {
		n := rich(t, link)
		for _, x := range [][]float64{{0.5, 2, -1, 0}, {1e200, 4, math.Inf(-1), 1}, {0, math.NaN(), 0, math.NaN()}, {0, 5, 0, 0.5}, {0, -1, 0, -0.5}} {
			got, y := make([]float64, 3), slices.Clone(x)
			for i, v := range y { // the plain formula overflows
				y[i] = min(max(v, -1e100), 1e100)
			}
			if err := n.PredictInto(got, x); err != nil || !near(got, forward(n.Spec(), y), 1e-12) {
				t.Errorf("link %d: PredictInto(%v) = %v, %v, want %v", link, x, got, err, forward(n.Spec(), y))
			}
		}
		if err := n.PredictInto(make([]float64, 3), []float64{math.NaN(), 0, 0, 0}); !errors.Is(err, ErrMissing) {
			t.Errorf("a missing number gives %v, want ErrMissing", err)
		}
	}
}

func TestPredictBatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	n := rich(t, ensemble.Softmax)
	q, err := n.Quantise(Int8, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := n.Quantise(Float16, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*Network{n, q, h, random(t, []int{4, 21, 2}, ensemble.Identity)} {
		for _, rows := range []int{0, 1, 15, 16, 67} {
			x := normal(rng, 4*rows, 1)
			for i := range x {
				if i%4 == 1 {
					x[i] = float64(rng.IntN(6))
				}
			}
			want := make([]float64, n.Outputs()*rows)
			for i := range rows {
				_ = n.PredictInto(want[i*n.Outputs():(i+1)*n.Outputs()], x[4*i:4*i+4])
			}
			for threads := range 4 {
				got := make([]float64, len(want))
				if err := n.PredictBatch(got, x, threads); err != nil || !slices.Equal(got, want) {
					t.Fatalf("%s: %d rows on %d threads differ from PredictInto, %v", n.Precision(), rows, threads, err)
				}
			}
		}
		x := make([]float64, 4*20)
		x[4*17] = math.NaN()
		dst := make([]float64, n.Outputs()*20)
		if err := n.PredictBatch(dst, x, 1); !errors.Is(err, ErrMissing) || dst[17*n.Outputs()] == dst[17*n.Outputs()] || dst[18*n.Outputs()] != dst[0] {
			t.Errorf("%s: a batch with a missing number gives %v", n.Precision(), err)
		}
		if err := n.PredictBatch(dst, x[1:], 1); !errors.Is(err, ErrShape) {
			t.Errorf("PredictBatch of a part of a row = %v, want ErrShape", err)
		}
		if got := testing.AllocsPerRun(100, func() { _ = n.PredictInto(dst[:n.Outputs()], x[:4]) }); got != 0 && !race.Enabled { // its pool gives less back then
			t.Errorf("%s: PredictInto allocates %v times", n.Precision(), got)
		}
	}
}

// TestKernels holds that the processor's kernels give the very bits of the portable code, in
// every precision and for every number of units left over.
func TestKernels(t *testing.T) {
	if !vector {
		t.Skip("there are no kernels for this processor: run on amd64 with AVX")
	}
	defer func() { vector = true }()
	for units := 1; units < 50; units += 3 {
		widths := []int{units, 50 - units, units, 3}
		x, low, high := normal(rand.New(rand.NewPCG(5, 1)), units, 1), slices.Repeat([]float64{-9}, units), slices.Repeat([]float64{9}, units)
		for _, p := range []Precision{Float64, Float16, Int8} {
			var got [2][]float64
			var bytes [2][]byte
			for i := range got {
				vector = i == 0
				n := random(t, widths, ensemble.Identity)
				if p != Float64 {
					var err error
					if n, err = n.Quantise(p, low, high); err != nil {
						t.Fatal(err)
					}
				}
				got[i] = make([]float64, 3)
				if err := n.PredictInto(got[i], x); err != nil {
					t.Fatal(err)
				}
				bytes[i], _ = n.AppendBinary(nil)
			}
			if !slices.Equal(got[0], got[1]) || !slices.Equal(bytes[0], bytes[1]) {
				t.Fatalf("%s, %d units: kernels give %v, portable code %v", p, units, got[0], got[1])
			}
		}
	}
}

// TestErrorBound holds the bound against the largest difference over random inputs and the
// corners of the range, which weights of one sign drive furthest.
func TestErrorBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	build := func(act Activation, norm bool, link ensemble.Link) *Network {
		s := Spec{Inputs: 6, Link: link, Scale: 3, Shift: 10, Embeddings: []Embedding{{Input: 2, Levels: 3, Dim: 2, Table: normal(rng, 8, 1)}}}
		in := 7
		for i, out := range []int{12, 8, 2} {
			l := Layer{In: in, Out: out, Bias: normal(rng, out, 1), Weights: normal(rng, in*out, 0.4), Activation: act}
			if i == 2 {
				l.Activation = Linear
			} else if norm {
				l.Norm = &Norm{Gain: normal(rng, out, 1), Offset: normal(rng, out, 1)}
			}
			s.Layers, in = append(s.Layers, l), out
		}
		n, err := Build(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	low, high := []float64{-1, -2, 0, 0, -3, -1}, []float64{1, 2, 0, 1, 0, 1}
	for _, p := range []Precision{Float16, Int8} {
		for _, link := range []ensemble.Link{ensemble.Identity, ensemble.Logistic, ensemble.Softmax} {
			for _, n := range []*Network{build(ReLU, false, link), build(GELU, false, link), build(GELU, true, link)} {
				q, err := n.Quantise(p, low, high)
				if err != nil {
					t.Fatal(err)
				}
				worst, a, b, x := 0.0, make([]float64, 2), make([]float64, 2), make([]float64, 6)
				for i := range 4000 {
					for j := range x {
						x[j] = low[j] + rng.Float64()*(high[j]-low[j])
						if i%2 == 0 {
							x[j] = []float64{low[j], high[j]}[rng.IntN(2)]
						}
					}
					x[2] = float64(rng.IntN(4))
					_, _ = n.PredictInto(a, x), q.PredictInto(b, x)
					for k := range a {
						worst = max(worst, math.Abs(a[k]-b[k]))
					}
				}
				if !(worst <= q.ErrorBound()) || worst == 0 {
					t.Errorf("%s, link %d: outputs differ by %v, the bound is %v", p, link, worst, q.ErrorBound())
				}
				if n.layers[0].gain == nil && link == ensemble.Identity && q.ErrorBound() > 300*worst {
					t.Errorf("%s: outputs differ by %v, the bound is %v, which says little", p, worst, q.ErrorBound())
				}
				again, err := Build(q.Spec())
				if err != nil {
					t.Fatal(err)
				}
				_ = again.PredictInto(a, x)
				_ = q.PredictInto(b, x)
				if !near(a, b, 1e-12) {
					t.Errorf("%s: Build(Spec) predicts %v, the quantised network %v", p, a, b)
				}
			}
		}
	}
}

func TestQuantiseRefuses(t *testing.T) {
	n := random(t, []int{2, 3, 1}, ensemble.Identity)
	q, err := n.Quantise(Int8, []float64{0, 0}, []float64{1, 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() (*Network, error){
		"no range":          func() (*Network, error) { return n.Quantise(Int8, nil, nil) },
		"an infinite range": func() (*Network, error) { return n.Quantise(Int8, []float64{0, 0}, []float64{1, math.Inf(1)}) },
		"a reversed range":  func() (*Network, error) { return n.Quantise(Int8, []float64{0, 2}, []float64{1, 1}) },
		"twice":             func() (*Network, error) { return q.Quantise(Int8, []float64{0, 0}, []float64{1, 1}) },
		"float64":           func() (*Network, error) { return n.Quantise(Float64, []float64{0, 0}, []float64{1, 1}) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("Quantise with %s gave no error", name)
		}
	}
}

func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		v := float64(fromHalf(uint16(h)))
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		if got := toHalf(v); got != uint16(h) {
			t.Fatalf("toHalf(fromHalf(%#x)) = %#x", h, got)
		}
	}
	for v, want := range map[float64]uint16{1: 0x3c00, -2: 0xc000, 1.0 / 3: 0x3555, 65519: 0x7bff, 1e9: 0x7bff, 1 + 1.0/2048: 0x3c00, 1 + 3.0/2048: 0x3c02, 5.960464477539063e-08: 1, 2.98e-08: 0} {
		if got := toHalf(v); got != want {
			t.Errorf("toHalf(%v) = %#x, want %#x", v, got, want)
		}
	}
}

func TestGELUBounds(t *testing.T) {
	steepest, lowest := 0.0, 0.0
	for v := -8.0; v < 8; v += 1e-3 {
		p := []float64{v, v + 1e-3}
		GELU.Apply(p)
		steepest, lowest = max(steepest, math.Abs(p[1]-p[0])/1e-3), min(lowest, p[0])
	}
	if steepest > geluMost || lowest < geluLeast {
		t.Errorf("GELU is as steep as %v and as low as %v", steepest, lowest)
	}
}

func TestVersions(t *testing.T) {
	s := random(t, []int{2, 3, 1}, ensemble.Identity).Spec()
	for name, change := range map[string]func(*Spec){
		"plain":      func(*Spec) {},
		"clip":       func(s *Spec) { s.Clip = 3 },
		"activation": func(s *Spec) { s.Layers[0].Activation = GELU },
		"norm":       func(s *Spec) { s.Layers[0].Norm = &Norm{Gain: make([]float64, 3), Offset: make([]float64, 3)} },
		"embedding": func(s *Spec) {
			s.Embeddings = []Embedding{{Input: 1, Levels: 1, Dim: 1, Table: make([]float64, 2)}}
		},
	} {
		c := s
		c.Layers = slices.Clone(s.Layers)
		change(&c)
		n, err := Build(c)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := n.AppendBinary(nil)
		if got, want := b[0] == 1, name == "plain"; got != want || len(b) != n.Size() {
			t.Errorf("a network with %s is written as version %d in %d bytes, Size %d", name, b[0], len(b), n.Size())
		}
		again, err := Decode(b)
		if err != nil {
			t.Fatalf("a network with %s does not decode: %v", name, err)
		}
		if c, _ := again.AppendBinary(nil); !bytes.Equal(b, c) {
			t.Errorf("a network with %s decodes to another", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	r := rich(f, ensemble.Softmax)
	for _, n := range []*Network{random(f, []int{2, 3, 2}, ensemble.Softmax), r} {
		b, _ := n.AppendBinary(nil)
		f.Add(b)
	}
	for _, p := range []Precision{Float16, Int8} {
		q, err := r.Quantise(p, nil, nil)
		if err != nil {
			f.Fatal(err)
		}
		b, _ := q.AppendBinary(nil)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := Decode(b)
		if err != nil {
			return
		}
		if again, _ := n.AppendBinary(nil); !bytes.Equal(again, b) || len(b) != n.Size() {
			t.Fatal("decoded network encodes to other bytes")
		}
		if err := n.PredictInto(make([]float64, n.Outputs()), make([]float64, n.Inputs())); err != nil {
			t.Fatal(err)
		}
	})
}

// go test ./compute/neural -run '^$' -bench Predict -count 10
func BenchmarkPredictInto(b *testing.B) {
	n := random(b, []int{60, 64, 32, 1}, ensemble.Identity)
	low, high := make([]float64, 60), slices.Repeat([]float64{1}, 60)
	for _, p := range []Precision{Float64, Float16, Int8} {
		q := n
		if p != Float64 {
			var err error
			if q, err = n.Quantise(p, low, high); err != nil {
				b.Fatal(err)
			}
		}
		b.Run("precision="+p.String(), func(b *testing.B) {
			dst, x := make([]float64, 1), make([]float64, 60)
			b.ReportAllocs()
			for b.Loop() {
				_ = q.PredictInto(dst, x)
			}
		})
	}
}

func BenchmarkPredictBatch(b *testing.B) {
	n := random(b, []int{60, 64, 32, 1}, ensemble.Identity)
	dst, x := make([]float64, 1024), make([]float64, 60*1024)
	b.ReportAllocs()
	for b.Loop() {
		_ = n.PredictBatch(dst, x, 1)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1024, "ns/row")
}
