package artifact

import (
	"testing"

	"skerry.dev/compute/chain"
)

// TestChain holds that a model with steps around it travels like any other.
func TestChain(t *testing.T) {
	a := sample(t)
	m, err := chain.New([]chain.Stage{{Op: chain.NormL2, To: 3}}, a.Models[Lower].(chain.Predictor), []chain.Stage{{Op: chain.Exponential}})
	if err != nil {
		t.Fatal(err)
	}
	a.Models[Lower] = m
	if a.Vectors, err = MakeVectors(a, a.Vectors.Times, a.Vectors.Values, a.Vectors.Tail); err != nil {
		t.Fatal(err)
	}
	d, err := DecodeBytes(encode(t, a))
	if err != nil {
		t.Fatal(err)
	}
	if got := ModelKind(d.Models[Lower]); got != "chain" {
		t.Errorf("the lower model is %q, want a chain", got)
	}
	if err := d.SelfTest(); err != nil {
		t.Error(err)
	}
}
