package ensemble

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// randomTree grows a tree of at most 2·splits+1 nodes whose children are not neighbours, so that
// packing has something to do.
func randomTree(rng *rand.Rand, inputs, outputs, splits int, categories bool) Tree {
	t := Tree{{}}
	leaves := []int{0}
	for range splits {
		k := rng.IntN(len(leaves))
		at := leaves[k]
		l, r := len(t), len(t)+1
		t = append(t, Node{}, Node{})
		if rng.IntN(2) == 0 {
			l, r = r, l
		}
		t[at] = Node{Feature: rng.IntN(inputs), Threshold: rng.NormFloat64(), MissingLeft: rng.IntN(2) == 0, Left: l, Right: r}
		if categories && rng.IntN(3) == 0 {
			t[at].Categories = &[4]uint64{rng.Uint64(), rng.Uint64()}
		}
		leaves[k] = l
		leaves = append(leaves, r)
	}
	for _, at := range leaves {
		t[at].Value = rng.NormFloat64()
		for range outputs {
			t[at].Values = append(t[at].Values, rng.NormFloat64())
		}
	}
	return t
}

// follow is the definition of a prediction of one tree.
func follow(t Tree, x []float64) *Node {
	n := &t[0]
	for n.Left != 0 {
		v, left := x[n.Feature], false
		switch {
		case math.IsNaN(v):
			left = n.MissingLeft
		case n.Categories != nil:
			left = v >= 0 && v <= 255 && v == math.Trunc(v) && n.Categories[int(v)/64]>>(int(v)%64)&1 == 1
		default:
			left = v <= n.Threshold
		}
		if left {
			n = &t[n.Left]
		} else {
			n = &t[n.Right]
		}
	}
	return n
}

func TestPredictInto(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		inputs, outputs, vector := 1+rng.IntN(6), 1+rng.IntN(3), seed%3 == 0
		base := make([]float64, outputs)
		trees := make([]Tree, outputs*rng.IntN(15))
		for i := range trees {
			trees[i] = randomTree(rng, inputs, outputs, rng.IntN(20), seed%2 == 0)
		}
		e, err := New(inputs, Identity, base, vector, trees)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		b, _ := e.AppendBinary(nil)
		if len(b) != e.Size() {
			t.Errorf("seed %d: encoding has %d bytes, Size says %d", seed, len(b), e.Size())
		}
		d, err := Decode(b)
		if err != nil {
			t.Fatalf("seed %d: decode: %v", seed, err)
		}
		x, got, want := make([]float64, inputs), make([]float64, outputs), make([]float64, outputs)
		for range 50 {
			for j := range x {
				if x[j] = rng.NormFloat64(); rng.IntN(3) == 0 {
					x[j] = []float64{math.NaN(), 3, 70, -1, math.Inf(1), math.Inf(-1)}[rng.IntN(6)]
				}
			}
			clear(want)
			for i := range trees {
				n := follow(e.Tree(i), x) // with scores as Build rounded them
				for k := range want {
					if vector {
						want[k] += n.Values[k]
					} else if i%outputs == k {
						want[k] += n.Value
					}
				}
			}
			for _, m := range []*Ensemble{e, d} {
				if err := m.PredictInto(got, x); err != nil {
					t.Fatal(err)
				}
				for k := range want {
					if got[k] != want[k] {
						t.Fatalf("seed %d: PredictInto(%v) = %v, want %v", seed, x, got, want)
					}
				}
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	nan := math.NaN()
	leaf := Node{Value: 1}
	for name, c := range map[string]struct {
		base  []float64
		link  Link
		trees []Tree
	}{
		"cycle":            {[]float64{0}, Identity, []Tree{{{Left: 1, Right: 2}, {Left: 1, Right: 2}, leaf}}},
		"shared child":     {[]float64{0}, Identity, []Tree{{{Left: 1, Right: 1}, leaf}}},
		"unreached node":   {[]float64{0}, Identity, []Tree{{leaf, leaf}}},
		"one child":        {[]float64{0}, Identity, []Tree{{{Left: 1}, leaf}}},
		"feature":          {[]float64{0}, Identity, []Tree{{{Feature: 2, Left: 1, Right: 2}, leaf, leaf}}},
		"threshold":        {[]float64{0}, Identity, []Tree{{{Threshold: nan, Left: 1, Right: 2}, leaf, leaf}}},
		"leaf":             {[]float64{0}, Identity, []Tree{{{Value: nan}}}},
		"base":             {[]float64{nan}, Identity, nil},
		"softmax of one":   {[]float64{0}, Softmax, nil},
		"trees per output": {[]float64{0, 0}, Softmax, []Tree{{leaf}}},
	} {
		if _, err := New(2, c.link, c.base, false, c.trees); err == nil {
			t.Errorf("New with bad %s gave no error", name)
		}
	}
}

func TestExp(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		x := rng.NormFloat64() * 100
		got, want := Exp(x), math.Exp(x)
		if math.Abs(got-want) > 4e-16*want {
			t.Fatalf("Exp(%v) = %v, want %v", x, got, want)
		}
	}
	for _, x := range []float64{0, 1000, -1000, math.Inf(1), math.Inf(-1)} {
		if got, want := Exp(x), math.Exp(x); got != want {
			t.Errorf("Exp(%v) = %v, want %v", x, got, want)
		}
	}
}

func TestLinks(t *testing.T) {
	for _, link := range []Link{Logistic, Softmax} {
		e, err := New(1, link, []float64{800, -800, 1}, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]float64, 3)
		if err := e.PredictInto(dst, []float64{0}); err != nil {
			t.Fatal(err)
		}
		if dst[0] != 1 || dst[1] > 1e-300 {
			t.Errorf("link %d of (800, -800, 1) = %v, want 1, 0, …", link, dst)
		}
	}
}

