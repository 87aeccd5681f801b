package interchange

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
)

// Format names what a file is.
type Format string

// The formats.
const (
	LightGBM    Format = "lightgbm"
	XGBoostJSON Format = "xgboost-json"
	XGBoostUBJ  Format = "xgboost-ubj"
	ONNX        Format = "onnx"
)

// Limits of a file.
const (
	MaxBytes    = 256 << 20
	maxDepth    = 64   // nested values of JSON and UBJSON, nested messages of ONNX
	maxFeatures = 1024 // inputs of a pipeline
	maxCodes    = 1 << 16
)

// ErrFormat means that a file is damaged or none of the known formats. ErrUnsupported means that a
// file is sound but needs what this program does not compute.
var (
	ErrFormat      = errors.New("not a model this program can read")
	ErrUnsupported = errors.New("model is not supported")
)

// damaged and refused wrap the two errors with what, where and what next.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFormat, fmt.Errorf(format, args...))
}

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnsupported, fmt.Errorf(format, args...))
}

// Options define what a file alone does not define.
type Options struct {
	Name   string // the file's name, for the lineage of the artifact
	Output string // ONNX: the graph output to take; empty takes the only one that holds scores
	// names of the inputs and of the classes, in the file's order, in place of those in the file; nil
	// keeps them
	Inputs, Classes []string
}

// Input is one input of an imported model. Values of an input with categories are indices into
// them.
type Input struct {
	Name       string
	Categories []string
}

// Model is an imported model.
type Model struct {
	Format  Format
	Inputs  []Input
	Kind    string   // artifact.KindRegression or artifact.KindClassification
	Classes []string // of a classification
	// what the outputs of a quantile regression with several estimate, where the file states it
	Quantiles []float64
	Pipeline  *feature.Pipeline
	Predictor artifact.Predictor
	Notes     []string // what a user should know: what was left out or holds only for some inputs
	Producer  string   // program and version that wrote the file, where it states it
	Objective string   // what the library optimised, where the file states it
	Name      string   // of the file
	SHA256    string   // of the file, 64 hexadecimal digits

	probes [][]float64 // values at which each input's predictions change, for self-test rows
}

// Detect returns the format from the first bytes and reports whether it could.
func Detect(b []byte) (Format, bool) {
	if len(b) > 3 && string(b[:3]) == "\xef\xbb\xbf" {
		b = b[3:]
	}
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\r' || b[0] == '\t') {
		b = b[1:]
	}
	if len(b) < 2 {
		return "", false
	}
	switch {
	case len(b) >= 4 && string(b[:4]) == "tree" && (len(b) == 4 || b[4] == '\n' || b[4] == '\r' || b[4] == ' '):
		return LightGBM, true
	case b[0] == '{' && isUBJ(b[1]):
		return XGBoostUBJ, true
	case b[0] == '{':
		return XGBoostJSON, true
	case b[0] == 0x08 && b[1] > 0 && b[1] < 0x80: // field 1, ir_version
		return ONNX, true
	}
	return "", false
}

// isUBJ reports whether c, the byte after an opening brace, can only stand in UBJSON: a length
// marker, a type marker or a count.
func isUBJ(c byte) bool {
	switch c {
	case 'i', 'U', 'I', 'l', 'L', '$', '#', 'N':
		return true
	}
	return false
}

// Import reads a model of size bytes. Errors wrap ErrFormat or ErrUnsupported, or are those of r.
func Import(r io.ReaderAt, size int64, o Options) (*Model, error) {
	if size > MaxBytes {
		return nil, damaged("%d bytes, at most %d: train fewer trees or export a smaller model", size, MaxBytes)
	}
	b := make([]byte, max(size, 0))
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), b); err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	return ImportBytes(b, o)
}

// ImportBytes is Import for a model in memory.
func ImportBytes(b []byte, o Options) (*Model, error) {
	f, ok := Detect(b)
	if !ok {
		if _, err := readONNX(b); err == nil { // its fields stand in another order than usual
			return ImportONNX(b, o)
		}
		if len(b) >= 4 && (string(b[:4]) == "binf" || looksBinaryXGBoost(b)) {
			return nil, refused("XGBoost's old binary format; load it with the version that wrote it and save it as JSON or UBJSON: booster.save_model(\"model.json\")")
		}
		return nil, damaged("the first bytes %q are not those of a LightGBM text model (\"tree\"), an XGBoost JSON or UBJSON model (\"{\") or an ONNX model; save the model in one of these",
			b[:min(len(b), 8)])
	}
	switch f {
	case LightGBM:
		return ImportLightGBM(b, o)
	case XGBoostJSON:
		return ImportXGBoostJSON(b, o)
	case XGBoostUBJ:
		return ImportXGBoostUBJ(b, o)
	default:
		return ImportONNX(b, o)
	}
}

