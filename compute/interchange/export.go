package interchange

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
	"skerry.dev/compute/neural"
)

// ExportONNX writes an artifact's pipeline and models as one ONNX graph with a float input of one
// row per prediction: "input", the raw inputs, when the pipeline looks at the newest row alone;
// "features", the pipeline's columns, when it looks back, at the clock or calls a module. A
// regression or forecast gives "prediction" (and "lower" and "upper" where there are such
// models), a classification "label" and "probabilities". Numbers are computed in double
// precision, so that a comparison falls as it does here for every input that is a float32. It
// needs opset 17 and ai.onnx.ml 3; models with sets of categories or exponential outputs
// ai.onnx.ml 5, networks with GELU opset 20.
func ExportONNX(a *artifact.Artifact) ([]byte, error) {
	if err := a.Check(); err != nil {
		return nil, fmt.Errorf("export onnx: %w", err)
	}
	w := &onnxWriter{opset: 17, ml: 3}
	if err := w.artifact(a); err != nil {
		return nil, fmt.Errorf("export onnx: %w", err)
	}
	return w.model(a), nil
}

// onnxWriter collects the parts of a graph.
type onnxWriter struct {
	nodes, consts, ins, outs []byte
	count                    int
	opset, ml                uint64
	columns                  bool // the input is the pipeline's columns
}

// The pieces of messages.

func text(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func blob(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func number(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

// An attr is one encoded attribute.
type attr []byte

func attrInt(name string, v int64) attr {
	return number(number(text(nil, 1, name), 3, uint64(v)), 20, 2)
}

func attrText(name, v string) attr { return number(text(text(nil, 1, name), 4, v), 20, 3) }

func attrFloat(name string, v float32) attr {
	b := protowire.AppendTag(text(nil, 1, name), 2, protowire.Fixed32Type)
	return number(protowire.AppendFixed32(b, math.Float32bits(v)), 20, 1)
}

func attrInts(name string, v []int64) attr {
	var packed []byte
	for _, x := range v {
		packed = protowire.AppendVarint(packed, uint64(x))
	}
	return number(blob(text(nil, 1, name), 8, packed), 20, 7)
}

func attrStrings(name string, v []string) attr {
	b := text(nil, 1, name)
	for _, s := range v {
		b = text(b, 9, s)
	}
	return number(b, 20, 8)
}

func attrTensor(name string, t []byte) attr { return number(blob(text(nil, 1, name), 5, t), 20, 4) }

// tensorBytes encodes a tensor of doubles, or of bytes or whole numbers for other element types.
func tensorBytes(name string, elem uint64, dims []int, v []float64) []byte {
	var b, raw []byte
	for _, d := range dims {
		b = number(b, 1, uint64(d))
	}
	b = number(b, 2, elem)
	for _, x := range v {
		switch elem {
		case typeDouble:
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(x))
		case typeFloat:
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(x)))
		case typeInt64:
			raw = binary.LittleEndian.AppendUint64(raw, uint64(int64(x)))
		default: // bool and uint8
			raw = append(raw, byte(x))
		}
	}
	if name != "" {
		b = text(b, 8, name)
	}
	return blob(b, 9, raw)
}

func (w *onnxWriter) name(kind string) string {
	w.count++
	return fmt.Sprintf("%s_%d", kind, w.count)
}

// constant adds an initializer and returns its name.
func (w *onnxWriter) constant(elem uint64, dims []int, v []float64) string {
	name := w.name("c")
	w.consts = blob(w.consts, 5, tensorBytes(name, elem, dims, v))
	return name
}

// row adds an initializer of one row of doubles.
func (w *onnxWriter) row(v []float64) string {
	return w.constant(typeDouble, []int{1, len(v)}, v)
}

// node adds a node of the core domain and returns its output.
func (w *onnxWriter) node(op string, in []string, attrs ...attr) string {
	out := w.name(strings.ToLower(op))
	w.write("", op, in, []string{out}, attrs)
	return out
}

func (w *onnxWriter) write(domain, op string, in, out []string, attrs []attr) {
	var b []byte
	for _, s := range in {
		b = text(b, 1, s)
	}
	for _, s := range out {
		b = text(b, 2, s)
	}
	b = text(text(b, 3, out[0]+"_node"), 4, op)
	for _, a := range attrs {
		b = blob(b, 5, a)
	}
	if domain != "" {
		b = text(b, 7, domain)
	}
	w.nodes = blob(w.nodes, 1, b)
}

