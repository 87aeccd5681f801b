package interchange

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
)

// maxOnnxColumns bounds the columns that all nodes of a graph make together.
const maxOnnxColumns = 1 << 18

// columnKind is what a column of a tensor is before any model has seen it.
type columnKind uint8

const (
	colValue   columnKind = iota // (input − center) · scale, after imputing
	colMissing                   // 1 where the input is missing, likewise centred and scaled
	colOneHot                    // 1 where the input is category, likewise
	colConst                     // the same number in every row: value
	colIsNaN                     // a truth value: the input is missing
	colEqual                     // a truth value: the input is category
	colText                      // the input's text
	colTiny                      // a truth value: |of| is at most LightGBM's zero
	colUnknown                   // nothing that is known: refused if a model takes it
	// part at of a row that was normalised, likewise centred and scaled
	colNormed
)

// column is one column of a tensor as a function of the graph's inputs.
type column struct {
	kind          columnKind
	input         int
	category      float64
	value         float64
	impute        *float64
	center, scale float64
	group         *normGroup
	at            int
	zero          bool    // zero counts as missing
	of            *column // of colTiny
}

// normGroup is a row that a Normalizer divided by its norm.
type normGroup struct {
	op   chain.Op
	cols []column
}

// output is one output of a model, or 1 minus it.
type output struct {
	st    *stage
	index int
	rest  bool // 1 − output
	sum   bool // the sum of all outputs of the stage; index is unused
}

// onnxValue is what a name of the graph stands for: a constant, columns or outputs of a model.
type onnxValue struct {
	dims    []int64
	numbers []float64
	strings []string
	cols    []column
	outs    []output
	elem    int64
	class   *classInfo // set on scores that come from a classifier
	// "abs", "square", "1+square" or "root" of another value: parts of formulas that are known as
	// a whole
	fn   string
	of   *onnxValue
	clip float64 // cols are bounded: v/√(1+(v/clip)²)
}

// constant reports whether the value is a tensor of numbers or strings.
func (v *onnxValue) constant() bool { return v.cols == nil && v.outs == nil && v.of == nil }

// classInfo is what a classifier declares about its classes.
type classInfo struct{ names []string }

// onnxEval computes a graph on symbols.
type onnxEval struct {
	m       *Model
	file    *onnxModel
	vals    map[string]*onnxValue
	columns int
	cut     bool // numbers were cut to whole ones
}

// ImportONNX reads an ONNX model: a pipeline of preparing operators, then a tree ensemble, a
// linear model or a network of dense layers.
func ImportONNX(b []byte, o Options) (*Model, error) {
	if len(b) > MaxBytes {
		return nil, fmt.Errorf("import onnx: %w", damaged("%d bytes, at most %d", len(b), MaxBytes))
	}
	m, err := importONNX(b, o)
	if err == nil {
		m, err = m.finish(b, o)
	}
	if err != nil {
		return nil, fmt.Errorf("import onnx: %w", err)
	}
	return m, nil
}

func importONNX(b []byte, o Options) (*Model, error) {
	f, err := readONNX(b)
	if err != nil {
		return nil, err
	}
	e := &onnxEval{
		file: f,
		vals: map[string]*onnxValue{},
		m:    &Model{Format: ONNX, Producer: strings.TrimSpace(f.producer + " " + f.version)},
	}
	if err := e.inputs(); err != nil {
		return nil, err
	}
	name, err := e.pick(o.Output)
	if err != nil {
		return nil, err
	}
	v, err := e.run(name)
	if err != nil {
		return nil, err
	}
	if v.outs == nil {
		return nil, refused("output %.60q does not come from a model: the graph only prepares inputs", name)
	}
	if err := e.build(v); err != nil {
		return nil, err
	}
	if e.cut {
		e.m.Notes = append(e.m.Notes, "the graph cuts some inputs to whole numbers; here they are taken as they are, so give whole numbers")
	}
	return e.m, nil
}

