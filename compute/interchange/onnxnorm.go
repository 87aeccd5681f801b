package interchange

import (
	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
)

// normalizer divides rows by their norm: inputs before a model, or a classifier's scores.
func (e *onnxEval) normalizer(n *onnxNode, v *onnxValue) (*onnxValue, error) {
	op, ok := map[string]chain.Op{"": chain.NormMax, "MAX": chain.NormMax, "L1": chain.NormL1, "L2": chain.NormL2}[textOf(n, "norm")]
	switch {
	case !ok:
		return nil, refused("norm %.20q, know MAX, L1 and L2", textOf(n, "norm"))
	case v.outs != nil && op != chain.NormL1:
		return nil, refused("a model's outputs are divided by norm %s, only L1 is computed here", textOf(n, "norm"))
	case v.outs != nil:
		return e.shares(v)
	case v.cols == nil:
		return nil, refused("it normalises a constant")
	}
	if op == chain.NormMax {
		return nil, refused("norm MAX, which divides by the largest number in onnxruntime and by the largest magnitude in scikit-learn: use L1 or L2")
	}
	return normed(v, op)
}

// lpNormalization is the Normalizer of the core domain.
func (e *onnxEval) lpNormalization(n *onnxNode, v *onnxValue) (*onnxValue, error) {
	p := int64(2)
	if a := n.attrs["p"]; a != nil {
		p = a.i
	}
	if a := n.attrs["axis"]; a != nil && a.i != 1 && a.i != -1 || v.cols == nil || p != 1 && p != 2 {
		return nil, refused("LpNormalization other than of inputs over axis 1 with p 1 or 2")
	}
	return normed(v, map[int64]chain.Op{1: chain.NormL1, 2: chain.NormL2}[p])
}

// normed makes a row that is divided by its norm.
func normed(v *onnxValue, op chain.Op) (*onnxValue, error) {
	g := &normGroup{op: op, cols: v.cols}
	out := &onnxValue{elem: v.elem}
	for i, c := range v.cols {
		if c.kind == colNormed {
			return nil, refused("a row is normalised twice")
		}
		out.cols = append(out.cols, column{kind: colNormed, input: c.input, group: g, at: i, scale: 1})
	}
	return out, nil
}

// shares divides every output by the sum of all.
func (e *onnxEval) shares(v *onnxValue) (*onnxValue, error) {
	if len(v.outs) == 2 && v.outs[0].st == v.outs[1].st && v.outs[0].index == v.outs[1].index && v.outs[0].rest != v.outs[1].rest && v.outs[0].st.shares {
		return v, nil // 1−p and p add up to 1
	}
	st, err := gather(v.outs)
	if err != nil {
		return nil, err
	}
	if st.shares && st.n > 1 {
		return v, nil
	}
	if !st.norms || st.n < 2 {
		return nil, refused("outputs that may be negative are divided by their sum")
	}
	c := st.with(ensemble.Identity, chain.NormSum)
	c.shares = true
	return &onnxValue{outs: c.all(), elem: v.elem, class: v.class}, nil
}
