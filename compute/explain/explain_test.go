package explain

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/bits"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/internal/race"
	"skerry.dev/compute/linear"
	"skerry.dev/compute/metric"
)

// randomTree grows a tree of up to depth levels with covers; leaves carry one value, or outputs
// of them.
func randomTree(rng *rand.Rand, inputs, outputs, depth int, vector bool) ensemble.Tree {
	var t ensemble.Tree
	var grow func(depth int, cover float64) int
	grow = func(depth int, cover float64) int {
		at := len(t)
		t = append(t, ensemble.Node{Cover: cover})
		if depth == 0 || rng.IntN(6) == 0 && at > 0 {
			t[at].Value = rng.NormFloat64()
			if vector {
				for range outputs {
					t[at].Values = append(t[at].Values, rng.NormFloat64())
				}
			}
			return at
		}
		t[at].Feature, t[at].Threshold, t[at].MissingLeft = rng.IntN(inputs), math.Round(rng.NormFloat64()*2), rng.IntN(2) == 0
		if rng.IntN(4) == 0 {
			t[at].Categories, t[at].Threshold = &[4]uint64{rng.Uint64()}, 0
		}
		share := math.Round(cover * rng.Float64())
		if rng.IntN(8) == 0 {
			share = 0
		}
		left := grow(depth-1, share)
		right := grow(depth-1, cover-share)
		t[at].Left, t[at].Right = left, right
		return at
	}
	grow(depth, 100)
	return t
}

// value is the game that TreeSHAP plays, by definition: the mean over the training rows of each
// node where the input is not in the coalition.
func value(t ensemble.Tree, x []float64, coalition uint, at, output int) float64 {
	n := &t[at]
	if n.Left == 0 {
		if n.Values != nil {
			return n.Values[output]
		}
		return n.Value
	}
	if coalition>>n.Feature&1 == 0 {
		share := 0.5
		if sum := t[n.Left].Cover + t[n.Right].Cover; sum > 0 {
			share = t[n.Left].Cover / sum
		}
		return share*value(t, x, coalition, n.Left, output) + (1-share)*value(t, x, coalition, n.Right, output)
	}
	v, next := x[n.Feature], n.Right
	switch {
	case math.IsNaN(v):
		if n.MissingLeft {
			next = n.Left
		}
	case n.Categories != nil:
		if v >= 0 && v < 256 && v == math.Trunc(v) && n.Categories[int(v)/64]>>(int(v)%64)&1 == 1 {
			next = n.Left
		}
	case v <= n.Threshold:
		next = n.Left
	}
	return value(t, x, coalition, next, output)
}

// shapley is the definition: the mean change by an input over all orders, from all coalitions.
func shapley(inputs int, game func(coalition uint) float64) []float64 {
	phi := make([]float64, inputs)
	factorial := func(n int) float64 { return math.Gamma(float64(n) + 1) }
	for c := range uint(1) << inputs {
		for j := range phi {
			if c>>j&1 == 0 {
				s := bits.OnesCount(c)
				phi[j] += factorial(s) * factorial(inputs-s-1) / factorial(inputs) * (game(c|1<<j) - game(c))
			}
		}
	}
	return phi
}

func TestTreesAreShapleyValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const inputs, outputs = 5, 2
	for _, vector := range []bool{false, true} {
		for range 20 {
			var trees []ensemble.Tree
			for range 4 {
				trees = append(trees, randomTree(rng, inputs, outputs, 1+rng.IntN(7), vector))
			}
			e, err := ensemble.Build(ensemble.Spec{Inputs: inputs, Base: []float64{0.5, -1}, Vector: vector, Covers: true}, trees)
			if err != nil {
				t.Fatal(err)
			}
			s, err := NewTrees(e)
			if err != nil {
				t.Fatal(err)
			}
			x := make([]float64, inputs)
			for j := range x {
				if x[j] = math.Round(rng.NormFloat64() * 2); rng.IntN(5) == 0 {
					x[j] = math.NaN()
				}
			}
			phi, raw := make([]float64, inputs*outputs), make([]float64, outputs)
			if err := s.Into(phi, x); err != nil {
				t.Fatal(err)
			}
			if err := e.PredictInto(raw, x); err != nil {
				t.Fatal(err)
			}
			for k := range raw {
				game := func(c uint) float64 {
					sum := e.Spec().Base[k]
					for i := range e.Trees() {
						if vector || i%outputs == k {
							sum += value(e.Tree(i), x, c, 0, k)
						}
					}
					return sum
				}
				want := shapley(inputs, game)
				total := s.Expected()[k]
				for j := range want {
					total += phi[k*inputs+j]
					if math.Abs(phi[k*inputs+j]-want[j]) > 1e-9 {
						t.Fatalf("vector %v, output %d: contributions %v, by definition %v", vector, k, phi[k*inputs:(k+1)*inputs], want)
					}
				}
				if math.Abs(total-raw[k]) > 1e-9 || math.Abs(s.Expected()[k]-game(0)) > 1e-9 {
					t.Fatalf("vector %v, output %d: they add up to %v, the score is %v; expected %v, by definition %v", vector, k, total, raw[k], s.Expected()[k], game(0))
				}
			}
		}
	}
}

