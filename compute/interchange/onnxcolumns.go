package interchange

import (
	"math"
	"slices"

	"skerry.dev/compute/ensemble"
)

func constantNode(n *onnxNode) (*onnxValue, error) {
	for key, a := range n.attrs {
		switch key {
		case "value":
			if a.t == nil {
				return nil, damaged("attribute value holds no tensor")
			}
			return constantOf(a.t)
		case "value_float":
			return &onnxValue{numbers: []float64{a.f}, elem: typeFloat}, nil
		case "value_int":
			return &onnxValue{numbers: []float64{float64(a.i)}, elem: typeInt64}, nil
		case "value_floats":
			return &onnxValue{numbers: a.floats, dims: []int64{int64(len(a.floats))}, elem: typeFloat}, nil
		case "value_ints":
			v := &onnxValue{dims: []int64{int64(len(a.ints))}, elem: typeInt64, numbers: []float64{}}
			for _, x := range a.ints {
				v.numbers = append(v.numbers, float64(x))
			}
			return v, nil
		}
	}
	return nil, refused("a Constant without a number or tensor")
}

// concat joins columns, or outputs of models.
func (e *onnxEval) concat(in []*onnxValue) (*onnxValue, error) {
	out := &onnxValue{}
	for _, v := range in {
		if v == nil || v.constant() {
			return nil, refused("it joins constants or inputs that are left out")
		}
		out.cols, out.outs = append(out.cols, v.cols...), append(out.outs, v.outs...)
		if len(out.cols) > maxFeatures*64 || len(out.outs) > ensemble.MaxOutputs {
			return nil, refused("it joins more than %d columns or %d outputs", maxFeatures*64, ensemble.MaxOutputs)
		}
		out.elem = v.elem
	}
	if out.cols != nil && out.outs != nil {
		return nil, refused("it joins a model's outputs with inputs: models on top of models are not computed here")
	}
	if out.cols == nil && out.outs == nil {
		return nil, damaged("it joins nothing")
	}
	for _, o := range out.outs {
		if o.st != out.outs[0].st {
			st, err := gather(out.outs)
			if err != nil {
				return nil, err
			}
			out.outs = st.all()
			break
		}
	}
	return out, nil
}

// take selects columns or outputs.
func (e *onnxEval) take(in []*onnxValue) (*onnxValue, error) {
	if err := arity(in, 2); err != nil {
		return nil, err
	}
	v := in[0]
	if v.constant() {
		return nil, refused("it takes elements of a constant, which only labels need: name the output with the scores")
	}
	at, err := indices(in[1], len(v.cols)+len(v.outs))
	if err != nil {
		return nil, err
	}
	out := &onnxValue{elem: v.elem}
	for _, i := range at {
		if v.cols != nil {
			out.cols = append(out.cols, v.cols[i])
		} else {
			out.outs = append(out.outs, v.outs[i])
		}
	}
	return out, nil
}

// indices reads a constant list of positions below n; negative ones count from the end.
func indices(v *onnxValue, n int) ([]int, error) {
	if v == nil || !v.constant() || len(v.numbers) == 0 {
		return nil, refused("its positions are not constant")
	}
	if len(v.numbers) > maxFeatures*64 {
		return nil, damaged("it takes %d columns", len(v.numbers))
	}
	out := make([]int, len(v.numbers))
	for i, x := range v.numbers {
		if x < 0 {
			x += float64(n)
		}
		if !(x >= 0 && x < float64(n)) || x != math.Trunc(x) {
			return nil, damaged("it takes column %v of %d", v.numbers[i], n)
		}
		out[i] = int(x)
	}
	return out, nil
}

// slice selects a range of columns with step 1.
func (e *onnxEval) slice(n *onnxNode, in []*onnxValue) (*onnxValue, error) {
	if err := arity(in, 3); err != nil {
		return nil, refused("Slice of an opset before 10, or without positions")
	}
	v, width := in[0], len(in[0].cols)+len(in[0].outs)
	one := func(k int, fallback float64) (float64, bool) {
		if len(in) <= k || in[k] == nil {
			return fallback, true
		}
		if !in[k].constant() || len(in[k].numbers) != 1 {
			return 0, false
		}
		return in[k].numbers[0], true
	}
	from, ok1 := one(1, 0)
	to, ok2 := one(2, 0)
	axis, ok3 := one(3, 0)
	step, ok4 := one(4, 1)
	if !ok1 || !ok2 || !ok3 || !ok4 || axis != 1 && axis != -1 || step != 1 || width == 0 {
		return nil, refused("only a constant range of columns (axis 1, step 1) can be cut out")
	}
	clamp := func(x float64) int {
		if x < 0 {
			x += float64(width)
		}
		return int(min(max(x, 0), float64(width)))
	}
	a, b := clamp(from), clamp(to)
	if a >= b {
		return nil, damaged("it cuts out columns %v to %v of %d", from, to, width)
	}
	out := &onnxValue{elem: v.elem}
	if v.cols != nil {
		out.cols = v.cols[a:b]
	} else {
		out.outs = v.outs[a:b]
	}
	return out, nil
}

// reshape lets tensors through whose rows stay rows.
func (e *onnxEval) reshape(n *onnxNode, in []*onnxValue) (*onnxValue, error) {
	v := in[0]
	if v.constant() {
		c := *v
		c.dims = nil // used flat
		return &c, nil
	}
	width := int64(len(v.cols) + len(v.outs))
	if n.op == "Reshape" {
		if len(in) < 2 || in[1] == nil || !in[1].constant() {
			return nil, refused("its new shape is not constant")
		}
		s := in[1].numbers
		rows := len(s) == 2 && (s[0] == -1 || s[0] == 0) && (s[1] == float64(width) || s[1] == -1 && s[0] == 0) || len(s) == 1 && s[0] == -1 && width == 1 ||
			len(s) == 2 && s[0] == -1 && s[1] == 1 && width == 1
		if !rows {
			return nil, refused("it makes the shape %v of %d columns: rows must stay rows", s, width)
		}
	}
	if n.op == "Flatten" {
		if a := n.attrs["axis"]; a != nil && a.i != 1 {
			return nil, refused("Flatten of axis %d, must be 1", a.i)
		}
	}
	if n.op == "Squeeze" && width != 1 {
		return nil, refused("Squeeze of %d columns", width)
	}
	return v, nil
}

func (e *onnxEval) cast(n *onnxNode, v *onnxValue) (*onnxValue, error) {
	to := int64(typeFloat)
	if a := n.attrs["to"]; a != nil {
		to = a.i
	}
	switch to {
	case typeFloat, typeDouble:
	case typeInt32, typeInt64:
		if v.cols != nil && v.elem != typeInt32 && v.elem != typeInt64 && v.elem != typeBool {
			e.cut = true
		}
	default:
		return nil, refused("a cast to elements of type %d, know float, double, int32 and int64", to)
	}
	out := *v
	out.elem = to
	if v.cols != nil {
		out.cols = slices.Clone(v.cols)
		for i := range out.cols {
			c := &out.cols[i]
			zero := 0.0
			switch c.kind {
			case colText:
				return nil, refused("text is cast to numbers")
			case colIsNaN:
				c.kind, c.center, c.scale = colMissing, 0, 1
			case colEqual:
				c.kind, c.center, c.scale, c.impute = colOneHot, 0, 1, &zero
			}
		}
	}
	return &out, nil
}