// looksBinaryXGBoost recognises the header of the old format: base_score f32, num_feature u32,
// num_class i32, contain_extra_attrs i32, all small.
func looksBinaryXGBoost(b []byte) bool {
	if len(b) < 136 {
		return false
	}
	score := math.Float32frombits(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
	return score > -1e6 && score < 1e6 && (score == 0 || math.Abs(float64(score)) > 1e-6) && b[7] == 0 && b[6] == 0 && b[4]|b[5] != 0 && b[10] == 0 && b[11] == 0
}

// finish fills in what all formats share and checks the model as a whole.
func (m *Model) finish(b []byte, o Options) (*Model, error) {
	sum := sha256.Sum256(b)
	m.SHA256, m.Name = hex.EncodeToString(sum[:]), o.Name
	if err := m.Pipeline.Check(); err != nil {
		return nil, damaged("%w", err)
	}
	if err := m.rename(o); err != nil {
		return nil, err
	}
	if err := m.distinct(); err != nil {
		return nil, err
	}
	if m.Predictor.Inputs() != m.Pipeline.Width() {
		return nil, damaged("the model takes %d inputs, its columns are %d", m.Predictor.Inputs(), m.Pipeline.Width())
	}
	return m, nil
}

// ErrNames means that names were given that do not fit the model.
var ErrNames = errors.New("names do not fit the model")

// rename gives inputs and classes the names of the options.
func (m *Model) rename(o Options) error {
	have := make([]string, len(m.Inputs))
	for i, in := range m.Inputs {
		have[i] = in.Name
	}
	if err := checkNames("inputs", o.Inputs, have); err != nil {
		return err
	}
	if err := checkNames("classes", o.Classes, m.Classes); err != nil {
		return err
	}
	if o.Classes != nil {
		m.Classes = slices.Clone(o.Classes)
	}
	for i, name := range o.Inputs {
		for j := range m.Pipeline.Columns {
			if c := &m.Pipeline.Columns[j]; c.Op == feature.OpValue && c.Series == i && c.Name == have[i] {
				c.Name = name
			}
		}
		m.Inputs[i].Name, m.Pipeline.Inputs[i].Name = name, name
	}
	return nil
}

// distinct holds that every input has a name of its own: the columns of a table are found by it.
func (m *Model) distinct() error {
	first := map[string]int{}
	for i, in := range m.Inputs {
		if in.Name == "" {
			return refused("input %d of %d has no name: give every input one, by --inputs or where the model is made", i+1, len(m.Inputs))
		}
		if at, twice := first[in.Name]; twice {
			return refused("inputs %d and %d of %d are both named %q: give every input a name of its own, by --inputs or where the model is made", at+1, i+1, len(m.Inputs), in.Name)
		}
		first[in.Name] = i
	}
	return nil
}

// checkNames holds that names, when there are any, are as many as those in the file, and different.
func checkNames(what string, names, have []string) error {
	if names == nil {
		return nil
	}
	list := have
	if len(list) > 20 {
		list = append(slices.Clone(list[:20]), "…")
	}
	if len(names) != len(have) {
		return fmt.Errorf("%w: %d names for %d %s: %s", ErrNames, len(names), len(have), what, strings.Join(list, ", "))
	}
	seen := map[string]bool{}
	for _, n := range names {
		if n == "" || seen[n] {
			return fmt.Errorf("%w: %s: %q is empty or given twice", ErrNames, what, n)
		}
		seen[n] = true
	}
	return nil
}

// plain gives the model a pipeline that hands every input on as it is.
func (m *Model) plain() {
	p := &feature.Pipeline{Rows: 1}
	for i, in := range m.Inputs {
		p.Inputs = append(p.Inputs, feature.Input{Name: in.Name, Categories: in.Categories})
		p.Columns = append(p.Columns, feature.Column{Name: in.Name, Op: feature.OpValue, Series: i})
	}
	m.Pipeline = p
}

// Artifact makes a complete artifact for a task. series names what is predicted. A regression
// must have one output, or three quantiles, the median in the middle of two that lie as far from
// it: they become the point, lower and upper models. Its self-test rows lie at the points where
// the model's predictions change, and where inputs are missing if the model can handle that.
func (m *Model) Artifact(task, series string) (*artifact.Artifact, error) {
	models, err := m.roles()
	if err != nil {
		return nil, err
	}
	name := m.Name
	if name == "" {
		name = "model"
	}
	learner := string(m.Format)
	if m.Format == XGBoostJSON || m.Format == XGBoostUBJ {
		learner = "xgboost"
	}
	a := &artifact.Artifact{
		Manifest: artifact.Manifest{
			Task:        task,
			Kind:        m.Kind,
			Inputs:      m.Pipeline.Inputs,
			Learner:     learner,
			CreatedFrom: []string{"file:" + name, "sha256:" + m.SHA256},
			Output:      artifact.Output{Series: series, Input: -1, Classes: m.Classes},
			Params:      map[string]string{"format": string(m.Format)},
		},
		Pipeline: m.Pipeline,
		Models:   models,
	}
	if len(models) > 1 {
		a.Calibration.Level = m.Quantiles[2] - m.Quantiles[0]
	}
	if m.Producer != "" {
		a.Manifest.Params["producer"] = m.Producer
	}
	if m.Objective != "" {
		a.Manifest.Params["objective"] = m.Objective
	}
	times, rows := m.vectorRows()
	v, err := artifact.MakeVectors(a, times, rows, len(times))
	if err != nil { // the model cannot handle missing inputs
		for i, x := range rows {
			if math.IsNaN(x) {
				rows[i] = 0.5
			}
		}
		if v, err = artifact.MakeVectors(a, times, rows, len(times)); err != nil {
			return nil, fmt.Errorf("make self-test: %w", err)
		}
	}
	for _, list := range v.Want {
		if !finiteAll(list) {
			return nil, refused("the model predicts no finite number for a row of ordinary numbers: its parameters overflow")
		}
	}
	a.Vectors = v
	if err := a.Check(); err != nil {
		return nil, fmt.Errorf("make artifact: %w", err)
	}
	return a, nil
}

// roles gives the model its role, or each of three quantiles its own.
func (m *Model) roles() (map[artifact.Role]artifact.Predictor, error) {
	n := m.Predictor.Outputs()
	if m.Kind != artifact.KindRegression || n == 1 {
		return map[artifact.Role]artifact.Predictor{artifact.Point: m.Predictor}, nil
	}
	e, ok := m.Predictor.(*ensemble.Ensemble)
	q := m.Quantiles
	if !ok || e.Spec().Vector || n != 3 || len(q) != 3 || q[0] >= 0.5 || q[1] != 0.5 || math.Abs(q[0]+q[2]-1) > 1e-6 {
		return nil, refused("the model has %d outputs, an artifact for a regression has 1, or 3 quantiles such as 0.05, 0.5 and 0.95: train one model per target", n)
	}
	out := map[artifact.Role]artifact.Predictor{}
	for k, role := range []artifact.Role{artifact.Lower, artifact.Point, artifact.Upper} {
		s := e.Spec()
		s.Base = s.Base[k : k+1]
		var trees []ensemble.Tree
		for t := k; t < e.Trees(); t += n {
			trees = append(trees, e.Tree(t))
		}
		one, err := ensemble.Build(s, trees)
		if err != nil {
			return nil, err
		}
		out[role] = one
	}
	return out, nil
}

// vectorRows returns up to 32 rows of inputs, an hour apart.
func (m *Model) vectorRows() ([]int64, []float64) {
	width := len(m.Inputs)
	rows := 32
	if limit := artifact.MaxVectorBytes / (8 * max(width, 1)); rows > limit {
		rows = limit
	}
	times, values := make([]int64, rows), make([]float64, 0, rows*width)
	seed := uint64(1)
	next := func(n int) int { // a linear congruence: the same file gives the same artifact
		seed = seed*6364136223846793005 + 1442695040888963407
		return int(seed>>33) % n
	}
	for r := range rows {
		times[r] = int64(r) * 3600 * 1_000_000
		for i := range width {
			values = append(values, m.probe(i, r, next))
		}
	}
	return times, values
}

func (m *Model) probe(input, row int, next func(int) int) float64 {
	var p []float64
	if input < len(m.probes) {
		p = m.probes[input]
	}
	switch {
	case row > 0 && next(8) == 0:
		return math.NaN()
	case len(m.Inputs[input].Categories) > 0:
		return float64(next(min(len(m.Inputs[input].Categories), maxCodes)))
	case len(p) == 0:
		return float64(next(2001)-1000) / 500
	}
	v := p[next(len(p))]
	switch next(3) {
	case 0:
		return math.Nextafter(v, math.Inf(1))
	case 1:
		return v
	}
	return v - math.Abs(v)*1e-3
}

// probesOf collects up to 64 thresholds per column of an ensemble.
func probesOf(p artifact.Predictor, columns int) [][]float64 {
	if c, ok := p.(*chain.Model); ok {
		p = c.Inner()
	}
	e, ok := p.(*ensemble.Ensemble)
	if !ok {
		return nil
	}
	out := make([][]float64, columns)
	for t := range e.Trees() {
		for _, n := range e.Tree(t) {
			if n.Left != 0 && n.Categories == nil && n.Feature < columns && len(out[n.Feature]) < 64 && math.Abs(n.Threshold) < 1e30 && !slices.Contains(out[n.Feature], n.Threshold) {
				out[n.Feature] = append(out[n.Feature], n.Threshold)
			}
		}
		if t > 1000 {
			break
		}
	}
	return out
}
