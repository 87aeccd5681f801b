package interchange

import (
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/neural"
)

// apply computes one node on symbols. It returns the node's outputs in order; nil stands for labels, which nobody here asks for.
func (e *onnxEval) apply(n *onnxNode, in []*onnxValue) ([]*onnxValue, error) {
	for _, v := range in {
		switch {
		case v == nil:
		case v.clip != 0 && !slices.Contains([]string{"MatMul", "Gemm", "Cast", "Identity"}, n.op):
			return nil, refused("it works on numbers that were bounded by v/√(1+(v/c)²), which only a dense layer may follow")
		case v.of != nil && !slices.Contains([]string{"Add", "Mul", "Div", "Sqrt", "LessOrEqual"}, n.op):
			return nil, refused("it works on magnitudes or squares, which is none of the known formulas")
		}
	}
	var v *onnxValue
	var err error
	switch n.domain {
	case "ai.onnx.ml":
		switch n.op {
		case "TreeEnsembleClassifier", "LinearClassifier":
			if v, err = e.classifier(n, in); err != nil {
				return nil, err
			}
			return []*onnxValue{nil, v}, nil
		}
		v, err = e.mlOp(n, in)
	case "":
		v, err = e.coreOp(n, in)
	default:
		err = refused("its domain %.60q is none of ONNX's own: export the model with standard operators", n.domain)
	}
	if err != nil {
		return nil, err
	}
	return []*onnxValue{v}, nil
}

func unknownOp(n *onnxNode) error {
	return refused("operator %.60s of domain %q is not computed here; docs/formats/interchange.md lists those that are", n.op, n.domain)
}

// mlOp computes the operators of ai.onnx.ml other than classifiers.
func (e *onnxEval) mlOp(n *onnxNode, in []*onnxValue) (*onnxValue, error) {
	switch n.op {
	case "FeatureVectorizer":
		return e.concat(in)
	case "ZipMap":
		if err := arity(in, 1); err != nil {
			return nil, err
		}
		v := *in[0]
		if v.outs != nil {
			v.class = &classInfo{names: classNames(n, "classlabels_strings", "classlabels_int64s")}
		}
		return &v, nil
	case "ArrayFeatureExtractor":
		return e.take(in)
	}
	if err := arity(in, 1); err != nil {
		return nil, err
	}
	v := in[0]
	switch n.op {
	case "Normalizer":
		return e.normalizer(n, v)
	case "TreeEnsembleRegressor", "TreeEnsemble":
		if v.cols == nil {
			return nil, refused("trees on top of another model or of a matrix product (a PCA, for instance): train them on the inputs")
		}
	case "Scaler", "Imputer", "OneHotEncoder", "LabelEncoder":
		if v.cols == nil {
			return nil, refused("it works on a model's outputs, on a matrix product or a constant: only inputs can be prepared")
		}
	}
	switch n.op {
	case "TreeEnsembleRegressor":
		return e.treeRegressor(n, v)
	case "TreeEnsemble":
		return e.treeEnsemble(n, v)
	case "LinearRegressor":
		return e.linearRegressor(n, v)
	case "Scaler":
		offset, scale := floatsOf(n, "offset"), floatsOf(n, "scale")
		if offset == nil {
			offset = []float64{0}
		}
		if scale == nil {
			scale = []float64{1}
		}
		return e.affine(v, func(k int) (float64, float64) { return at(offset, k), at(scale, k) }, max(len(offset), len(scale)))
	case "Imputer":
		return e.imputer(n, v)
	case "OneHotEncoder":
		return e.oneHot(n, v)
	case "LabelEncoder":
		return e.labelEncoder(n, v)
	}
	return nil, unknownOp(n)
}