func (w *onnxWriter) cast(v string, elem int64) string {
	return w.node("Cast", []string{v}, attrInt("to", elem))
}

// info encodes a name with its type; the first dimension is the number of rows.
func info(name string, elem uint64, width int) []byte {
	dim := blob(nil, 1, text(nil, 2, "N"))
	if width > 0 {
		dim = blob(dim, 1, number(nil, 1, uint64(width)))
	}
	tensor := blob(number(nil, 1, elem), 2, dim)
	return blob(text(nil, 1, name), 2, blob(nil, 1, tensor))
}

// model encodes the whole file.
func (w *onnxWriter) model(a *artifact.Artifact) []byte {
	graph := append([]byte(nil), w.nodes...)
	graph = text(graph, 2, "skerry")
	graph = append(graph, w.consts...)
	graph = append(append(graph, w.ins...), w.outs...)
	ir := uint64(8)
	if w.opset > 17 {
		ir = 9
	}
	b := number(nil, 1, ir)
	b = text(text(b, 2, "skerry"), 3, "1")
	b = blob(b, 7, graph)
	b = blob(b, 8, number(text(nil, 1, ""), 2, w.opset))
	b = blob(b, 8, number(text(nil, 1, "ai.onnx.ml"), 2, w.ml))
	meta := func(key, value string) { b = blob(b, 14, text(text(nil, 1, key), 2, value)) }
	var names []string
	for _, in := range a.Pipeline.Inputs {
		names = append(names, in.Name)
	}
	takes := "inputs"
	if w.columns {
		names, takes = a.Pipeline.Names(), "columns: the graph takes the columns that the pipeline computes"
	}
	meta("skerry.features", takes)
	meta("skerry.inputs", strings.Join(names, "\n"))
	meta("skerry.task", a.Manifest.Task)
	meta("skerry.kind", a.Manifest.Kind)
	meta("skerry.learner", a.Manifest.Learner)
	if len(a.Manifest.Output.Classes) > 0 {
		meta("skerry.classes", strings.Join(a.Manifest.Output.Classes, "\n"))
		meta("skerry.output", "probabilities")
	} else {
		meta("skerry.output", "prediction")
	}
	return b
}

func (w *onnxWriter) artifact(a *artifact.Artifact) error {
	cols, err := w.pipeline(a.Pipeline)
	if err != nil {
		return err
	}
	for _, role := range []artifact.Role{artifact.Point, artifact.Lower, artifact.Upper} {
		p := a.Models[role]
		if p == nil {
			continue
		}
		out, err := w.predictor(cols, p)
		if err != nil {
			return fmt.Errorf("the %s model: %w", role, err)
		}
		name := string(role)
		if role == artifact.Point {
			name = "prediction"
		}
		if a.Manifest.Kind == artifact.KindClassification {
			w.classes(out, p.Outputs(), a.Manifest.Output.Classes)
			continue
		}
		w.write("", "Cast", []string{out}, []string{name}, []attr{attrInt("to", typeFloat)})
		w.outs = blob(w.outs, 12, info(name, typeFloat, p.Outputs()))
	}
	return nil
}

// classes makes probabilities and labels.
func (w *onnxWriter) classes(out string, n int, names []string) {
	if n == 1 {
		one := w.constant(typeDouble, nil, []float64{1})
		out = w.node("Concat", []string{w.node("Sub", []string{one, out}), out}, attrInt("axis", 1))
	}
	w.write("", "Cast", []string{out}, []string{"probabilities"}, []attr{attrInt("to", typeFloat)})
	best := w.node("ArgMax", []string{"probabilities"}, attrInt("axis", 1), attrInt("keepdims", 0))
	b := number(number(nil, 1, uint64(len(names))), 2, typeString)
	for _, s := range names {
		b = text(b, 6, s)
	}
	w.consts = blob(w.consts, 5, text(b, 8, "classes"))
	w.write("", "Gather", []string{"classes", best}, []string{"label"}, []attr{attrInt("axis", 0)})
	w.outs = blob(w.outs, 12, info("label", typeString, 0))
	w.outs = blob(w.outs, 12, info("probabilities", typeFloat, len(names)))
}