// inputs makes the columns of the graph's inputs.
func (e *onnxEval) inputs() error {
	g := e.file.graph
	names := e.file.meta["skerry.inputs"]
	for _, in := range g.inputs {
		if g.consts[in.name] != nil {
			continue // older files list initializers as inputs
		}
		width := int64(1)
		switch {
		case in.rank && len(in.dims) == 2:
			width = in.dims[1]
		case in.rank && len(in.dims) == 1:
		case in.rank:
			return refused("input %.60q has %d dimensions, must have 2 (rows and columns): images and sequences are not read", in.name, len(in.dims))
		default:
			width = -1
		}
		if width < 1 {
			if width = e.widthOf(in.name); width < 1 {
				return refused("input %.60q does not say how many columns it has: export the model with a fixed number, [None, n]", in.name)
			}
		}
		if int64(len(e.m.Inputs))+width > maxFeatures {
			return refused("more than %d inputs, the limit of a pipeline", maxFeatures)
		}
		switch in.elem {
		case typeFloat, typeDouble, typeInt32, typeInt64, typeBool, typeString:
		default:
			return refused("input %.60q has elements of type %d, know float, double, int32, int64, bool and string", in.name, in.elem)
		}
		v := &onnxValue{elem: in.elem}
		for i := range width {
			c := column{kind: colValue, input: len(e.m.Inputs), scale: 1}
			if in.elem == typeString {
				c.kind = colText
			}
			v.cols = append(v.cols, c)
			name := in.name
			if width > 1 {
				name = fmt.Sprintf("%s_%d", in.name, i)
			}
			e.m.Inputs = append(e.m.Inputs, Input{Name: name})
		}
		e.columns += len(v.cols)
		e.vals[in.name] = v
	}
	if len(e.m.Inputs) == 0 {
		return damaged("the graph has no inputs")
	}
	if list, ok := splitNames(names); ok && len(list) == len(e.m.Inputs) {
		for i, n := range list {
			e.m.Inputs[i].Name = n
		}
	}
	return nil
}

// widthOf finds the columns of an input whose shape does not define it: from the first operator
// that takes it and defines it.
func (e *onnxEval) widthOf(name string) int64 {
	for _, n := range e.file.graph.nodes {
		if !slices.Contains(n.in, name) {
			continue
		}
		switch n.op {
		case "Cast", "Identity":
			if len(n.out) > 0 && n.out[0] != name {
				return 0
			}
		case "Scaler":
			if a := n.attrs["scale"]; a != nil && len(a.floats) > 1 {
				return int64(len(a.floats))
			}
		case "MatMul", "Gemm":
			if len(n.in) > 1 && n.in[0] == name {
				if t := e.file.graph.consts[n.in[1]]; t != nil && len(t.dims) == 2 {
					if a := n.attrs["transB"]; a != nil && a.i == 1 {
						return t.dims[1]
					}
					return t.dims[0]
				}
			}
		case "TreeEnsembleRegressor", "TreeEnsembleClassifier", "TreeEnsemble":
			top := int64(-1)
			key := "nodes_featureids"
			if a := n.attrs[key]; a != nil {
				for _, f := range a.ints {
					top = max(top, f)
				}
			}
			if top >= 0 && top < maxFeatures {
				e.m.Notes = append(e.m.Notes, fmt.Sprintf("the file does not say how many inputs there are: %d, as far as the trees look", top+1))
			}
			return top + 1
		}
	}
	return 0
}

// pick chooses the output that holds the scores.
func (e *onnxEval) pick(want string) (string, error) {
	var names, scores []string
	for _, o := range e.file.graph.outputs {
		names = append(names, o.name)
		if o.name == want {
			return want, nil
		}
		if o.elem != typeInt64 && o.elem != typeString && o.elem != typeInt32 && o.elem != typeBool {
			scores = append(scores, o.name)
		}
	}
	if want != "" {
		return "", refused("the graph has no output %q, only %.200q", want, names)
	}
	if own := e.file.meta["skerry.output"]; slices.Contains(scores, own) {
		return own, nil
	}
	if len(scores) > 1 {
		scores = slices.DeleteFunc(scores, func(s string) bool { return !strings.Contains(strings.ToLower(s), "prob") })
	}
	if len(scores) != 1 {
		return "", refused("the graph's outputs are %.200q and none or several of them hold scores: name the one to take (a label alone is not enough)", names)
	}
	return scores[0], nil
}