// coreOp computes the operators of ONNX's own domain.
func (e *onnxEval) coreOp(n *onnxNode, in []*onnxValue) (*onnxValue, error) {
	switch n.op {
	case "Constant":
		return constantNode(n)
	case "Concat":
		return e.concat(in)
	case "Add", "Sub", "Mul", "Div":
		if err := arity(in, 2); err != nil {
			return nil, err
		}
		return e.arithmetic(n, in[0], in[1])
	case "MatMul", "Gemm":
		return e.product(n, in)
	case "Gather":
		if a := n.attrs["axis"]; (a == nil || a.i == 0) && len(in) == 2 && in[0] != nil && in[0].cols != nil {
			return nil, refused("it takes rows (axis 0), only columns (axis 1) can be taken")
		}
		return e.take(in)
	case "Slice":
		return e.slice(n, in)
	case "Where":
		return e.where(in)
	case "Equal":
		return e.equal(in)
	}
	if len(in) < 1 || in[0] == nil {
		return nil, damaged("it has no input")
	}
	v := in[0]
	switch n.op {
	case "Identity", "Dropout":
		return v, nil
	case "Cast":
		return e.cast(n, v)
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze":
		return e.reshape(n, in)
	case "IsNaN":
		return e.isNaN(v)
	case "ReduceSum":
		st := whole(v)
		if st == nil {
			return nil, refused("it adds up something other than a model's outputs")
		}
		return &onnxValue{outs: []output{{st: st, sum: true}}, elem: v.elem}, nil
	case "LpNormalization":
		return e.lpNormalization(n, v)
	case "Abs":
		if v.of == nil && !v.constant() {
			return &onnxValue{fn: "abs", of: v, elem: v.elem}, nil
		}
	case "Sqrt":
		if v.fn == "1+square" {
			return &onnxValue{fn: "root", of: v.of, elem: v.elem}, nil
		}
	case "LessOrEqual":
		return e.tiny(in)
	case "Greater":
		if st := whole(v); st != nil && len(in) == 2 && in[1] != nil && in[1].constant() && len(in[1].numbers) == 1 && in[1].numbers[0] == 0 {
			s := st.with(ensemble.Identity, chain.Step)
			s.shares, s.norms = st.n == 1, true
			return &onnxValue{outs: s.all(), elem: typeBool}, nil
		}
		return nil, refused("Greater of something other than a model's outputs and 0 is not computed here")
	}
	switch n.op {
	case "Relu", "Gelu", "Sigmoid", "Softmax", "Exp", "LayerNormalization", "Tanh", "Neg", "Sqrt", "Abs", "Clip", "Erf", "Elu", "LeakyRelu", "Selu", "Softplus", "Log":
		st := whole(v)
		if st == nil && n.op == "Neg" && v.cols != nil {
			return e.affine(v, func(int) (float64, float64) { return 0, -1 }, 1)
		}
		if st == nil {
			return nil, refused("%s of something other than a model's outputs is not computed here", n.op)
		}
		s, err := e.activation(n, st, in)
		if err != nil {
			return nil, err
		}
		return &onnxValue{outs: s.all(), elem: v.elem, class: v.class}, nil
	}
	return nil, unknownOp(n)
}

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

func arity(in []*onnxValue, n int) error {
	if len(in) < n {
		return damaged("it has %d inputs, must have %d", len(in), n)
	}
	for _, v := range in[:n] {
		if v == nil {
			return damaged("one of its first %d inputs is left out", n)
		}
	}
	return nil
}

// at returns element k of a list that holds one number for all or one each.
func at(v []float64, k int) float64 {
	if len(v) == 1 {
		return v[0]
	}
	return v[k]
}

func floatsOf(n *onnxNode, key string) []float64 {
	if a := n.attrs[key]; a != nil {
		return a.floats
	}
	return nil
}

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

// affine computes (column − offset) · scale; counts is how many different numbers there are, 1 or one per column.
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