// pipeline computes the columns and returns the name of the tensor of doubles that holds them.
func (w *onnxWriter) pipeline(p *feature.Pipeline) (string, error) {
	width, plain := p.Width(), true
	for i := range p.Columns {
		switch p.Columns[i].Op {
		case feature.OpValue, feature.OpMissing, feature.OpOneHot:
		default:
			plain, w.columns = false, w.columns || !rowOnly(p.Columns[i])
		}
	}
	if w.columns {
		w.ins = blob(w.ins, 11, info("features", typeFloat, width))
		return w.cast("features", typeDouble), nil
	}
	w.ins = blob(w.ins, 11, info("input", typeFloat, len(p.Inputs)))
	v := w.cast("input", typeDouble)
	if !plain {
		return w.columnByColumn(p, v), nil
	}
	series, same := make([]float64, width), width == len(p.Inputs)
	category, isHot, isMissing := make([]float64, width), make([]float64, width), make([]float64, width)
	fill, center, scale := make([]float64, width), make([]float64, width), make([]float64, width)
	var hot, missing, imputes, centres, scales bool
	for i := range p.Columns {
		c := &p.Columns[i]
		series[i], same = float64(c.Series), same && c.Series == i
		category[i], fill[i], center[i], scale[i] = math.NaN(), math.NaN(), c.Center, 1
		switch c.Op {
		case feature.OpOneHot:
			hot, isHot[i], category[i] = true, 1, c.Category
		case feature.OpMissing:
			missing, isMissing[i] = true, 1
		}
		if c.Impute != nil {
			imputes, fill[i] = true, *c.Impute
		}
		if c.Scale != 0 {
			scale[i] = c.Scale
		}
		centres, scales = centres || c.Center != 0, scales || scale[i] != 1
	}
	if !same {
		v = w.node("Gather", []string{v, w.constant(typeInt64, []int{width}, series)}, attrInt("axis", 1))
	}
	raw := v
	if hot {
		is := w.cast(w.node("Equal", []string{raw, w.row(category)}), typeDouble)
		is = w.node("Where", []string{w.node("IsNaN", []string{raw}), raw, is})
		v = w.node("Where", []string{w.constant(typeBool, []int{1, width}, isHot), is, v})
	}
	if missing {
		is := w.cast(w.node("IsNaN", []string{raw}), typeDouble)
		v = w.node("Where", []string{w.constant(typeBool, []int{1, width}, isMissing), is, v})
	}
	if imputes {
		v = w.node("Where", []string{w.node("IsNaN", []string{v}), w.row(fill), v})
	}
	if centres {
		v = w.node("Sub", []string{v, w.row(center)})
	}
	if scales {
		v = w.node("Div", []string{v, w.row(scale)})
	}
	return v, nil
}

// predictor computes a model from a tensor of doubles and returns the tensor of its outputs,
// doubles too.
func (w *onnxWriter) predictor(x string, p artifact.Predictor) (string, error) {
	switch p := p.(type) {
	case *ensemble.Ensemble:
		return w.trees(x, p, nil), nil
	case *linear.Model:
		return w.linear(x, p), nil
	case *neural.Network:
		return w.network(x, p)
	case *chain.Model:
		return w.chain(x, p)
	case *artifact.Constant:
		trees := make([]ensemble.Tree, len(p.Values))
		for k, v := range p.Values {
			trees[k] = ensemble.Tree{{Value: v}}
		}
		e, err := ensemble.New(p.N, ensemble.Identity, make([]float64, len(p.Values)), false, trees)
		if err != nil {
			return "", err
		}
		return w.trees(x, e, nil), nil
	}
	return "", refused("a %T has no form in ONNX yet", p)
}

// link applies a link to sums.
func (w *onnxWriter) link(s string, l ensemble.Link) string {
	switch l {
	case ensemble.Logistic:
		return w.node("Sigmoid", []string{s})
	case ensemble.Exponential:
		return w.node("Exp", []string{s})
	case ensemble.Softmax:
		return w.node("Softmax", []string{s}, attrInt("axis", 1))
	}
	return s
}

func (w *onnxWriter) linear(x string, m *linear.Model) string {
	in, out := m.Inputs(), m.Outputs()
	weights, bias := make([]float64, in*out), m.Bias()
	for k := range out {
		for j, v := range m.Weights(k) {
			weights[j*out+k] = v
		}
	}
	s := w.node("MatMul", []string{x, w.constant(typeDouble, []int{in, out}, weights)})
	return w.link(w.node("Add", []string{s, w.row(bias)}), m.Link())
}

