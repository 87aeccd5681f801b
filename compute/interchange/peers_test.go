package interchange

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/test/realdata"
)

// peerCase is what testdata/make.py wrote about a model.
type peerCase struct {
	Source string       `json:"source"`
	Rows   [][]any      `json:"rows"`
	Want   [][]*float64 `json:"want"`
	Leaves [][]float64  `json:"leaves"`
	Peer   [][]*float64 `json:"peer"`
	Labels []any        `json:"labels"`
	name   string
	model  []byte
}

// peerNames lists the models of testdata that begin with a prefix.
func peerNames(t testing.TB, prefix string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", prefix+"*.case.json.gz"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no models %s in testdata: %v; run testdata/make.py", prefix, err)
	}
	for i, p := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(p), ".case.json.gz")
	}
	return paths
}

func peerModel(t testing.TB, name string) []byte {
	t.Helper()
	for _, ext := range []string{".txt", ".json", ".ubj", ".onnx"} {
		path := filepath.Join("testdata", name+ext+".gz")
		if _, err := os.Stat(path); err == nil {
			return realdata.Gunzip(t, path)
		}
	}
	t.Fatalf("no model %s in testdata", name)
	return nil
}

func loadPeer(t testing.TB, name string) *peerCase {
	t.Helper()
	c := &peerCase{name: name, model: peerModel(t, name)}
	if err := json.Unmarshal(realdata.Gunzip(t, filepath.Join("testdata", name+".case.json.gz")), c); err != nil {
		t.Fatal(err)
	}
	return c
}

// numbers turns the rows into what the model takes: null is missing, a string is a category.
func (c *peerCase) numbers(t testing.TB, m *Model) [][]float64 {
	t.Helper()
	out := make([][]float64, len(c.Rows))
	for i, row := range c.Rows {
		if len(row) != len(m.Inputs) {
			t.Fatalf("a row has %d values, the model %d inputs", len(row), len(m.Inputs))
		}
		for j, v := range row {
			x := math.NaN()
			switch v := v.(type) {
			case float64:
				x = v
			case string:
				k := slices.Index(m.Inputs[j].Categories, v)
				if k < 0 {
					t.Fatalf("input %s has no category %q, only %q", m.Inputs[j].Name, v, m.Inputs[j].Categories)
				}
				x = float64(k)
			}
			out[i] = append(out[i], x)
		}
	}
	return out
}

// predictRow runs the pipeline and the model on one row.
func predictRow(t testing.TB, m *Model, x []float64) []float64 {
	t.Helper()
	eval, err := feature.NewEvaluator(m.Pipeline)
	if err != nil {
		t.Fatal(err)
	}
	h := feature.NewHistory(len(x), 1)
	h.Push(0, x)
	cols, out := make([]float64, m.Pipeline.Width()), make([]float64, m.Predictor.Outputs())
	if err := eval.Into(cols, h); err != nil {
		t.Fatal(err)
	}
	if err := m.Predictor.PredictInto(out, cols); err != nil {
		t.Fatal(err)
	}
	return out
}

// difference is |got − want| as a share of max(1, |want|); NaN beside NaN is none.
func difference(got, want float64) float64 {
	if math.IsNaN(got) && math.IsNaN(want) || got == want {
		return 0
	}
	d := math.Abs(got-want) / max(1, math.Abs(want))
	if math.IsNaN(d) {
		return math.Inf(1)
	}
	return d
}

// spread returns got as the library writes it: a binary classification may come as one
// probability or as two.
func spread(got []float64, n int) []float64 {
	if len(got) == 1 && n == 2 {
		return []float64{1 - got[0], got[0]}
	}
	return got
}

func floatOf(p *float64) float64 {
	if p == nil {
		return math.NaN()
	}
	return *p
}

// TestPeers loads what the libraries wrote and holds this program's predictions to theirs.
func TestPeers(t *testing.T) {
	worst := map[string]float64{}
	for _, name := range peerNames(t, "") {
		t.Run(name, func(t *testing.T) {
			c := loadPeer(t, name)
			m, err := ImportBytes(c.model, Options{Name: name})
			if err != nil {
				t.Fatal(err)
			}
			rows := c.numbers(t, m)
			for i, x := range rows {
				got := spread(predictRow(t, m, x), len(c.Want[i]))
				if len(got) != len(c.Want[i]) {
					t.Fatalf("%d outputs, the library has %d", len(got), len(c.Want[i]))
				}
				for k, v := range got {
					d := difference(v, floatOf(c.Want[i][k]))
					family, _, _ := strings.Cut(name, "_")
					worst[family] = max(worst[family], d)
					if d > 1e-6 {
						t.Errorf("row %d %v output %d = %v, the library (%s) says %v", i, c.Rows[i], k, v, c.Source, floatOf(c.Want[i][k]))
					}
					if len(c.Peer) > 0 {
						if d := difference(v, floatOf(c.Peer[i][k])); d > 1e-5 {
							t.Errorf("row %d output %d = %v, before the conversion it was %v", i, k, v, floatOf(c.Peer[i][k]))
						}
					}
				}
				if t.Failed() {
					break
				}
			}
			checkLeaves(t, c, m, rows)
			checkArtifact(t, m, rows)
		})
	}
	for f, d := range worst {
		t.Logf("%s: largest difference %.2g", f, d)
	}
}