// product multiplies by a constant matrix: a dense layer.
func (e *onnxEval) product(n *onnxNode, in []*onnxValue) (*onnxValue, error) {
	if err := arity(in, 2); err != nil {
		return nil, err
	}
	x, w := in[0], in[1]
	if x.constant() || !w.constant() || len(w.dims) != 2 && !(len(w.dims) == 1 && n.op == "MatMul") {
		return nil, refused("only inputs times a constant matrix are computed here")
	}
	rows, cols := int(w.dims[0]), 1
	if len(w.dims) == 2 {
		cols = int(w.dims[1])
	}
	if len(w.numbers) != rows*cols || len(w.numbers) > neural.MaxParams {
		return nil, refused("a matrix of %v, at most %d weights", w.dims, neural.MaxParams)
	}
	alpha, beta, transposed := 1.0, 1.0, false
	if n.op == "Gemm" {
		if a := n.attrs["alpha"]; a != nil {
			alpha = a.f
		}
		if a := n.attrs["beta"]; a != nil {
			beta = a.f
		}
		if a := n.attrs["transA"]; a != nil && a.i != 0 {
			return nil, refused("Gemm with transA")
		}
		a := n.attrs["transB"]
		transposed = a != nil && a.i != 0
	}
	inN, outN := rows, cols
	if transposed {
		inN, outN = cols, rows
	}
	weights := make([]float64, len(w.numbers))
	for k := range outN {
		for j := range inN {
			v := w.numbers[min(j*cols+k, len(w.numbers)-1)]
			if transposed {
				v = w.numbers[k*cols+j]
			}
			weights[k*inN+j] = alpha * v
		}
	}
	if inN != len(x.cols)+len(x.outs) {
		return nil, damaged("a matrix of %v after %d columns", w.dims, len(x.cols)+len(x.outs))
	}
	var st *stage
	if x.outs != nil {
		if st = whole(x); st == nil {
			return nil, refused("a dense layer on top of some outputs of a model")
		}
	}
	s, err := dense(st, x.cols, inN, outN, weights)
	if err != nil {
		return nil, err
	}
	if x.clip != 0 {
		s.clip = x.clip
	}
	if len(in) > 2 && in[2] != nil {
		b := in[2]
		if !b.constant() || len(b.numbers) != 1 && len(b.numbers) != outN {
			return nil, refused("a bias of %d numbers for %d units, or not constant", len(b.numbers), outN)
		}
		one, shift := slices.Repeat([]float64{1}, outN), make([]float64, outN)
		for k := range shift {
			shift[k] = beta * at(b.numbers, k)
		}
		s = s.scaled(one, shift)
	}
	return &onnxValue{outs: s.all(), elem: x.elem}, nil
}

func (e *onnxEval) linearRegressor(n *onnxNode, v *onnxValue) (*onnxValue, error) {
	if a := n.attrs["post_transform"]; a != nil && a.s != "" && a.s != "NONE" {
		return nil, refused("LinearRegressor with post_transform %.20s", a.s)
	}
	targets := int64(1)
	if a := n.attrs["targets"]; a != nil {
		targets = a.i
	}
	st, err := linearStage(n, v, int(min(max(targets, 0), ensemble.MaxOutputs+1)))
	if err != nil {
		return nil, err
	}
	return &onnxValue{outs: st.all(), elem: typeFloat}, nil
}

func linearStage(n *onnxNode, v *onnxValue, outputs int) (*stage, error) {
	w, b := floatsOf(n, "coefficients"), floatsOf(n, "intercepts")
	width := len(v.cols) + len(v.outs)
	if outputs < 1 || outputs > ensemble.MaxOutputs || width == 0 || len(w) != outputs*width || len(b) != 0 && len(b) != outputs {
		return nil, damaged("%d coefficients and %d intercepts for %d columns and %d outputs", len(w), len(b), width, outputs)
	}
	before := whole(v) // a matrix product, such as that of a PCA
	if v.outs != nil && before == nil {
		return nil, refused("a linear model on top of some outputs of another model")
	}
	st, err := dense(before, v.cols, width, outputs, slices.Clone(w))
	if err == nil && len(b) > 0 {
		st = st.scaled(slices.Repeat([]float64{1}, outputs), b)
	}
	return st, err
}