// network writes dense layers. An embedding is a dense layer over one column per category, so it
// is multiplied into the first layer.
func (w *onnxWriter) network(x string, n *neural.Network) (string, error) {
	s := n.Spec()
	layers := s.Layers
	if s.Clip != 0 {
		if len(s.Embeddings) > 0 {
			x = w.clipped(x, s)
		} else {
			x = w.clip(x, slices.Repeat([]float64{s.Clip}, s.Inputs))
		}
	}
	if len(s.Embeddings) > 0 {
		var first neural.Layer
		var err error
		if x, first, err = w.embed(x, s); err != nil {
			return "", err
		}
		layers = append([]neural.Layer{first}, layers[1:]...)
	}
	for _, l := range layers {
		t := make([]float64, len(l.Weights))
		for k := range l.Out {
			for j := range l.In {
				t[j*l.Out+k] = l.Weights[k*l.In+j]
			}
		}
		x = w.node("MatMul", []string{x, w.constant(typeDouble, []int{l.In, l.Out}, t)})
		x = w.node("Add", []string{x, w.row(l.Bias)})
		if l.Norm != nil {
			x = w.node("LayerNormalization", []string{x, w.constant(typeDouble, []int{l.Out}, l.Norm.Gain), w.constant(typeDouble, []int{l.Out}, l.Norm.Offset)},
				attrInt("axis", -1), attrFloat("epsilon", neural.Epsilon))
		}
		switch l.Activation {
		case neural.ReLU:
			x = w.node("Relu", []string{x})
		case neural.GELU: // runtimes have it for float alone
			w.opset = 20
			x = w.cast(w.node("Gelu", []string{w.cast(x, typeFloat)}, attrText("approximate", "tanh")), typeDouble)
		}
	}
	if s.Scale != 1 {
		x = w.node("Mul", []string{x, w.constant(typeDouble, []int{1}, []float64{s.Scale})})
	}
	if s.Shift != 0 {
		x = w.node("Add", []string{x, w.constant(typeDouble, []int{1}, []float64{s.Shift})})
	}
	return w.link(x, s.Link), nil
}

// clip computes v/√(1+(v/c)²) for every column.
func (w *onnxWriter) clip(x string, c []float64) string {
	u := w.node("Div", []string{x, w.row(c)})
	s := w.node("Add", []string{w.node("Mul", []string{u, u}), w.constant(typeDouble, []int{1}, []float64{1})})
	return w.node("Div", []string{x, w.node("Sqrt", []string{s})})
}

// clipped clips the columns that have no embedding and leaves the others.
func (w *onnxWriter) clipped(x string, s neural.Spec) string {
	keep := make([]float64, s.Inputs)
	for _, e := range s.Embeddings {
		keep[e.Input] = 1
	}
	c := w.clip(x, slices.Repeat([]float64{s.Clip}, s.Inputs))
	return w.node("Where", []string{w.constant(typeBool, []int{1, s.Inputs}, keep), x, c})
}

// embed replaces every column with an embedding by one column per category and returns the first
// layer for these: its weights times the table, less the row of unknown categories, which the
// bias holds.
func (w *onnxWriter) embed(x string, s neural.Spec) (string, neural.Layer, error) {
	old := s.Layers[0]
	l := neural.Layer{Out: old.Out, Bias: slices.Clone(old.Bias), Norm: old.Norm, Activation: old.Activation}
	byInput := map[int]*neural.Embedding{}
	for i := range s.Embeddings {
		byInput[s.Embeddings[i].Input] = &s.Embeddings[i]
		l.In += s.Embeddings[i].Levels - 1
	}
	if l.In += s.Inputs; l.In > feature.MaxColumns || l.In*l.Out > neural.MaxParams {
		return "", l, refused("embeddings of %d categories and numbers in all with %d units, at most %d and %d weights", l.In, l.Out, feature.MaxColumns, neural.MaxParams)
	}
	var series, category, isHot []float64
	l.Weights = make([]float64, l.In*l.Out)
	from := 0 // column of the old layer
	for i := range s.Inputs {
		e := byInput[i]
		if e == nil {
			for k := range l.Out {
				l.Weights[k*l.In+len(series)] = old.Weights[k*old.In+from]
			}
			series, category, isHot = append(series, float64(i)), append(category, math.NaN()), append(isHot, 0)
			from++
			continue
		}
		unknown := e.Table[e.Levels*e.Dim:]
		for c := range e.Levels {
			for k := range l.Out {
				var sum float64
				for d := range e.Dim {
					sum += old.Weights[k*old.In+from+d] * (e.Table[c*e.Dim+d] - unknown[d])
				}
				l.Weights[k*l.In+len(series)] = sum
			}
			series, category, isHot = append(series, float64(i)), append(category, float64(c)), append(isHot, 1)
		}
		for k := range l.Out {
			for d := range e.Dim {
				l.Bias[k] += old.Weights[k*old.In+from+d] * unknown[d]
			}
		}
		from += e.Dim
	}
	v := w.node("Gather", []string{x, w.constant(typeInt64, []int{l.In}, series)}, attrInt("axis", 1))
	is := w.cast(w.node("Equal", []string{v, w.row(category)}), typeDouble)
	return w.node("Where", []string{w.constant(typeBool, []int{1, l.In}, isHot), is, v}), l, nil
}