// TestTreesDeep holds additivity, with threads, on trees much deeper than the definition can be
// evaluated for, float32 inputs included.
func TestTreesDeep(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	for _, round := range []bool{false, true} {
		var trees []ensemble.Tree
		for range 10 {
			trees = append(trees, randomTree(rng, 30, 1, 11, false))
		}
		e, err := ensemble.Build(ensemble.Spec{Inputs: 30, Base: []float64{3}, Covers: true, Round32: round}, trees)
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewTrees(e)
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float64, 30*20)
		for i := range x {
			x[i] = math.Round(rng.NormFloat64()*2) + 1e-12
		}
		one, three := make([]float64, len(x)), make([]float64, len(x))
		if err := errors.Join(s.Batch(one, x, 1), s.Batch(three, x, 3)); err != nil || !slices.Equal(one, three) {
			t.Fatalf("threads change contributions, %v", err)
		}
		raw := make([]float64, 1)
		for i := range 20 {
			_ = e.PredictInto(raw, x[30*i:30*i+30])
			sum := s.Expected()[0]
			for _, v := range one[30*i : 30*i+30] {
				sum += v
			}
			if math.Abs(sum-raw[0]) > 1e-8 {
				t.Errorf("row %d: contributions add up to %v, the score is %v", i, sum, raw[0])
			}
		}
		if n := testing.AllocsPerRun(10, func() { _ = s.Into(one[:30], x[:30]) }); n != 0 && !race.Enabled { // its pool gives less back then
			t.Errorf("Into allocates %v times", n)
		}
	}
}

// TestTreesAgainstLightGBM compares with LightGBM's own contributions, which are also what the
// shap package reports for its models. testdata/make.py made the file.
func TestTreesAgainstLightGBM(t *testing.T) {
	b, err := os.ReadFile("testdata/lightgbm.json")
	if err != nil {
		t.Fatal(err)
	}
	var models []struct {
		Name            string
		Inputs, Outputs int
		Trees           [][]struct {
			Feature          int
			Threshold, Value float64
			Cover            float64
			MissingLeft      bool `json:"missing_left"`
			Categories       []int
			Left, Right      int
		}
		Rows          [][]*float64
		Raw           [][]float64
		Contributions [][][]float64
	}
	if err := json.Unmarshal(b, &models); err != nil {
		t.Fatal(err)
	}
	for _, m := range models {
		var trees []ensemble.Tree
		categories := 0
		for _, nodes := range m.Trees {
			var tree ensemble.Tree
			for _, n := range nodes {
				node := ensemble.Node{Feature: n.Feature, Threshold: n.Threshold, Value: n.Value, Cover: n.Cover, MissingLeft: n.MissingLeft, Left: n.Left, Right: n.Right}
				if n.Categories != nil {
					categories++
					node.Categories = new([4]uint64)
					for _, c := range n.Categories {
						node.Categories[c/64] |= 1 << (c % 64)
					}
				}
				tree = append(tree, node)
			}
			trees = append(trees, tree)
		}
		e, err := ensemble.Build(ensemble.Spec{Inputs: m.Inputs, Base: make([]float64, m.Outputs), Covers: true}, trees)
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewTrees(e)
		if err != nil {
			t.Fatal(err)
		}
		if categories == 0 {
			t.Errorf("%s: no tree splits by category", m.Name)
		}
		phi, raw, x := make([]float64, m.Inputs*m.Outputs), make([]float64, m.Outputs), make([]float64, m.Inputs)
		for i, row := range m.Rows {
			for j, v := range row {
				if x[j] = math.NaN(); v != nil {
					x[j] = *v
				}
			}
			_ = e.PredictInto(raw, x)
			if err := s.Into(phi, x); err != nil {
				t.Fatal(err)
			}
			for k := range raw {
				if math.Abs(raw[k]-m.Raw[i][k]) > 1e-9 {
					t.Fatalf("%s row %d: score %v, LightGBM %v", m.Name, i, raw[k], m.Raw[i][k])
				}
				got := append(slices.Clone(phi[k*m.Inputs:(k+1)*m.Inputs]), s.Expected()[k])
				for j, want := range m.Contributions[i][k] {
					if math.Abs(got[j]-want) > 1e-6 {
						t.Fatalf("%s row %d output %d: contributions %v, LightGBM %v", m.Name, i, k, got, m.Contributions[i][k])
					}
				}
			}
		}
	}
}