// classifier computes LinearClassifier and TreeEnsembleClassifier.
func (e *onnxEval) classifier(n *onnxNode, in []*onnxValue) (*onnxValue, error) {
	if err := arity(in, 1); err != nil {
		return nil, err
	}
	v := in[0]
	if v.cols == nil && (n.op != "LinearClassifier" || v.outs == nil) {
		return nil, refused("a classifier on top of another model or of a matrix product (a PCA, for instance): train it on the inputs")
	}
	names := classNames(n, "classlabels_strings", "classlabels_int64s")
	if n.op == "LinearClassifier" {
		names = classNames(n, "classlabels_strings", "classlabels_ints")
	}
	if len(names) < 2 || len(names) > ensemble.MaxOutputs {
		return nil, refused("a classifier with %d classes, must be 2 to %d", len(names), ensemble.MaxOutputs)
	}
	post := "NONE"
	if a := n.attrs["post_transform"]; a != nil && a.s != "" {
		post = a.s
	}
	info := &classInfo{names: names}
	if n.op == "TreeEnsembleClassifier" {
		return e.treeClassifier(n, v, info, post)
	}
	rows := len(names)
	if w := floatsOf(n, "coefficients"); len(names) == 2 && len(w) == len(v.cols)+len(v.outs) {
		rows = 1
	}
	st, err := linearStage(n, v, rows)
	if err != nil {
		return nil, err
	}
	if rows == 1 {
		if post != "LOGISTIC" {
			return nil, refused("a LinearClassifier with one row for two classes and post_transform %.20s, only LOGISTIC is computed here", post)
		}
		s := st.with(ensemble.Logistic, chain.Logistic)
		s.shares = true
		return &onnxValue{outs: []output{{st: s, rest: true}, {st: s}}, elem: typeFloat, class: info}, nil
	}
	if st, err = posted(st, post); err != nil {
		return nil, err
	}
	return &onnxValue{outs: st.all(), elem: typeFloat, class: info}, nil
}

// posted applies a post_transform.
func posted(st *stage, post string) (*stage, error) {
	switch post {
	case "NONE":
		return st, nil
	case "LOGISTIC":
		c := st.with(ensemble.Logistic, chain.Logistic)
		c.norms, c.shares = true, st.n == 1
		return c, nil
	case "SOFTMAX":
		if st.n < 2 {
			return nil, refused("post_transform SOFTMAX with one output")
		}
		c := st.with(ensemble.Softmax, chain.Softmax)
		c.norms, c.shares = true, true
		return c, nil
	}
	return nil, refused("post_transform %.20q, know NONE, LOGISTIC and SOFTMAX", post)
}

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

func textOf(n *onnxNode, key string) string {
	if a := n.attrs[key]; a != nil {
		return a.s
	}
	return ""
}

