package interchange

import (
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/chain"
)

// imputer replaces missing values.
func (e *onnxEval) imputer(n *onnxNode, v *onnxValue) (*onnxValue, error) {
	values := floatsOf(n, "imputed_value_floats")
	if len(values) == 0 {
		return nil, refused("an Imputer of whole numbers: they are never missing; cast the inputs to float before training")
	}
	if a := n.attrs["replaced_value_float"]; a == nil || !math.IsNaN(a.f) {
		return nil, refused("an Imputer that replaces a number instead of NaN: mark missing values by NaN before training")
	}
	if len(values) != 1 && len(values) != len(v.cols) {
		return nil, damaged("%d imputed values for %d columns", len(values), len(v.cols))
	}
	out := &onnxValue{elem: v.elem, cols: slices.Clone(v.cols)}
	for k := range out.cols {
		if err := impute(&out.cols[k], at(values, k)); err != nil {
			return nil, fmt.Errorf("column %d: %w", k, err)
		}
	}
	return out, nil
}

// impute replaces a missing column by x.
func impute(c *column, x float64) error {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return damaged("the imputed value is %v, must be finite", x)
	case c.kind == colNormed || c.zero:
		return refused("missing values are replaced after rows were normalised or zeros counted as missing")
	case c.kind != colValue && c.kind != colOneHot, c.impute != nil:
		return nil // never missing
	}
	x = x/c.scale + c.center // before it is centred and scaled
	c.impute = &x
	return nil
}

// isNaN tests for every column whether it is missing.
func (e *onnxEval) isNaN(v *onnxValue) (*onnxValue, error) {
	if v.cols == nil {
		return nil, refused("it tests whether a model's outputs are missing")
	}
	out := &onnxValue{elem: typeBool}
	for _, c := range v.cols {
		switch {
		case (c.kind == colValue || c.kind == colOneHot) && c.impute == nil:
			out.cols = append(out.cols, column{kind: colIsNaN, input: c.input})
		case c.kind == colUnknown:
			out.cols = append(out.cols, c)
		case c.kind == colText || c.kind == colNormed || c.zero:
			return nil, refused("it tests whether text or a normalised row is missing")
		default:
			out.cols = append(out.cols, column{kind: colConst})
		}
	}
	return out, nil
}

// equal compares inputs with constant numbers.
func (e *onnxEval) equal(in []*onnxValue) (*onnxValue, error) {
	if err := arity(in, 2); err != nil {
		return nil, err
	}
	v, c := in[0], in[1]
	if v.constant() {
		v, c = c, v
	}
	if v.cols == nil || !c.constant() || c.strings != nil || len(c.numbers) == 0 {
		return nil, refused("only inputs can be compared with constant numbers")
	}
	cols := v.cols
	if len(cols) == 1 && len(c.numbers) <= maxFeatures*64 {
		cols = slices.Repeat(cols, len(c.numbers))
	}
	if len(c.numbers) != 1 && len(c.numbers) != len(cols) {
		return nil, damaged("%d columns are compared with %d numbers", len(cols), len(c.numbers))
	}
	out := &onnxValue{elem: typeBool}
	for k, col := range cols {
		x := at(c.numbers, k)
		switch {
		case math.IsNaN(x):
			out.cols = append(out.cols, column{kind: colConst}) // nothing equals NaN
		case col.kind != colValue || col.zero || col.center != 0 || col.scale != 1 || col.impute != nil || math.IsInf(x, 0):
			return nil, refused("only inputs as they are can be compared with finite numbers")
		default:
			out.cols = append(out.cols, column{kind: colEqual, input: col.input, category: x, scale: 1})
		}
	}
	return out, nil
}

// tiny compares magnitudes with LightGBM's zero; a negative bound holds for nothing.
func (e *onnxEval) tiny(in []*onnxValue) (*onnxValue, error) {
	if err := arity(in, 2); err != nil {
		return nil, err
	}
	v, c := in[0], in[1]
	if v.fn != "abs" || v.of.cols == nil || !c.constant() || len(c.numbers) != 1 && len(c.numbers) != len(v.of.cols) {
		return nil, refused("LessOrEqual of something other than magnitudes of inputs and constants is not computed here")
	}
	out := &onnxValue{elem: typeBool}
	for k := range v.of.cols {
		switch x := at(c.numbers, k); {
		case x < 0:
			out.cols = append(out.cols, column{kind: colConst})
		case x == chain.ZeroThreshold:
			out.cols = append(out.cols, column{kind: colTiny, of: &v.of.cols[k]})
		default:
			return nil, refused("magnitudes are compared with %v, only with %v (zero counts as missing) they can be", x, chain.ZeroThreshold)
		}
	}
	return out, nil
}

// where chooses between two tensors: by a constant per column, or by what is missing.
func (e *onnxEval) where(in []*onnxValue) (*onnxValue, error) {
	if err := arity(in, 3); err != nil {
		return nil, err
	}
	width := 1
	for _, v := range in {
		if v.outs != nil || v.strings != nil {
			return nil, refused("it chooses between a model's outputs or text")
		}
		width = max(width, len(v.cols), len(v.numbers))
	}
	if width > maxFeatures*64 {
		return nil, refused("it chooses between %d columns", width)
	}
	pickOf := func(v *onnxValue, k int) (column, error) {
		if v.constant() {
			if len(v.numbers) != 1 && len(v.numbers) != width {
				return column{}, damaged("%d numbers for %d columns", len(v.numbers), width)
			}
			return column{kind: colConst, value: at(v.numbers, k), scale: 1}, nil
		}
		if len(v.cols) != 1 && len(v.cols) != width {
			return column{}, damaged("%d columns beside %d", len(v.cols), width)
		}
		return v.cols[min(k, len(v.cols)-1)], nil
	}
	out := &onnxValue{elem: max(in[1].elem, in[2].elem)}
	for k := range width {
		var c [3]column
		for i, v := range in {
			var err error
			if c[i], err = pickOf(v, k); err != nil {
				return nil, err
			}
		}
		got, err := choose(c[0], c[1], c[2])
		if err != nil {
			return nil, fmt.Errorf("column %d: %w", k, err)
		}
		out.cols = append(out.cols, got)
	}
	return out, nil
}

// choose returns yes where cond holds, else no.
func choose(cond, yes, no column) (column, error) {
	if cond.kind == colConst {
		if cond.value != 0 {
			return yes, nil
		}
		return no, nil
	}
	if cond.kind == colTiny && yes.kind == colConst && math.IsNaN(yes.value) && *cond.of == no {
		no.zero = true
		return no, nil
	}
	if cond.kind != colIsNaN || no.input != cond.input || no.kind != colValue && no.kind != colOneHot {
		return column{kind: colUnknown}, nil // an error if a model takes it
	}
	// The input is missing: yes gives NaN, or a number that then stands for it.
	missing := yes.kind == colConst && math.IsNaN(yes.value) || (yes.kind == colValue || yes.kind == colOneHot) && yes.input == cond.input && yes.impute == nil
	switch {
	case missing:
		no.impute = nil
		return no, nil
	case yes.kind == colConst:
		no.impute = nil
		return no, impute(&no, yes.value)
	}
	return column{kind: colUnknown}, nil
}