// chain writes the steps around a model. Category tables are multiplied into the trees' sets.
func (w *onnxWriter) chain(x string, m *chain.Model) (string, error) {
	width := m.Inputs()
	tables := map[int][]float64{}
	for i, s := range m.Before() {
		per := func(in, out float64) []float64 {
			v := slices.Repeat([]float64{out}, width)
			for j := s.From; j < s.To; j++ {
				v[j] = in
			}
			return v
		}
		switch s.Op {
		case chain.ZeroMissing:
			tiny := w.node("LessOrEqual", []string{w.node("Abs", []string{x}), w.row(per(chain.ZeroThreshold, -1))})
			x = w.node("Where", []string{tiny, w.constant(typeDouble, []int{1}, []float64{math.NaN()}), x})
		case chain.Remap:
			if _, ok := m.Inner().(*ensemble.Ensemble); !ok || tables[s.From] != nil {
				return "", refused("step %d is a table of categories before something other than trees, or the second for one column", i)
			}
			tables[s.From] = s.Values
		case chain.Affine:
			center, scale := per(0, 0), per(1, 1)
			for j := s.From; j < s.To; j++ {
				center[j], scale[j] = s.Values[2*(j-s.From)], s.Values[2*(j-s.From)+1]
			}
			x = w.node("Mul", []string{w.node("Sub", []string{x, w.row(center)}), w.row(scale)})
		case chain.NormL1, chain.NormL2:
			x = w.norm(x, s, width)
		default:
			return "", refused("step %d divides by the largest magnitude, which has no operator in ONNX", i)
		}
	}
	var out string
	var err error
	if e, ok := m.Inner().(*ensemble.Ensemble); ok {
		out = w.trees(x, e, tables)
	} else {
		out, err = w.predictor(x, m.Inner())
	}
	if err != nil {
		return "", err
	}
	for _, s := range m.After() {
		switch s.Op {
		case chain.Exponential:
			out = w.link(out, ensemble.Exponential)
		case chain.Logistic:
			out = w.link(out, ensemble.Logistic)
		case chain.Softmax:
			out = w.link(out, ensemble.Softmax)
		case chain.SignedSquare:
			out = w.node("Mul", []string{out, w.node("Abs", []string{out})})
		case chain.Log1pExp:
			out = w.cast(w.node("Softplus", []string{w.cast(out, typeFloat)}), typeDouble)
		case chain.Step:
			out = w.cast(w.node("Greater", []string{out, w.constant(typeDouble, []int{1}, []float64{0})}), typeDouble)
		case chain.NormSum:
			sum := w.node("ReduceSum", []string{out, w.constant(typeInt64, []int{1}, []float64{1})}, attrInt("keepdims", 1))
			out = w.node("Div", []string{out, sum})
		case chain.Scale:
			var shift, scale []float64
			for k := range m.Outputs() {
				shift, scale = append(shift, s.Values[2*k]), append(scale, s.Values[2*k+1])
			}
			out = w.node("Add", []string{w.node("Mul", []string{out, w.row(scale)}), w.row(shift)})
		}
	}
	return out, nil
}