// checkLeaves holds the leaf of every tree to the library's, to within the grid on which an
// ensemble's sums are exact.
func checkLeaves(t *testing.T, c *peerCase, m *Model, rows [][]float64) {
	t.Helper()
	p := m.Predictor
	var before []chain.Stage
	if ch, ok := p.(*chain.Model); ok {
		p, before = ch.Inner(), ch.Before()
	}
	e, ok := p.(*ensemble.Ensemble)
	if !ok || len(c.Leaves) == 0 || e.Spec().Vector || slices.Contains([]string{"lgb_rf", "lgb_rf_binary", "lgb_binary_sigmoid", "lgb_multiclassova"}, c.name) {
		return // scaled at import
	}
	if before != nil { // one leaf says little about the steps before: let them run over the row
		one, err := ensemble.New(e.Inputs(), ensemble.Identity, make([]float64, e.Outputs()), false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := chain.New(before, one, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i, x := range rows {
		var got, want []float64
		x = stagesOn(before, x)
		for tr := range e.Trees() {
			got = append(got, leafOf(e.Tree(tr), x, e.Spec().Round32))
		}
		want = append(want, c.Leaves[i]...)
		slices.Sort(got) // trees of several classes stand in another order
		slices.Sort(want)
		got = slices.DeleteFunc(got, func(v float64) bool { return math.Abs(v) < 1e-14 })
		want = slices.DeleteFunc(want, func(v float64) bool { return math.Abs(v) < 1e-14 })
		if !slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) <= 1e-14*max(1, math.Abs(a)) }) {
			t.Fatalf("row %d %v reaches leaves %v, in the library %v", i, x, got, want)
		}
	}
}

func stagesOn(stages []chain.Stage, x []float64) []float64 {
	x = slices.Clone(x)
	for _, s := range stages {
		for j := s.From; j < s.To; j++ {
			switch {
			case s.Op == chain.ZeroMissing && math.Abs(x[j]) <= chain.ZeroThreshold:
				x[j] = math.NaN()
			case s.Op == chain.Remap && x[j] >= 0 && x[j] < float64(len(s.Values)) && x[j] == math.Trunc(x[j]):
				x[j] = s.Values[int(x[j])]
			case s.Op == chain.Remap && !math.IsNaN(x[j]):
				x[j] = -1
			}
		}
	}
	return x
}

func leafOf(t ensemble.Tree, x []float64, round32 bool) float64 {
	n := &t[0]
	for n.Left != 0 {
		v, left := x[n.Feature], false
		if round32 {
			v = float64(float32(v))
		}
		switch {
		case math.IsNaN(v):
			left = n.MissingLeft
		case n.Categories != nil:
			left = v >= 0 && v <= 255 && v == math.Trunc(v) && n.Categories[int(v)/64]>>(int(v)%64)&1 == 1
		default:
			left = v <= n.Threshold
		}
		if left {
			n = &t[n.Left]
		} else {
			n = &t[n.Right]
		}
	}
	return n.Value
}

// checkArtifact makes an artifact, sends it through its encoding and holds the runner to the
// predictor.
func checkArtifact(t *testing.T, m *Model, rows [][]float64) {
	t.Helper()
	a, err := m.Artifact("task", "target")
	if len(m.Quantiles) == 3 && err == nil {
		checkQuantiles(t, m, a, rows)
		return
	}
	if m.Kind == artifact.KindRegression && m.Predictor.Outputs() > 1 {
		if err == nil || !strings.Contains(err.Error(), "outputs") {
			t.Errorf("Artifact of a model with %d outputs: %v", m.Predictor.Outputs(), err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := artifact.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	d, err := artifact.DecodeBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SelfTest(); err != nil {
		t.Error(err)
	}
	if again, err := artifact.Encode(d); err != nil || !bytes.Equal(again, b) {
		t.Errorf("a decoded artifact encodes to other bytes (%v)", err)
	}
	r, err := artifact.NewRunner(d)
	if err != nil {
		t.Fatal(err)
	}
	h := feature.NewHistory(len(m.Inputs), 1)
	for _, x := range rows {
		h.Push(0, x)
		p, _, _, err := r.Predict(h, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := predictRow(t, m, x)
		if m.Kind == artifact.KindRegression && difference(p, want[0]) != 0 {
			t.Fatalf("the runner predicts %v, the model %v", p, want[0])
		}
		if m.Kind == artifact.KindClassification && difference(r.Classes()[len(r.Classes())-1], want[len(want)-1]) != 0 {
			t.Fatalf("the runner's classes are %v, the model's %v", r.Classes(), want)
		}
	}
}

// checkQuantiles holds the three models of an artifact to the three outputs of the imported one.
func checkQuantiles(t *testing.T, m *Model, a *artifact.Artifact, rows [][]float64) {
	t.Helper()
	r, err := artifact.NewRunner(a)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(a.Calibration.Level-0.8) > 1e-6 {
		t.Errorf("level %v, want 0.8", a.Calibration.Level)
	}
	h := feature.NewHistory(len(m.Inputs), 1)
	for _, x := range rows {
		h.Push(0, x)
		point, lower, upper, err := r.Predict(h, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := predictRow(t, m, x)
		if difference(point, want[1]) > 1e-12 || difference(lower, min(want[0], want[2])) > 1e-12 || difference(upper, max(want[0], want[2])) > 1e-12 {
			t.Fatalf("the runner gives %v, %v and %v, the model %v", lower, point, upper, want)
		}
	}
}
