package interchange

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
	"skerry.dev/compute/neural"
)

// exportCase is an artifact that is exported and float32 rows for it.
type exportCase struct {
	name    string
	a       *artifact.Artifact
	rows    [][]float64
	columns bool   // the graph takes the pipeline's columns
	refused string // what the importer says about the exported file, when it cannot read it back
}

func pipelineOf(inputs int, cols ...feature.Column) *feature.Pipeline {
	p := &feature.Pipeline{Rows: 1, Columns: cols}
	for i := range inputs {
		p.Inputs = append(p.Inputs, feature.Input{Name: string(rune('a' + i))})
	}
	if cols == nil {
		for i := range inputs {
			p.Columns = append(p.Columns, feature.Column{Name: p.Inputs[i].Name, Series: i, Op: feature.OpValue})
		}
	}
	return p
}

func artifactOf(kind string, p *feature.Pipeline, m artifact.Predictor, classes ...string) *artifact.Artifact {
	a := &artifact.Artifact{Manifest: artifact.Manifest{Task: "t", Kind: kind, Inputs: p.Inputs, Learner: "test", Output: artifact.Output{Input: -1, Classes: classes}}, Pipeline: p,
		Models: map[artifact.Role]artifact.Predictor{artifact.Point: m}}
	if kind == artifact.KindForecast {
		a.Manifest.HorizonUS, a.Manifest.Output.Input = 1, 0
	}
	return a
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// randomTrees grows trees over inputs whose first is a category of 0 to 9; leaves are vectors
// when outputs is above 1.
func randomTrees(rng *rand.Rand, trees, inputs, outputs int, sets bool) []ensemble.Tree {
	out := make([]ensemble.Tree, trees)
	for t := range out {
		nodes := make(ensemble.Tree, 15)
		for i := range nodes {
			n := &nodes[i]
			if i >= 7 {
				n.Value = rng.NormFloat64()
				for range outputs {
					n.Values = append(n.Values, rng.NormFloat64())
				}
				continue
			}
			n.Left, n.Right, n.MissingLeft = 2*i+1, 2*i+2, rng.IntN(2) == 0
			n.Feature = rng.IntN(inputs)
			n.Threshold = math.Round(rng.NormFloat64()*8)/8 + float64(rng.IntN(2))*1e-9
			if sets && n.Feature == 0 {
				n.Categories = &[4]uint64{rng.Uint64() & 1023}
			}
		}
		out[t] = nodes
	}
	return append(out, ensemble.Tree{{Value: 0.25, Values: slices.Repeat([]float64{0.25}, outputs)}})
}

func exportCases(t *testing.T) []exportCase {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 1))
	rows := func(n, inputs int, missing bool) [][]float64 {
		out := make([][]float64, n)
		for i := range out {
			for j := range inputs {
				v := math.Round(rng.NormFloat64()*8) / 8
				switch {
				case j == 0:
					v = float64(rng.IntN(12) - 1)
				case rng.IntN(3) == 0:
					v = float64(float32(rng.NormFloat64()))
				}
				if missing && rng.IntN(6) == 0 {
					v = math.NaN()
				}
				out[i] = append(out[i], v)
			}
		}
		return out
	}
	weights := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		return v
	}
	two, three := []string{"no", "yes"}, []string{"x", "y", "ž"}
	v := func(x float64) *float64 { return &x }
	prepared := func() *feature.Pipeline {
		return pipelineOf(3,
			feature.Column{Name: "a", Op: feature.OpValue, Series: 0}, feature.Column{Name: "b", Op: feature.OpValue, Series: 1, Impute: v(0.3), Center: 0.1, Scale: 1.7},
			feature.Column{Name: "bm", Op: feature.OpMissing, Series: 1}, feature.Column{Name: "a2", Op: feature.OpOneHot, Series: 0, Category: 2},
			feature.Column{Name: "a3", Op: feature.OpOneHot, Series: 0, Category: 3, Impute: v(0.5), Scale: 3}, feature.Column{Name: "c", Op: feature.OpValue, Series: 2, Center: 5})
	}
	imputed := func() *feature.Pipeline {
		p := prepared()
		for i := range p.Columns {
			if p.Columns[i].Impute == nil {
				p.Columns[i].Impute = v(float64(i))
			}
		}
		return p
	}
	spec := func(inputs, outputs int, link ensemble.Link, vector bool) ensemble.Spec {
		return ensemble.Spec{Inputs: inputs, Link: link, Base: weights(outputs), Vector: vector}
	}
	reg, cls := artifact.KindRegression, artifact.KindClassification
	e1 := must(ensemble.Build(spec(4, 1, ensemble.Identity, false), randomTrees(rng, 20, 4, 1, false)))
	single := spec(4, 1, ensemble.Identity, false)
	single.Round32 = true
	cases := []exportCase{
		{name: "trees", a: artifactOf(reg, pipelineOf(4), e1), rows: rows(200, 4, true)},
		{name: "trees_single", a: artifactOf(reg, pipelineOf(4), must(ensemble.Build(single, randomTrees(rng, 20, 4, 1, false)))), rows: rows(200, 4, true)},
		{name: "trees_sets", a: artifactOf(reg, pipelineOf(4), must(ensemble.Build(spec(4, 1, ensemble.Identity, false), randomTrees(rng, 20, 4, 1, true)))), rows: rows(200, 4, true)},
		{name: "trees_exp", a: artifactOf(reg, pipelineOf(4), must(ensemble.Build(spec(4, 1, ensemble.Exponential, false), randomTrees(rng, 9, 4, 1, false)))), rows: rows(100, 4, true)},
		{name: "trees_logistic", a: artifactOf(cls, pipelineOf(4), must(ensemble.Build(spec(4, 1, ensemble.Logistic, false), randomTrees(rng, 20, 4, 1, false))), two...), rows: rows(100, 4, true)},
		{name: "trees_softmax", a: artifactOf(cls, pipelineOf(4), must(ensemble.Build(spec(4, 3, ensemble.Softmax, false), randomTrees(rng, 20, 4, 3, false))), three...), rows: rows(100, 4, true)},
		{name: "trees_softmax_sets", a: artifactOf(cls, pipelineOf(4), must(ensemble.Build(spec(4, 3, ensemble.Softmax, false), randomTrees(rng, 20, 4, 3, true))), three...), rows: rows(100, 4, true)},
		{name: "forest_vector", a: artifactOf(cls, pipelineOf(4), must(ensemble.Build(spec(4, 3, ensemble.Softmax, true), randomTrees(rng, 10, 4, 3, false))), three...), rows: rows(100, 4, true)},
		{name: "forest_vector_sets", a: artifactOf(cls, pipelineOf(4), must(ensemble.Build(spec(4, 3, ensemble.Softmax, true), randomTrees(rng, 10, 4, 3, true))), three...), rows: rows(100, 4, true)},
		{name: "no_trees", a: artifactOf(reg, pipelineOf(2), must(ensemble.New(2, ensemble.Identity, []float64{1.5}, false, nil))), rows: rows(5, 2, true)},
		{name: "pipeline_trees", a: artifactOf(reg, prepared(), must(ensemble.Build(spec(6, 1, ensemble.Identity, false), randomTrees(rng, 20, 6, 1, true)))), rows: rows(200, 3, true)},
		{name: "pipeline_linear", a: artifactOf(reg, imputed(), must(linear.New(6, ensemble.Identity, weights(1), weights(6)))), rows: rows(50, 3, true)},
		{name: "linear_logistic", a: artifactOf(cls, imputed(), must(linear.New(6, ensemble.Logistic, weights(1), weights(6))), two...), rows: rows(50, 3, true)},
		{name: "linear_softmax", a: artifactOf(cls, imputed(), must(linear.New(6, ensemble.Softmax, weights(3), weights(18))), three...), rows: rows(50, 3, true)},
		{name: "constant", a: artifactOf(reg, pipelineOf(2), &artifact.Constant{N: 2, Values: []float64{0.1}}), rows: rows(5, 2, true)},
		{name: "constant_classes", a: artifactOf(cls, pipelineOf(2), &artifact.Constant{N: 2, Values: []float64{0.2, 0.3, 0.5}}, three...), rows: rows(5, 2, true)},
		{name: "network", a: artifactOf(reg, imputed(), must(neural.New([]int{6, 8, 5, 1}, ensemble.Identity, 3, 0.5, weights(neural.Params([]int{6, 8, 5, 1}))))), rows: rows(50, 3, true)},
		{name: "network_softmax", a: artifactOf(cls, imputed(), must(neural.New([]int{6, 8, 3}, ensemble.Softmax, 1, 0, weights(neural.Params([]int{6, 8, 3})))), three...), rows: rows(50, 3, true)},
	}
	layer := func(in, out int, act neural.Activation, norm bool) neural.Layer {
		l := neural.Layer{In: in, Out: out, Bias: weights(out), Weights: weights(in * out), Activation: act}
		for i := range l.Weights {
			l.Weights[i] /= math.Sqrt(float64(in))
		}
		if norm {
			l.Norm = &neural.Norm{Gain: weights(out), Offset: weights(out)}
		}
		return l
	}
	table := neural.Embedding{Input: 0, Levels: 5, Dim: 3, Table: weights(18)}
	deep := func(clip float64, embed bool, act neural.Activation, norm bool) *neural.Network {
		s := neural.Spec{Inputs: 6, Clip: clip, Link: ensemble.Identity, Scale: 2, Shift: -1}
		in := 6
		if embed {
			s.Embeddings, in = []neural.Embedding{table}, 8
		}
		s.Layers = []neural.Layer{layer(in, 7, act, norm), layer(7, 6, act, norm), layer(6, 1, neural.Linear, false)}
		return must(neural.Build(s))
	}
	raw := imputed()
	raw.Columns[0].Impute = nil
	cases = append(cases,
		exportCase{name: "network_norm", a: artifactOf(reg, imputed(), deep(0, false, neural.ReLU, true)), rows: rows(50, 3, true)},
		exportCase{name: "network_gelu", a: artifactOf(reg, imputed(), deep(0, false, neural.GELU, true)), rows: rows(50, 3, true)},
		exportCase{name: "network_clip", a: artifactOf(reg, imputed(), deep(3, false, neural.ReLU, false)), rows: rows(50, 3, true)},
		exportCase{name: "network_embedding", a: artifactOf(reg, raw, deep(0, true, neural.GELU, false)), rows: rows(50, 3, true)},
		exportCase{name: "network_all", a: artifactOf(reg, raw, deep(3, true, neural.GELU, true)), rows: rows(50, 3, true), refused: "bounded"},
	)
	clock := pipelineOf(2, feature.Column{Name: "a_lag", Op: feature.OpLag, Lag: 5}, feature.Column{Name: "b", Op: feature.OpValue, Series: 1}, feature.Column{Name: "day", Op: feature.OpDaySin})
	forecast := artifactOf(artifact.KindForecast, clock, must(ensemble.Build(spec(3, 1, ensemble.Identity, false), randomTrees(rng, 5, 3, 1, false))))
	forecast.Models[artifact.Lower] = must(linear.New(3, ensemble.Identity, weights(1), weights(3)))
	forecast.Models[artifact.Upper] = must(linear.New(3, ensemble.Identity, weights(1), weights(3)))
	cases = append(cases, exportCase{name: "forecast", a: forecast, rows: rows(50, 3, false), columns: true})
	tok := func(do string, i int, x float64) feature.Token { return feature.Token{Do: do, I: i, X: x} }
	computed := pipelineOf(3,
		feature.Column{Name: "b", Op: feature.OpValue, Series: 1, Impute: v(0.3), Center: 0.1, Scale: 1.7}, feature.Column{Name: "table", Op: feature.OpTable, Series: 0, Table: []float64{3, -1, 0.5, 2, 7, 1, 1.5}, Default: 9, Impute: v(1)},
		feature.Column{Name: "ratio", Op: feature.OpRatio, Series: 1, Other: 2, Impute: v(4), Scale: 100}, feature.Column{Name: "less", Op: feature.OpDifference, Series: 1, Other: 2, Impute: v(0)},
		feature.Column{Name: "times", Op: feature.OpProduct, Series: 0, Other: 2, Impute: v(-1)}, feature.Column{Name: "out", Op: feature.OpOutOfRange, Series: 1, Impute: v(2)},
		feature.Column{Name: "cross", Op: feature.OpCross, Of: 0, By: 3}, feature.Column{Name: "square", Op: feature.OpCross, Of: 4, By: 4}, feature.Column{Name: "place", Op: feature.OpPlace, Of: 0, Table: []float64{-1, -0.5, 0, 0, 0, 0.25, 1}, Center: 0.5},
		feature.Column{Name: "place of few", Op: feature.OpPlace, Of: 3, Table: []float64{0, 0}}, feature.Column{Name: "missing", Op: feature.OpMissing, Series: 2}, feature.Column{Name: "hot", Op: feature.OpOneHot, Series: 0, Category: 2, Impute: v(0.5)},
		feature.Column{Name: "log", Op: feature.OpExpr, Impute: v(6), Expr: []feature.Token{tok(feature.TokenSeries, 1, 0), tok(feature.TokenLog1p, 0, 0)}},
		feature.Column{Name: "small log", Op: feature.OpExpr, Impute: v(6), Expr: []feature.Token{tok(feature.TokenSeries, 1, 0), tok(feature.TokenNumber, 0, 1e-17), tok(feature.TokenMul, 0, 0), tok(feature.TokenLog1p, 0, 0)}},
		feature.Column{Name: "many", Op: feature.OpExpr, Impute: v(-2), Expr: []feature.Token{tok(feature.TokenSeries, 1, 0), tok(feature.TokenAbs, 0, 0), tok(feature.TokenSqrt, 0, 0), tok(feature.TokenSeries, 2, 0), tok(feature.TokenNumber, 0, 0.5),
			tok(feature.TokenMin, 0, 0), tok(feature.TokenMax, 0, 0), tok(feature.TokenColumn, 1, 0), tok(feature.TokenSub, 0, 0), tok(feature.TokenSeries, 0, 0), tok(feature.TokenDiv, 0, 0), tok(feature.TokenNumber, 0, 3), tok(feature.TokenIfMissing, 0, 0)}},
		feature.Column{Name: "number", Op: feature.OpExpr, Expr: []feature.Token{tok(feature.TokenNumber, 0, 1), tok(feature.TokenNumber, 0, 2), tok(feature.TokenAdd, 0, 0)}})
	computed.Inputs[1].Min, computed.Inputs[1].Max = -0.5, 1
	cases = append(cases, exportCase{name: "computed", a: artifactOf(reg, computed, must(linear.New(16, ensemble.Identity, weights(1), weights(16)))), rows: rows(300, 3, true), refused: "operator GreaterOrEqual"},
		exportCase{name: "computed_trees", a: artifactOf(cls, computed, must(ensemble.Build(spec(16, 1, ensemble.Logistic, false), randomTrees(rng, 20, 16, 1, false))), two...), rows: rows(300, 3, true), refused: "operator GreaterOrEqual"})
	step := func(before []chain.Stage, p chain.Predictor, after ...chain.Stage) *chain.Model {
		return must(chain.New(before, p, after))
	}
	lin3 := func() *linear.Model { return must(linear.New(6, ensemble.Identity, weights(3), weights(18))) }
	cases = append(cases,
		exportCase{name: "chain_zero", a: artifactOf(reg, pipelineOf(4), step([]chain.Stage{{Op: chain.ZeroMissing, From: 1, To: 3}}, e1, chain.Stage{Op: chain.SignedSquare})), rows: rows(100, 4, true)},
		exportCase{name: "chain_norm", a: artifactOf(cls, imputed(), step([]chain.Stage{{Op: chain.NormL2, From: 1, To: 5}, {Op: chain.Affine, From: 1, To: 5, Values: weights(8)}}, lin3(),
			chain.Stage{Op: chain.Logistic}, chain.Stage{Op: chain.NormSum}), three...), rows: rows(100, 3, true)},
		exportCase{name: "chain_norm_all", a: artifactOf(reg, imputed(), step([]chain.Stage{{Op: chain.NormL1, From: 0, To: 6}}, must(linear.New(6, ensemble.Identity, weights(1), weights(6))),
			chain.Stage{Op: chain.Log1pExp})), rows: rows(100, 3, true)},
		exportCase{name: "chain_step", a: artifactOf(cls, pipelineOf(4), step(nil, e1, chain.Stage{Op: chain.Step}), two...), rows: rows(100, 4, true)},
		exportCase{name: "chain_softmax", a: artifactOf(cls, imputed(), step(nil, lin3(), chain.Stage{Op: chain.Scale, Values: weights(6)}, chain.Stage{Op: chain.Softmax}), three...), rows: rows(100, 3, true)},
		exportCase{name: "chain_exp", a: artifactOf(reg, imputed(), step(nil, must(linear.New(6, ensemble.Identity, weights(1), []float64{.1, .2, -.1, .1, .1, -.2})), chain.Stage{Op: chain.Exponential})), rows: rows(100, 3, true)},
	)
	for _, name := range peerNames(t, "") {
		c := loadPeer(t, name)
		m, err := ImportBytes(c.model, Options{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		a, err := m.Artifact("t", "y")
		if m.Kind == reg && m.Predictor.Outputs() > 1 && len(m.Quantiles) == 0 {
			continue // no artifact has several targets
		}
		e := exportCase{name: name, a: must(a, err)}
		for _, row := range c.numbers(t, m) {
			for j, x := range row {
				row[j] = float64(float32(min(max(x, -math.MaxFloat32), math.MaxFloat32)))
			}
			e.rows = append(e.rows, row)
		}
		cases = append(cases, e)
	}
	return cases
}

// predictAll returns what the artifact's model gives for every row; nil where it cannot handle
// what is missing.
func (c *exportCase) predictAll(t *testing.T, a *artifact.Artifact, role artifact.Role) [][]float64 {
	t.Helper()
	m := &Model{Pipeline: a.Pipeline, Predictor: a.Models[role]}
	out := make([][]float64, len(c.rows))
	for i, x := range c.rows {
		if c.columns {
			out[i] = make([]float64, m.Predictor.Outputs())
			if err := m.Predictor.PredictInto(out[i], x); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if slices.ContainsFunc(x, math.IsNaN) && handlesNoMissing(a, x) {
			continue
		}
		out[i] = predictRow(t, m, x)
	}
	return out
}

// handlesNoMissing reports whether the model returns an error for the row.
func handlesNoMissing(a *artifact.Artifact, x []float64) bool {
	r, err := artifact.NewRunner(a)
	if err != nil {
		return false
	}
	h := feature.NewHistory(len(x), 1)
	h.Push(0, x)
	_, _, _, err = r.Predict(h, 0)
	return errors.Is(err, linear.ErrMissing) || errors.Is(err, neural.ErrMissing)
}

// TestExportReadsBack exports every kind of model, imports the file and holds the predictions to
// each other.
func TestExportReadsBack(t *testing.T) {
	worst := 0.0
	for _, c := range exportCases(t) {
		t.Run(c.name, func(t *testing.T) {
			b, err := ExportONNX(c.a)
			if err != nil {
				t.Fatal(err)
			}
			if again, _ := ExportONNX(c.a); !slices.Equal(b, again) {
				t.Error("two exports differ")
			}
			m, err := ImportBytes(b, Options{})
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Fatalf("reading back: %v, want %q", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			back := artifactOf(m.Kind, m.Pipeline, m.Predictor, m.Classes...)
			if !slices.Equal(m.Classes, c.a.Manifest.Output.Classes) {
				t.Errorf("classes %q, want %q", m.Classes, c.a.Manifest.Output.Classes)
			}
			want, d := c.predictAll(t, c.a, artifact.Point), c
			got := d.predictAll(t, back, artifact.Point)
			for i := range want {
				if (want[i] == nil) != (got[i] == nil) {
					t.Fatalf("row %d: %v, want %v", i, got[i], want[i])
				}
				w, g := want[i], got[i]
				if len(w) != len(g) {
					t.Fatalf("row %d: %v, want %v", i, g, w)
				}
				for k := range w {
					worst = max(worst, difference(g[k], w[k]))
					if difference(g[k], w[k]) > 1e-6 {
						t.Fatalf("row %d %v: %v, want %v", i, c.rows[i], g, w)
					}
				}
			}
		})
	}
	t.Logf("largest difference %.2g", worst)
}

// python finds an interpreter that has onnxruntime.
func python(t *testing.T) string {
	t.Helper()
	exe := os.Getenv("SKERRY_PYTHON")
	if exe == "" {
		exe = "python3"
	}
	if out, err := exec.Command(exe, "-c", "import onnxruntime, numpy").CombinedOutput(); err != nil {
		t.Skipf("%s cannot import onnxruntime and numpy (%v, %.100s): pip install onnxruntime numpy, or name another Python in SKERRY_PYTHON", exe, err, out)
	}
	return exe
}

// TestExportInRuntime holds onnxruntime's predictions with exported files to this program's.
func TestExportInRuntime(t *testing.T) {
	exe, dir := python(t), t.TempDir()
	cases := exportCases(t)
	for _, c := range cases {
		b, err := ExportONNX(c.a)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		rows := make([][]*float64, len(c.rows))
		for i, row := range c.rows {
			for _, x := range row {
				var p *float64
				if !math.IsNaN(x) {
					p = &x
				}
				rows[i] = append(rows[i], p)
			}
		}
		text, err := json.Marshal(rows)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.WriteFile(filepath.Join(dir, c.name+".onnx"), b, 0o644), os.WriteFile(filepath.Join(dir, c.name+".rows.json"), text, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(exe, filepath.Join("testdata", "run.py"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	worst := 0.0
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(dir, c.name+".out.json"))
			if err != nil {
				t.Fatal(err)
			}
			var res struct {
				Out, Lower, Upper [][]*float64
				Label             []string
				Error             string
			}
			if err := json.Unmarshal(text, &res); err != nil {
				t.Fatalf("%v in %.200s", err, text)
			}
			if res.Error != "" {
				t.Fatalf("onnxruntime: %s", res.Error)
			}
			for role, out := range map[artifact.Role][][]*float64{artifact.Point: res.Out, artifact.Lower: res.Lower, artifact.Upper: res.Upper} {
				if c.a.Models[role] == nil {
					continue
				}
				want := c.predictAll(t, c.a, role)
				for i := range want {
					if want[i] == nil {
						continue
					}
					w := spread(want[i], len(out[i]))
					if len(w) != len(out[i]) {
						t.Fatalf("%s row %d: onnxruntime gives %d numbers, want %d", role, i, len(out[i]), len(w))
					}
					for k := range w {
						d := difference(floatOf(out[i][k]), w[k])
						if worst = max(worst, d); d > 1e-6 {
							t.Fatalf("%s row %d %v output %d: onnxruntime gives %v, want %v", role, i, c.rows[i], k, floatOf(out[i][k]), w[k])
						}
					}
				}
			}
			if classes := c.a.Manifest.Output.Classes; classes != nil && !slices.Contains(classes, res.Label[0]) {
				t.Errorf("label %q, the classes are %q", res.Label[0], classes)
			}
		})
	}
	t.Logf("largest difference %.2g", worst)
}