func TestPredictIntoDoesNotAllocate(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	e, err := New(4, Logistic, []float64{0}, false, []Tree{randomTree(rng, 4, 1, 30, true), randomTree(rng, 4, 1, 30, false)})
	if err != nil {
		t.Fatal(err)
	}
	dst, x := make([]float64, 1), make([]float64, 4)
	if n := testing.AllocsPerRun(100, func() { _ = e.PredictInto(dst, x) }); n != 0 && !raced {
		t.Errorf("PredictInto allocates %v times, want 0", n)
	}
	if err := e.PredictInto(dst, x[:3]); !errors.Is(err, ErrShape) {
		t.Errorf("PredictInto of 3 values = %v, want ErrShape", err)
	}
}

func FuzzDecode(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 1))
	for _, vector := range []bool{false, true} {
		e, err := New(3, Softmax, []float64{0, 1}, vector, []Tree{randomTree(rng, 3, 2, 4, true), randomTree(rng, 3, 2, 2, false)})
		if err != nil {
			f.Fatal(err)
		}
		b, _ := e.AppendBinary(nil)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err != nil {
			return
		}
		again, _ := e.AppendBinary(nil)
		if !bytes.Equal(again, b) {
			t.Fatal("decoded ensemble encodes to other bytes")
		}
		if err := e.PredictInto(make([]float64, e.Outputs()), make([]float64, e.Inputs())); err != nil {
			t.Fatal(err)
		}
	})
}

// go test ./compute/ensemble -run '^$' -bench PredictInto -count 10
func BenchmarkPredictInto(b *testing.B) {
	rng := rand.New(rand.NewPCG(7, 1))
	trees := make([]Tree, 200)
	for i := range trees {
		trees[i] = randomTree(rng, 30, 1, 30, false)
	}
	e, err := New(30, Identity, []float64{0}, false, trees)
	if err != nil {
		b.Fatal(err)
	}
	x, dst := make([]float64, 30*64), make([]float64, 1)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		_ = e.PredictInto(dst, x[30*i:30*i+30])
		i = (i + 1) % 64
	}
}
