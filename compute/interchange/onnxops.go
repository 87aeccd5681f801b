package interchange

import (
	"slices"

	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
)

// apply computes one node on symbols. It returns the node's outputs in order; nil stands for
// labels, which nothing here uses.
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
		if a := n.attrs["axis"]; a != nil && a.i != 1 && a.i != -1 {
			return nil, refused("Concat over axis %d, must be 1 or -1", a.i)
		}
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

func textOf(n *onnxNode, key string) string {
	if a := n.attrs[key]; a != nil {
		return a.s
	}
	return ""
}
