package interchange

import (
	"slices"

	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/neural"
)

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