// imputer replaces missing values.
func (e *onnxEval) imputer(n *onnxNode, v *onnxValue) (*onnxValue, error) {
	values := floatsOf(n, "imputed_value_floats")
	if len(values) == 0 {
		return nil, refused("an Imputer of whole numbers: they are never missing; cast the inputs to float before training")
	}
	if a := n.attrs["replaced_value_float"]; a == nil || a.f == a.f {
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

// isNaN asks for every column whether it is missing.
func (e *onnxEval) isNaN(v *onnxValue) (*onnxValue, error) {
	if v.cols == nil {
		return nil, refused("it asks whether a model's outputs are missing")
	}
	out := &onnxValue{elem: typeBool}
	for _, c := range v.cols {
		switch {
		case (c.kind == colValue || c.kind == colOneHot) && c.impute == nil:
			out.cols = append(out.cols, column{kind: colIsNaN, input: c.input})
		case c.kind == colUnknown:
			out.cols = append(out.cols, c)
		case c.kind == colText || c.kind == colNormed || c.zero:
			return nil, refused("it asks whether text or a normalised row is missing")
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
		case x != x:
			out.cols = append(out.cols, column{kind: colConst}) // nothing equals NaN
		case col.kind != colValue || col.zero || col.center != 0 || col.scale != 1 || col.impute != nil || math.IsInf(x, 0):
			return nil, refused("only inputs as they are can be compared with finite numbers")
		default:
			out.cols = append(out.cols, column{kind: colEqual, input: col.input, category: x, scale: 1})
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
	if cond.kind == colTiny && yes.kind == colConst && yes.value != yes.value && *cond.of == no {
		no.zero = true
		return no, nil
	}
	if cond.kind != colIsNaN || no.input != cond.input || no.kind != colValue && no.kind != colOneHot {
		return column{kind: colUnknown}, nil // an error if a model takes it
	}
	// The input is missing: yes gives NaN, or a number that then stands for it.
	missing := yes.kind == colConst && yes.value != yes.value || (yes.kind == colValue || yes.kind == colOneHot) && yes.input == cond.input && yes.impute == nil
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

// oneHot turns every column into one column per category.
func (e *onnxEval) oneHot(n *onnxNode, v *onnxValue) (*onnxValue, error) {
	out := &onnxValue{elem: typeFloat}
	for _, c := range v.cols {
		var codes []float64
		switch {
		case c.kind == colText:
			a := n.attrs["cats_strings"]
			if a == nil || len(a.strings) == 0 {
				return nil, damaged("text without cats_strings")
			}
			var err error
			if codes, err = e.codes(c.input, a.strings); err != nil {
				return nil, err
			}
		case c.kind == colValue && !c.zero && c.center == 0 && c.scale == 1:
			a := n.attrs["cats_int64s"]
			if a == nil || len(a.ints) == 0 {
				return nil, damaged("numbers without cats_int64s")
			}
			for _, x := range a.ints {
				codes = append(codes, float64(x))
			}
		default:
			return nil, refused("categories of a column that was scaled before")
		}
		if len(out.cols)+len(codes) > maxFeatures*64 {
			return nil, refused("more than %d columns", maxFeatures*64)
		}
		for _, x := range codes {
			zero := 0.0
			if c.impute != nil && *c.impute == x {
				zero = 1
			}
			out.cols = append(out.cols, column{kind: colOneHot, input: c.input, category: x, impute: &zero, scale: 1})
		}
	}
	return out, nil
}

// codes returns the positions of names among an input's categories, to which it adds those that are new.
func (e *onnxEval) codes(input int, names []string) ([]float64, error) {
	in := &e.m.Inputs[input]
	known := map[string]int{}
	for i, s := range in.Categories {
		known[s] = i
	}
	codes := make([]float64, len(names))
	for i, s := range names {
		k, ok := known[s]
		if !ok {
			if k = len(in.Categories); k >= maxCodes {
				return nil, refused("input %q has more than %d categories", in.Name, maxCodes)
			}
			known[s] = k
			in.Categories = append(in.Categories, s)
		}
		codes[i] = float64(k)
	}
	return codes, nil
}

// labelEncoder turns text into whole numbers from 0 on: the input's codes are ordered so that they are these numbers.
func (e *onnxEval) labelEncoder(n *onnxNode, v *onnxValue) (*onnxValue, error) {
	keys := n.attrs["keys_strings"]
	if keys == nil || len(keys.strings) == 0 || len(keys.strings) > maxCodes {
		return nil, refused("a LabelEncoder of other things than text (keys_strings), or of more than %d", maxCodes)
	}
	values, missing, elem := floatsOf(n, "values_floats"), math.NaN(), int64(typeFloat)
	if a := n.attrs["default_float"]; a != nil {
		missing = a.f
	}
	if a := n.attrs["values_int64s"]; a != nil {
		values, missing, elem = nil, -1, typeInt64
		for _, x := range a.ints {
			values = append(values, float64(x))
		}
		if d := n.attrs["default_int64"]; d != nil {
			missing = float64(d.i)
		}
	}
	if len(values) != len(keys.strings) {
		return nil, refused("a LabelEncoder with %d keys and %d numbers (values_int64s or values_floats)", len(keys.strings), len(values))
	}
	names := make([]string, len(values))
	taken := make([]bool, len(values))
	for i, x := range values {
		if !(x >= 0 && x < float64(len(values))) || x != math.Trunc(x) || taken[int(x)] {
			return nil, refused("a LabelEncoder that gives %.60q the number %v: numbers must be 0 to %d, each once", keys.strings[i], x, len(values)-1)
		}
		taken[int(x)] = true
		names[int(x)] = keys.strings[i]
	}
	out := &onnxValue{elem: elem}
	for _, c := range v.cols {
		if c.kind != colText {
			return nil, refused("a LabelEncoder on a column that is not text")
		}
		if in := &e.m.Inputs[c.input]; len(in.Categories) == 0 {
			in.Categories = names
		} else if !slices.Equal(in.Categories, names) {
			return nil, refused("input %q is encoded twice in different ways", in.Name)
		}
		k := column{kind: colValue, input: c.input, scale: 1}
		if missing == missing {
			m := missing
			k.impute = &m
		}
		out.cols = append(out.cols, k)
	}
	return out, nil
}