// run computes the nodes that the output needs, in the order of the file, which is that of ONNX:
// producers first.
func (e *onnxEval) run(output string) (*onnxValue, error) {
	g := e.file.graph
	producer := make(map[string]int, len(g.nodes))
	for i, n := range g.nodes {
		for _, o := range n.out {
			if _, twice := producer[o]; twice && o != "" {
				return nil, damaged("two nodes make %.60q", o)
			}
			producer[o] = i
		}
	}
	need, queue := make([]bool, len(g.nodes)), []string{output}
	for len(queue) > 0 {
		name := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		i, ok := producer[name]
		if !ok || need[i] || name == "" {
			continue
		}
		need[i] = true
		queue = append(queue, g.nodes[i].in...)
	}
	for i, n := range g.nodes {
		if !need[i] {
			continue
		}
		in := make([]*onnxValue, len(n.in))
		for k, name := range n.in {
			if name == "" {
				continue // an input that is left out
			}
			v, err := e.value(name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", n.label(), err)
			}
			in[k] = v
		}
		out, err := e.apply(n, in)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.label(), err)
		}
		if len(out) < len(n.out) && n.op != "TreeEnsembleClassifier" && n.op != "LinearClassifier" {
			return nil, refused("%s: its output %d is not computed here", n.label(), len(out))
		}
		for k, v := range out {
			if v == nil || k >= len(n.out) || n.out[k] == "" {
				continue
			}
			if e.columns += len(v.cols) + len(v.outs); e.columns > maxOnnxColumns || len(v.cols) > feature.MaxColumns {
				return nil, refused("%s: its columns are %d, a pipeline has at most %d, and %d in all steps", n.label(), len(v.cols), feature.MaxColumns, maxOnnxColumns)
			}
			e.vals[n.out[k]] = v
		}
	}
	return e.value(output)
}

// value finds what a name stands for.
func (e *onnxEval) value(name string) (*onnxValue, error) {
	if v := e.vals[name]; v != nil {
		return v, nil
	}
	t := e.file.graph.consts[name]
	if t == nil {
		return nil, damaged("%.60q is made by no node before this one: the file is damaged or its nodes are out of order", name)
	}
	v, err := constantOf(t)
	if err != nil {
		return nil, err
	}
	e.vals[name] = v
	return v, nil
}

func constantOf(t *onnxTensor) (*onnxValue, error) {
	v := &onnxValue{dims: t.dims, elem: t.elem}
	var err error
	if t.elem == typeString {
		v.strings = t.strings
		return v, nil
	}
	v.numbers, err = t.numbers()
	return v, err
}

// classes finds the names of the classes for scores that do not bring them: from the operator
// that turns the best score's index into a label.
func (e *onnxEval) classes(n int) []string {
	for _, node := range e.file.graph.nodes {
		var names []string
		switch node.op {
		case "ZipMap":
			names = classNames(node, "classlabels_strings", "classlabels_int64s")
		case "ArrayFeatureExtractor", "Gather":
			if len(node.in) > 0 {
				if t := e.file.graph.consts[node.in[0]]; t != nil {
					if v, err := constantOf(t); err == nil && max(len(v.strings), len(v.numbers)) == n {
						names = append(names, v.strings...)
						for _, x := range v.numbers {
							names = append(names, strconv.FormatFloat(x, 'f', -1, 64))
						}
					}
				}
			}
		}
		if len(names) == n {
			return names
		}
	}
	return nil
}

func classNames(n *onnxNode, text, numbers string) []string {
	if a := n.attrs[text]; a != nil && len(a.strings) > 0 {
		return a.strings
	}
	var names []string
	if a := n.attrs[numbers]; a != nil && len(a.ints) <= ensemble.MaxOutputs {
		for _, v := range a.ints {
			names = append(names, fmt.Sprint(v))
		}
	}
	return names
}