func TestTreesRefuses(t *testing.T) {
	e, err := ensemble.New(1, ensemble.Identity, []float64{0}, false, []ensemble.Tree{{{Value: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewTrees(e); !errors.Is(err, ErrCovers) {
		t.Errorf("NewTrees without covers = %v, want ErrCovers", err)
	}
}

// product is x0·x1 + 2·x2, for which Shapley values against one background row are known.
type product struct{}

func (product) Inputs() int  { return 4 }
func (product) Outputs() int { return 1 }
func (product) PredictInto(dst, x []float64) error {
	if math.IsNaN(x[0]) {
		return errors.New("missing")
	}
	dst[0] = x[0]*x[1] + 2*x[2]
	return nil
}

func TestLinear(t *testing.T) {
	m, err := linear.New(2, ensemble.Logistic, []float64{1}, []float64{2, -3})
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLinear(m, []float64{10, 20})
	if err != nil {
		t.Fatal(err)
	}
	phi := make([]float64, 2)
	if err := l.Into(phi, []float64{11, 18}); err != nil || phi[0] != 2 || phi[1] != 6 || l.Expected()[0] != 1+20-60 {
		t.Errorf("contributions %v from %v, %v, want 2 and 6 from -39", phi, l.Expected(), err)
	}
	// Sampling must agree on a model without interactions; its outputs are those before an
	// identity link.
	id, _ := linear.New(2, ensemble.Identity, []float64{1}, []float64{2, -3})
	s, err := NewSampling(id, []float64{9, 19, 11, 21}, 1, 7)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float64, 2)
	if err := s.Into(got, []float64{11, 18}); err != nil || math.Abs(got[0]-2) > 1e-12 || math.Abs(got[1]-6) > 1e-12 {
		t.Errorf("sampled contributions %v, %v, want 2 and 6", got, err)
	}
}

func TestSampling(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	background := make([]float64, 4*30)
	for i := range background {
		background[i] = rng.NormFloat64()
	}
	s, err := NewSampling(product{}, background, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	x := []float64{2, 3, -1, 8, 0, 1, 2, 3}
	one, two := make([]float64, 8), make([]float64, 8)
	if err := errors.Join(s.Batch(one, x, 1), s.Batch(two, x, 2)); err != nil || !slices.Equal(one, two) {
		t.Fatalf("threads change contributions: %v and %v, %v", one, two, err)
	}
	want := shapley(4, func(c uint) float64 { // against the mean of the background, by definition
		sum, dst, mixed := 0.0, make([]float64, 1), make([]float64, 4)
		for b := range 30 {
			for j := range mixed {
				if mixed[j] = background[4*b+j]; c>>j&1 == 1 {
					mixed[j] = x[j]
				}
			}
			_ = product{}.PredictInto(dst, mixed)
			sum += dst[0] / 30
		}
		return sum
	})
	total := s.Expected()[0]
	for j, v := range one[:4] {
		total += v
		if math.Abs(v-want[j]) > 1e-9 { // a pair of orders is exact for products of two
			t.Errorf("contributions %v, by definition %v", one[:4], want)
		}
	}
	if math.Abs(total-4) > 1e-9 {
		t.Errorf("contributions add up to %v, the prediction is 4", total)
	}
	if err := s.Into(one[:4], []float64{math.NaN(), 0, 0, 0}); err == nil {
		t.Error("a row that the model cannot predict gave no error")
	}
	if _, err := NewSampling(product{}, background[:3], 1, 1); !errors.Is(err, ErrShape) {
		t.Errorf("NewSampling on part of a row = %v, want ErrShape", err)
	}
}

func TestPermutation(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	x, y := make([]float64, 4*2000), make([]float64, 2000)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	for i := range y {
		_ = product{}.PredictInto(y[i:i+1], x[4*i:4*i+4])
	}
	mse := func(y, p, w []float64) float64 { return math.Pow(metric.RMSE(y, p, w), 2) }
	var first *Importance
	for threads := 1; threads <= 3; threads++ {
		im, err := Permutation(context.Background(), product{}, x, y, mse, PermutationOptions{Seed: 1, Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = im
		}
		if !slices.Equal(im.Mean, first.Mean) || !slices.Equal(im.Std, first.Std) {
			t.Errorf("%d threads give %v, one %v", threads, im.Mean, first.Mean)
		}
	}
	// A shuffled x gives 2·Var(contribution): 2 for each of the factors, 8 for 2·x2.
	for j, want := range []float64{2, 2, 8, 0} {
		if math.Abs(first.Mean[j]-want) > 0.25*want {
			t.Errorf("importance %v, want about 2, 2, 8 and 0", first.Mean)
		}
	}
	both, err := Permutation(context.Background(), product{}, x, y, mse, PermutationOptions{Groups: [][]int{{0, 1}}})
	if err != nil || math.Abs(both.Mean[0]-2) > 0.5 {
		t.Errorf("importance of both factors %v, %v, want about 2", both, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Permutation(ctx, product{}, x, y, mse, PermutationOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Permutation under a cancelled context = %v", err)
	}
	if _, err := Permutation(context.Background(), product{}, x[1:], y, mse, PermutationOptions{}); !errors.Is(err, ErrShape) {
		t.Errorf("Permutation of part of a row = %v, want ErrShape", err)
	}
}

func TestPartialDependence(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	x := make([]float64, 4*500)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	for i := range 500 {
		x[4*i+3] = float64(i % 3)
	}
	d, err := PartialDependence(context.Background(), product{}, x, 2, DependenceOptions{Points: 5, Single: true, Threads: 2})
	if err != nil || len(d.Grid) != 5 || len(d.Mean) != 5 || len(d.Single) != 5*500 {
		t.Fatalf("PartialDependence = %+v, %v", d, err)
	}
	for g := 1; g < 5; g++ {
		if slope := (d.Mean[g] - d.Mean[g-1]) / (d.Grid[g] - d.Grid[g-1]); math.Abs(slope-2) > 1e-9 {
			t.Errorf("slope %v between points %d and %d, want 2", slope, g-1, g)
		}
		if got, want := d.Single[5*7+g], x[4*7]*x[4*7+1]+2*d.Grid[g]; math.Abs(got-want) > 1e-12 {
			t.Errorf("curve of row 7 is %v at point %d, want %v", got, g, want)
		}
	}
	if d, err := PartialDependence(context.Background(), product{}, x, 3, DependenceOptions{}); err != nil || !slices.Equal(d.Grid, []float64{0, 1, 2}) {
		t.Errorf("grid of three values %v, %v", d, err)
	}
	if _, err := PartialDependence(context.Background(), product{}, x, 4, DependenceOptions{}); !errors.Is(err, ErrShape) {
		t.Errorf("PartialDependence of input 4 of 4 = %v, want ErrShape", err)
	}
}

// go test ./compute/explain -run '^$' -bench Trees -count 10
func BenchmarkTrees(b *testing.B) {
	rng := rand.New(rand.NewPCG(6, 1))
	var trees []ensemble.Tree
	for range 100 {
		trees = append(trees, randomTree(rng, 20, 1, 6, false))
	}
	e, err := ensemble.Build(ensemble.Spec{Inputs: 20, Base: []float64{0}, Covers: true}, trees)
	if err != nil {
		b.Fatal(err)
	}
	s, err := NewTrees(e)
	if err != nil {
		b.Fatal(err)
	}
	phi, x := make([]float64, 20), make([]float64, 20)
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Into(phi, x)
	}
}
