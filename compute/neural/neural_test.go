package neural

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/ensemble"
)

func random(t testing.TB, widths []int, link ensemble.Link) *Network {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	params := make([]float64, Params(widths))
	for i := range params {
		params[i] = rng.NormFloat64()
	}
	n, err := New(widths, link, 2, 0.5, params)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// forward is the definition of the forward pass.
func forward(n *Network, x []float64) []float64 {
	at := n.params
	for l := 1; l < len(n.widths); l++ {
		out := append([]float64(nil), at[:n.widths[l]]...)
		at = at[n.widths[l]:]
		for u := range out {
			for j := range x {
				out[u] += float64(at[u*len(x)+j] * x[j])
			}
			if l < len(n.widths)-1 && out[u] < 0 {
				out[u] = 0
			}
		}
		at = at[len(out)*len(x):]
		x = out
	}
	for k := range x {
		x[k] = 0.5 + float64(2*x[k])
	}
	return x
}

func TestPredictInto(t *testing.T) {
	for _, widths := range [][]int{{1, 1}, {3, 2}, {5, 7, 4, 2}, {4, 9, 1}} {
		n := random(t, widths, ensemble.Identity)
		x := []float64{0.3, -1, 2, 0.7, -0.2}[:widths[0]]
		got, want := make([]float64, n.Outputs()), forward(n, x)
		if err := n.PredictInto(got, x); err != nil {
			t.Fatal(err)
		}
		for k := range want {
			if got[k] != want[k] {
				t.Errorf("widths %v: PredictInto(%v) = %v, want %v", widths, x, got, want)
			}
		}
		x[0] = math.NaN()
		if err := n.PredictInto(got, x); !errors.Is(err, ErrMissing) || got[0] == got[0] {
			t.Errorf("PredictInto(NaN) = %v, %v, want NaN and ErrMissing", got, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	n := random(f, []int{2, 3, 2}, ensemble.Softmax)
	b, _ := n.AppendBinary(nil)
	f.Add(b)
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

// go test ./compute/neural -run '^$' -bench PredictInto -count 10
func BenchmarkPredictInto(b *testing.B) {
	n := random(b, []int{60, 64, 32, 1}, ensemble.Identity)
	dst, x := make([]float64, 1), make([]float64, 60)
	b.ReportAllocs()
	for b.Loop() {
		_ = n.PredictInto(dst, x)
	}
}