// build makes pipeline and predictor of the chosen output.
func (e *onnxEval) build(v *onnxValue) error {
	m, outs := e.m, v.outs
	labelled := len(outs) > 1 && v.class != nil
	for _, o := range e.file.graph.outputs {
		labelled = labelled || (o.elem == typeInt64 || o.elem == typeString) && len(e.file.graph.outputs) > 1
	}
	m.Kind = artifact.KindRegression
	if labelled && (len(outs) > 1) {
		m.Kind = artifact.KindClassification
		m.Classes = numbered(len(outs))
		if names := e.classes(len(outs)); names != nil {
			m.Classes = names
		}
		if v.class != nil && len(v.class.names) == len(outs) {
			m.Classes = v.class.names
		}
	}
	pair := len(outs) == 2 && outs[0].rest && !outs[1].rest && outs[0].st == outs[1].st && outs[0].index == outs[1].index
	if pair {
		outs = outs[1:]
	}
	st, err := gather(outs)
	if err != nil {
		return err
	}
	if m.Predictor, err = st.predictor(e); err != nil {
		return err
	}
	if st.trees != nil && st.trees.round32 && slices.ContainsFunc(m.Pipeline.Columns, func(c feature.Column) bool { return c.Center != 0 || c.Scale != 0 }) {
		m.Notes = append(m.Notes, "inputs are scaled before trees: scaled values are rounded to float32 once here and at every step in a runtime, so a value within that rounding of a threshold may fall on its other side")
	}
	if pair && m.Kind == artifact.KindRegression {
		m.Kind, m.Classes = artifact.KindClassification, numbered(2)
	}
	if list, ok := splitNames(e.file.meta["skerry.classes"]); ok && m.Kind == artifact.KindClassification && len(list) == len(m.Classes) {
		m.Classes = list
	}
	p := probesOf(m.Predictor, m.Pipeline.Width())
	m.probes = make([][]float64, len(m.Inputs))
	for c, col := range m.Pipeline.Columns {
		if c < len(p) && col.Op == feature.OpValue && m.probes[col.Series] == nil {
			for _, x := range p[c] {
				if col.Scale != 0 {
					x *= col.Scale
				}
				m.probes[col.Series] = append(m.probes[col.Series], x+col.Center)
			}
		}
	}
	if m.Kind == artifact.KindClassification && !st.shares {
		return e.probable(st)
	}
	return nil
}

// probable makes probabilities of a classifier's decision values, as those of a support vector
// machine or of boosting without its link: by a softmax over the classes, or the logistic function
// of a single score. The classes keep their order.
func (e *onnxEval) probable(st *stage) error {
	m := e.m
	if are, err := m.probabilities(st.norms); are || err != nil {
		return err
	}
	post, name := "SOFTMAX", "a softmax"
	if st.n == 1 {
		post, name = "LOGISTIC", "the logistic function"
	}
	m.Notes = append(m.Notes, "the file gives decision values for the classes, no probabilities: "+name+" of them is given as probabilities, which orders the classes as the file does and is not calibrated")
	st, err := posted(st, post)
	if err != nil {
		return err
	}
	m.Predictor, err = st.predictor(e)
	return err
}

// probabilities reports whether the outputs lie between 0 and 1, and add up to 1 unless each is one
// of its own, on the rows of the self-test.
func (m *Model) probabilities(apart bool) (bool, error) {
	const slack = 1e-3 // files have probabilities of leaves as float32
	eval, err := feature.NewEvaluator(m.Pipeline)
	if err != nil {
		return false, err
	}
	times, rows := m.vectorRows()
	h := feature.NewHistory(len(m.Inputs), max(m.Pipeline.Rows, 1))
	x, out := make([]float64, m.Pipeline.Width()), make([]float64, m.Predictor.Outputs())
	for r, t := range times {
		h.Push(t, rows[r*len(m.Inputs):(r+1)*len(m.Inputs)])
		if err := eval.Into(x, h); err != nil {
			return false, err
		}
		if m.Predictor.PredictInto(out, x) != nil {
			continue // the model cannot handle missing inputs
		}
		sum := 0.0
		for _, p := range out {
			if p < -slack || p > 1+slack {
				return false, nil
			}
			sum += p
		}
		if !apart && len(out) > 1 && math.Abs(sum-1) > slack {
			return false, nil
		}
	}
	return true, nil
}

