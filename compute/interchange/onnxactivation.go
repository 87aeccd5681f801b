package interchange

import (
	"slices"

	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/neural"
)

// activation applies a function to the outputs of a model.
func (e *onnxEval) activation(n *onnxNode, st *stage, in []*onnxValue) (*stage, error) {
	switch n.op {
	case "Relu":
		return st.activated(neural.ReLU)
	case "Gelu":
		if a := n.attrs["approximate"]; a == nil || a.s != "tanh" {
			return nil, refused("Gelu by the error function; only approximate=\"tanh\" is computed here")
		}
		return st.activated(neural.GELU)
	case "LayerNormalization":
		return layerNorm(n, st, in)
	case "Sigmoid":
		c := st.with(ensemble.Logistic, chain.Logistic)
		c.norms, c.shares = true, st.n == 1
		return c, nil
	case "Exp":
		c := st.with(ensemble.Exponential, chain.Exponential)
		c.norms, c.shares = true, false
		return c, nil
	case "Softplus":
		c := st.with(ensemble.Identity, chain.Log1pExp)
		c.norms, c.shares = true, false
		return c, nil
	case "Neg":
		scale := slices.Repeat([]float64{-1}, st.n)
		return st.scaled(scale, make([]float64, st.n)), nil
	case "Softmax":
		if a := n.attrs["axis"]; a != nil && a.i != 1 && a.i != -1 {
			return nil, refused("Softmax over axis %d, must be 1 or -1", a.i)
		}
		if st.n < 2 {
			return nil, refused("Softmax over one output")
		}
		c := st.with(ensemble.Softmax, chain.Softmax)
		c.norms, c.shares = true, true
		return c, nil
	}
	return nil, refused("%s after a dense layer: hidden layers must end in Relu or Gelu (tanh form), a model in Sigmoid, Softmax, Exp or nothing", n.op)
}

func layerNorm(n *onnxNode, st *stage, in []*onnxValue) (*stage, error) {
	if a := n.attrs["epsilon"]; a != nil && float32(a.f) != neural.Epsilon {
		return nil, refused("LayerNormalization with epsilon %v, must be %v", a.f, neural.Epsilon)
	}
	if a := n.attrs["axis"]; a != nil && a.i != -1 && a.i != 1 {
		return nil, refused("LayerNormalization over axis %d, must be 1 or -1", a.i)
	}
	if st.layers == nil || !st.raw() || st.last().Activation != neural.Linear || st.last().Norm != nil || len(in) < 2 || in[1] == nil {
		return nil, refused("LayerNormalization that does not follow a dense layer")
	}
	norm := &neural.Norm{Gain: in[1].numbers, Offset: make([]float64, st.n)}
	if len(in) > 2 && in[2] != nil {
		norm.Offset = in[2].numbers
	}
	if len(norm.Gain) != st.n || len(norm.Offset) != st.n {
		return nil, damaged("LayerNormalization of %d units with %d gains and %d offsets", st.n, len(norm.Gain), len(norm.Offset))
	}
	c := *st
	l := *st.last()
	l.Norm = norm
	c.layers = append(slices.Clone(st.layers[:len(st.layers)-1]), l)
	return &c, nil
}
