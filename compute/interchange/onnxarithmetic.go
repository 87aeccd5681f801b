package interchange

import (
	"math"
	"slices"

	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
)

// arithmetic computes a sum, difference, product or quotient with a constant.
func (e *onnxEval) arithmetic(n *onnxNode, a, b *onnxValue) (*onnxValue, error) {
	switch {
	case n.op == "Div" && len(b.outs) == 1 && b.outs[0].sum && whole(a) == b.outs[0].st:
		return e.shares(a)
	case n.op == "Mul" && a.cols != nil && a == b:
		return &onnxValue{fn: "square", of: a, elem: a.elem}, nil
	case n.op == "Add" && a.fn == "square" && b.constant() && len(b.numbers) == 1 && b.numbers[0] == 1:
		return &onnxValue{fn: "1+square", of: a.of, elem: a.elem}, nil
	case n.op == "Div" && b.fn == "root" && a.cols != nil:
		return e.clipped(a, b.of)
	case n.op == "Mul" && b.fn == "abs" && b.of == a && whole(a) != nil:
		s := whole(a).with(ensemble.Identity, chain.SignedSquare)
		s.norms, s.shares = false, false
		return &onnxValue{outs: s.all(), elem: a.elem}, nil
	}
	if a.constant() && b.constant() {
		return nil, refused("it computes with two constants: export the model with constants folded")
	}
	v, c, left := a, b, false
	if a.constant() {
		v, c, left = b, a, true
	}
	if !c.constant() || c.strings != nil || len(c.numbers) == 0 {
		return nil, refused("%s of two values that both depend on the inputs is not computed here", n.op)
	}
	num := c.numbers
	if v.outs != nil && left && n.op == "Sub" && !slices.ContainsFunc(num, func(x float64) bool { return x != 1 }) && (len(num) == 1 || len(num) == len(v.outs)) {
		out := &onnxValue{elem: v.elem, outs: slices.Clone(v.outs), class: v.class}
		for k := range out.outs {
			out.outs[k].rest = !out.outs[k].rest
		}
		return out, nil
	}
	if left && n.op == "Div" {
		return nil, refused("a constant divided by a value is not computed here")
	}
	// scale and shift such that the result is shift + scale·value.
	coef := func(k int) (scale, shift float64) {
		x := at(num, k)
		switch {
		case n.op == "Add":
			return 1, x
		case n.op == "Sub" && left:
			return -1, x
		case n.op == "Sub":
			return 1, -x
		case n.op == "Mul":
			return x, 0
		default:
			return 1 / x, 0
		}
	}
	if v.cols != nil {
		return e.affine(v, func(k int) (float64, float64) {
			scale, shift := coef(k)
			if shift == 0 {
				return 0, scale
			}
			return -shift / scale, scale // scale is 1 or -1
		}, len(num))
	}
	st := whole(v)
	if st == nil {
		return nil, refused("%s with some of a model's outputs is not computed here", n.op)
	}
	if len(num) != 1 && len(num) != st.n {
		return nil, damaged("it has %d numbers for %d outputs", len(num), st.n)
	}
	scale, shift := make([]float64, st.n), make([]float64, st.n)
	for k := range scale {
		scale[k], shift[k] = coef(k)
	}
	if !finiteAll(scale) || !finiteAll(shift) {
		return nil, damaged("outputs are scaled by %v and shifted by %v: not finite", scale, shift)
	}
	s := st.scaled(scale, shift)
	return &onnxValue{outs: s.all(), elem: v.elem, class: v.class}, nil
}

// affine computes (column − offset) · scale; counts is how many different numbers there are, 1 or
// one per column.
func (e *onnxEval) affine(v *onnxValue, f func(k int) (offset, scale float64), counts int) (*onnxValue, error) {
	cols := v.cols
	if len(cols) == 1 && counts > 1 && counts <= maxFeatures*64 {
		cols = slices.Repeat(cols, counts)
	}
	if counts != 1 && counts != len(cols) {
		return nil, damaged("it has %d numbers for %d columns", counts, len(cols))
	}
	out := &onnxValue{elem: v.elem, cols: slices.Clone(cols)}
	for k := range out.cols {
		c := &out.cols[k]
		offset, scale := f(k)
		if !finiteAll([]float64{offset, scale}) {
			return nil, damaged("column %d is shifted by %v and scaled by %v: not finite", k, offset, scale)
		}
		if c.zero {
			return nil, refused("it computes with inputs whose zeros count as missing")
		}
		switch c.kind {
		case colUnknown:
		case colConst:
			c.value = (c.value - offset) * scale
		case colText, colIsNaN, colEqual, colTiny:
			return nil, refused("it computes with text or truth values")
		default:
			if c.scale == 0 {
				*c = column{kind: colConst, value: (0 - offset) * scale}
				continue
			}
			if offset != 0 {
				c.center += offset / c.scale
			}
			if c.scale *= scale; c.scale == 0 {
				*c = column{kind: colConst}
			}
		}
	}
	return out, nil
}

// clipped recognises v/√(1+(v/c)²), where u is v/c.
func (e *onnxEval) clipped(v, u *onnxValue) (*onnxValue, error) {
	if len(v.cols) != len(u.cols) || v.clip != 0 {
		return nil, refused("a quotient of columns that is none of the known formulas")
	}
	out := &onnxValue{cols: v.cols, elem: v.elem}
	for k, c := range v.cols {
		d := u.cols[k]
		clip := c.scale / d.scale
		d.scale = c.scale
		if c != d || !(clip > 0) || math.IsInf(clip, 0) || k > 0 && clip != out.clip {
			return nil, refused("a quotient of columns that is none of the known formulas")
		}
		out.clip = clip
	}
	return out, nil
}