// norm divides some columns of every row by their norm.
func (w *onnxWriter) norm(x string, s chain.Stage, width int) string {
	cut := func(from, to int) string {
		at := make([]float64, 0, to-from)
		for j := from; j < to; j++ {
			at = append(at, float64(j))
		}
		return w.node("Gather", []string{x, w.constant(typeInt64, []int{to - from}, at)}, attrInt("axis", 1))
	}
	p := int64(1)
	if s.Op == chain.NormL2 {
		p = 2
	}
	part := x
	if s.From > 0 || s.To < width {
		part = cut(s.From, s.To)
	}
	parts := []string{w.node("LpNormalization", []string{part}, attrInt("axis", 1), attrInt("p", p))}
	if s.From > 0 {
		parts = append([]string{cut(0, s.From)}, parts...)
	}
	if s.To < width {
		parts = append(parts, cut(s.To, width))
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return w.node("Concat", parts, attrInt("axis", 1))
}

// trees writes an ensemble. tables holds, by column, which group every category belongs to: nodes
// then require groups.
func (w *onnxWriter) trees(x string, e *ensemble.Ensemble, tables map[int][]float64) string {
	spec := e.Spec()
	if spec.Round32 {
		x = w.cast(w.cast(x, typeFloat), typeDouble)
	}
	sets := spec.Link == ensemble.Exponential
	trees := make([]ensemble.Tree, e.Trees())
	for t := range trees {
		trees[t] = e.Tree(t)
		for i := range trees[t] {
			n := &trees[t][i]
			sets = sets || n.Left != 0 && n.Categories != nil && *n.Categories != [4]uint64{}
		}
	}
	if len(trees) == 0 {
		trees = []ensemble.Tree{{{Values: make([]float64, e.Outputs())}}}
	}
	out := ""
	if sets {
		w.ml = 5
		out = w.trees5(x, e, trees, tables)
	} else {
		out = w.cast(w.trees3(x, e, trees), typeDouble)
	}
	return w.link(out, spec.Link)
}

// leafOutputs calls each for every number of a leaf of tree t.
func leafOutputs(e *ensemble.Ensemble, t int, n *ensemble.Node, each func(output int, v float64)) {
	if e.Spec().Vector || e.Trees() == 0 {
		for k, v := range n.Values {
			each(k, v)
		}
		return
	}
	each(t%e.Outputs(), n.Value)
}

// trees3 writes a TreeEnsembleRegressor of version 3; its output is float.
func (w *onnxWriter) trees3(x string, e *ensemble.Ensemble, trees []ensemble.Tree) string {
	var tree, node, feat, yes, no, track, ltree, lnode, lid []int64
	var values, weights []float64
	var modes []string
	for t, nodes := range trees {
		for i := range nodes {
			n := &nodes[i]
			tree, node = append(tree, int64(t)), append(node, int64(i))
			if n.Left == 0 {
				feat, yes, no, track = append(feat, 0), append(yes, 0), append(no, 0), append(track, 0)
				values, modes = append(values, 0), append(modes, "LEAF")
				leafOutputs(e, t, n, func(k int, v float64) {
					ltree, lnode, lid, weights = append(ltree, int64(t)), append(lnode, int64(i)), append(lid, int64(k)), append(weights, v)
				})
				continue
			}
			feat, yes, no, track = append(feat, int64(n.Feature)), append(yes, int64(n.Left)), append(no, int64(n.Right)), append(track, truth(n.MissingLeft))
			modes = append(modes, "BRANCH_LEQ")
			if n.Categories != nil { // empty: every number goes right
				values = append(values, math.Inf(-1))
			} else {
				values = append(values, n.Threshold)
			}
		}
	}
	double := func(name string, v []float64) attr {
		return attrTensor(name+"_as_tensor", tensorBytes(name, typeDouble, []int{len(v)}, v))
	}
	out := w.name("trees")
	w.write("ai.onnx.ml", "TreeEnsembleRegressor", []string{x}, []string{out}, []attr{
		attrInt("n_targets", int64(e.Outputs())), attrText("aggregate_function", "SUM"), attrText("post_transform", "NONE"), double("base_values", e.Spec().Base),
		attrInts("nodes_treeids", tree), attrInts("nodes_nodeids", node), attrInts("nodes_featureids", feat), double("nodes_values", values), attrStrings("nodes_modes", modes),
		attrInts("nodes_truenodeids", yes), attrInts("nodes_falsenodeids", no), attrInts("nodes_missing_value_tracks_true", track),
		attrInts("target_treeids", ltree), attrInts("target_nodeids", lnode), attrInts("target_ids", lid), double("target_weights", weights)})
	return out
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// trees5 writes a TreeEnsemble of version 5, which has sets; a leaf has one number there, so a
// tree with vector leaves is written once per output. Its output is double.
func (w *onnxWriter) trees5(x string, e *ensemble.Ensemble, trees []ensemble.Tree, tables map[int][]float64) string {
	var roots, feat, yes, no, yesLeaf, noLeaf, track, targets []int64
	var splits, modes, members, weights []float64
	copies := 1
	if e.Spec().Vector || e.Trees() == 0 {
		copies = e.Outputs()
	}
	addLeaf := func(t int, n *ensemble.Node, output int) int64 {
		leafOutputs(e, t, n, func(k int, v float64) {
			if copies == 1 || k == output {
				targets, weights = append(targets, int64(k)), append(weights, v)
			}
		})
		return int64(len(weights) - 1)
	}
	for t, nodes := range trees {
		for output := range copies {
			at := make([]int64, len(nodes)) // where a node stands among the inner nodes or leaves
			next := int64(len(feat))
			for i := range nodes {
				if nodes[i].Left == 0 {
					at[i] = addLeaf(t, &nodes[i], output)
				} else {
					at[i] = next
					next++
				}
			}
			roots = append(roots, int64(len(feat)))
			if nodes[0].Left == 0 { // a node whose sides are the same leaf
				feat, yes, no, yesLeaf, noLeaf, track = append(feat, 0), append(yes, at[0]), append(no, at[0]), append(yesLeaf, 1), append(noLeaf, 1), append(track, 0)
				splits, modes = append(splits, 0), append(modes, 0)
				continue
			}
			for i := range nodes {
				n := &nodes[i]
				if n.Left == 0 {
					continue
				}
				feat, track = append(feat, int64(n.Feature)), append(track, truth(n.MissingLeft))
				yes, yesLeaf = append(yes, at[n.Left]), append(yesLeaf, truth(nodes[n.Left].Left == 0))
				no, noLeaf = append(no, at[n.Right]), append(noLeaf, truth(nodes[n.Right].Left == 0))
				switch {
				case n.Categories == nil:
					splits, modes = append(splits, n.Threshold), append(modes, 0)
				case *n.Categories == [4]uint64{}:
					splits, modes = append(splits, math.Inf(-1)), append(modes, 0)
				default:
					codes := codesOf(n.Categories, tables[n.Feature])
					if len(codes) == 0 {
						splits, modes = append(splits, math.Inf(-1)), append(modes, 0)
						continue
					}
					splits, modes = append(splits, 0), append(modes, 6)
					members = append(append(members, codes...), math.NaN())
				}
			}
		}
	}
	double := func(name string, v []float64) attr {
		return attrTensor(name, tensorBytes(name, typeDouble, []int{len(v)}, v))
	}
	out := w.name("trees")
	attrs := []attr{attrInt("n_targets", int64(e.Outputs())), attrInt("aggregate_function", 1), attrInt("post_transform", 0), attrInts("tree_roots", roots),
		attrInts("nodes_featureids", feat), double("nodes_splits", splits), attrTensor("nodes_modes", tensorBytes("nodes_modes", 2, []int{len(modes)}, modes)),
		attrInts("nodes_truenodeids", yes), attrInts("nodes_falsenodeids", no), attrInts("nodes_trueleafs", yesLeaf), attrInts("nodes_falseleafs", noLeaf),
		attrInts("nodes_missing_value_tracks_true", track), attrInts("leaf_targetids", targets), double("leaf_weights", weights)}
	if len(members) > 0 {
		attrs = append(attrs, double("membership_values", members))
	}
	w.write("ai.onnx.ml", "TreeEnsemble", []string{x}, []string{out}, attrs)
	if slices.ContainsFunc(e.Spec().Base, func(v float64) bool { return v != 0 }) {
		out = w.node("Add", []string{out, w.row(e.Spec().Base)})
	}
	return out
}

// codesOf lists the categories of a set, through a table of groups when there is one.
func codesOf(set *[4]uint64, table []float64) []float64 {
	has := func(v float64) bool {
		return v >= 0 && v <= 255 && v == math.Trunc(v) && set[int(v)/64]>>(int(v)%64)&1 == 1
	}
	var codes []float64
	if table == nil {
		for c := range 256 {
			if has(float64(c)) {
				codes = append(codes, float64(c))
			}
		}
		return codes
	}
	for c, group := range table {
		if has(group) {
			codes = append(codes, float64(c))
		}
	}
	return codes
}