// layout turns columns into the pipeline and into steps before the model for rows that were
// normalised.
func (e *onnxEval) layout(cols []column) ([]chain.Stage, error) {
	p := &feature.Pipeline{Rows: 1}
	for _, in := range e.m.Inputs {
		p.Inputs = append(p.Inputs, feature.Input{Name: in.Name, Categories: in.Categories})
	}
	var before []chain.Stage
	for i := 0; i < len(cols); {
		c := cols[i]
		if c.kind != colNormed {
			fc, err := e.featureColumn(c, len(p.Columns))
			if err != nil {
				return nil, err
			}
			p.Columns = append(p.Columns, fc)
			i++
			continue
		}
		from := len(p.Columns)
		affine, plain := make([]float64, 0, 2*len(c.group.cols)), true
		for at, in := range c.group.cols {
			if i+at >= len(cols) || cols[i+at].kind != colNormed || cols[i+at].group != c.group || cols[i+at].at != at {
				return nil, refused("a normalised row is taken apart or put in another order after the Normalizer: train without that step")
			}
			fc, err := e.featureColumn(in, len(p.Columns))
			if err != nil {
				return nil, err
			}
			p.Columns = append(p.Columns, fc)
			k := cols[i+at]
			affine, plain = append(affine, k.center, k.scale), plain && k.center == 0 && k.scale == 1
		}
		before = append(before, chain.Stage{Op: c.group.op, From: from, To: len(p.Columns)})
		if !plain {
			before = append(before, chain.Stage{
				Op:     chain.Affine,
				From:   from,
				To:     len(p.Columns),
				Values: affine,
			})
		}
		i += len(c.group.cols)
	}
	e.m.Pipeline = p
	var zero []chain.Stage
	for i, c := range cols {
		if c.kind == colNormed {
			c = c.group.cols[c.at]
		}
		switch last := len(zero) - 1; {
		case !c.zero:
		case last >= 0 && zero[last].To == i:
			zero[last].To++
		default:
			zero = append(zero, chain.Stage{Op: chain.ZeroMissing, From: i, To: i + 1})
		}
	}
	return append(zero, before...), nil
}

// featureColumn turns one column into a step of the pipeline.
func (e *onnxEval) featureColumn(c column, at int) (feature.Column, error) {
	name := e.m.Inputs[min(c.input, len(e.m.Inputs)-1)].Name
	f := feature.Column{Name: name, Op: feature.OpValue, Series: c.input, Impute: c.impute, Center: c.center}
	switch c.kind {
	case colMissing:
		f.Op, f.Name = feature.OpMissing, name+"_missing"
	case colOneHot:
		f.Op, f.Category, f.Name = feature.OpOneHot, c.category, fmt.Sprintf("%s_%v", name, c.category)
		if in := e.m.Inputs[c.input].Categories; c.category >= 0 && c.category < float64(len(in)) {
			f.Name = name + "_" + in[int(c.category)]
		}
	case colConst: // a category that never occurs: 0, then shifted
		zero := 0.0
		return feature.Column{
			Name:     fmt.Sprintf("constant_%d", at),
			Op:       feature.OpOneHot,
			Category: -math.MaxFloat64,
			Impute:   &zero,
			Center:   -c.value,
		}, nil
	case colText:
		return f, refused("input %q is text that no OneHotEncoder or LabelEncoder turns into numbers", name)
	case colUnknown:
		return f, refused("a column that a Where chooses in a way that is not known: only a constant, a missing value of the same input, or zero as missing can choose")
	case colIsNaN, colEqual, colTiny:
		return f, refused("a truth value goes into the model without a Cast to a number")
	}
	if c.scale == 0 {
		return e.featureColumn(column{kind: colConst, value: 0}, at)
	}
	if c.scale != 1 {
		f.Scale = 1 / c.scale
	}
	for _, v := range []float64{f.Center, f.Scale} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return f, damaged("column %q is centred by %v and scaled by %v: not finite", name, c.center, c.scale)
		}
	}
	return f, nil
}

// splitNames reads names that were joined by newlines.
func splitNames(s string) ([]string, bool) {
	if s == "" || len(s) > 1<<20 {
		return nil, false
	}
	return strings.Split(s, "\n"), true
}
