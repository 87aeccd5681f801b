package replay

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"skerry.dev/agent/source"
	"skerry.dev/compute/artifact"
	"skerry.dev/compute/engine"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/linear"
	"skerry.dev/sync/spec"
)

const levelTask = `
task: level
kind: forecast
target: {series: y, horizon: 1h}
inputs:
  - {series: y, topic: t, path: $.y, range: [0, 100]}
  - {series: x, topic: t, path: $.x}
time: {path: $.ts, max_future: 5m}
rows: {on: y, max_age: 3h, lateness: 10m, idle: 1m}
`

func levelSpec(t *testing.T) *spec.Task {
	t.Helper()
	tk, err := spec.ParseTask("level.yaml", strings.NewReader(levelTask))
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// rising predicts that the next hour rises by add.
func rising(t *testing.T, add float64) *artifact.Artifact {
	t.Helper()
	in := []feature.Input{{Name: "y"}, {Name: "x"}}
	zero := 0.0
	cols := []feature.Column{{Name: "d", Op: feature.OpDiff, Lag: 3600e6, Impute: &zero}}
	m, err := linear.New(1, ensemble.Identity, []float64{add}, []float64{0})
	if err != nil {
		t.Fatal(err)
	}
	return &artifact.Artifact{
		Manifest: artifact.Manifest{
			Task:      "level",
			Kind:      artifact.KindForecast,
			HorizonUS: 3600e6,
			Inputs:    in,
			Output:    artifact.Output{Series: "y"},
			Learner:   "linear",
		},
		Pipeline:    &feature.Pipeline{Inputs: in, Tolerance: 1800e6, Rows: 4, Columns: cols},
		Models:      map[artifact.Role]artifact.Predictor{artifact.Point: m},
		Calibration: artifact.Calibration{Level: 0.5, Scores: []float64{1, 2, 3}},
		Digest:      strings.Repeat("a", 64),
	}
}

// TestFileByHand replays ten lines whose figures can be told without a program.
func TestFileByHand(t *testing.T) {
	const text = `ts,y,x
2024-01-01T00:00:00Z,10,1
2024-01-01T01:00:00Z,12,1
2024-01-01T01:00:00Z,12,1
2024-01-01T01:00:00Z,13,
2024-01-01T02:00:00Z,14,2
2024-01-01T03:00:00Z,500,2
2024-01-01T04:00:00Z,18,
2024-01-01T03:30:00Z,17,
2024-01-01T05:00:00Z,20,3
2024-01-01T06:00:00Z,22,3
`
	var rows []int64
	var truths []float64
	s, err := File(t.Context(), file(t, text), source.FileOptions{}, Options{
		Task:       levelSpec(t),
		Prediction: func(p engine.Prediction) error { rows = append(rows, p.Row); return nil },
		Label:      func(l engine.Label) error { truths = append(truths, l.Truth); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	// the repeat is dropped (twice: y and x), the other value of 1:00 is a conflict, 500 is out of
	// range and makes no row, 3:30 comes behind the watermark of 4:00 less ten minutes
	if s.Messages != 10 || s.Repeats != 2 || s.Conflicts != 1 || s.OutOfRange != 1 || s.Late != 1 || s.Future != 0 {
		t.Errorf("messages %d, repeats %d, conflicts %d, out of range %d, late %d", s.Messages, s.Repeats, s.Conflicts, s.OutOfRange, s.Late)
	}
	const hour = 3600e6
	began := int64(1704067200e6)
	for i, h := range []int64{0, 1, 2, 4, 5, 6} {
		if i >= len(rows) || rows[i] != began+h*hour {
			t.Fatalf("rows at %v, want 0, 1, 2, 4, 5 and 6 h: the last although its lateness is not over", rows)
		}
	}
	if len(rows) != 6 || s.Rows != 6 || s.Predictions != 6 {
		t.Errorf("%d predictions, %+v", len(rows), s)
	}
	// 12, 14, 20 and 22 come an hour after a row; the truth of the row at 2:00 was out of range
	if len(truths) != 4 || truths[0] != 12 || truths[1] != 14 || truths[2] != 20 || truths[3] != 22 || s.Labels != 4 || s.MAELast != 2 {
		t.Errorf("truths %v, mean error of the last value %v, want 12, 14, 20, 22 and 2", truths, s.MAELast)
	}
	if s.From.Unix() != began/1e6 || s.To.Unix() != began/1e6+6*3600 {
		t.Errorf("from %s to %s", s.From, s.To)
	}
}

// TestFileWithModel activates a model on the way: its own error is 0, as it is made for the file.
func TestFileWithModel(t *testing.T) {
	var b strings.Builder
	b.WriteString("hour,y,x\n")
	for i := range 60 {
		b.WriteString(strings.Join([]string{strconv.Itoa(i * 3600), strconv.Itoa(i), "1"}, ",") + "\n")
	}
	path := file(t, b.String())
	files := source.FileOptions{Time: "hour", Format: "unix"}
	opts := Options{Task: levelSpec(t), Model: rising(t, 1), ActivateAt: 20 * 3600e6}
	s, err := File(t.Context(), path, files, opts)
	if err != nil {
		t.Fatal(err)
	}
	if m := s.Model; m == nil || m.Labels < 35 || m.MAE != 0 || m.Last != 1 || m.ActivatedAt.Unix() != 20*3600 || m.Seen != 0 {
		t.Errorf("model %+v", s.Model)
	}
	for name, w := range s.Weights {
		if name != "model" && w >= s.Weights["model"] {
			t.Errorf("weights %v: a model that is always right has the largest", s.Weights)
		}
	}

	opts.ActivateAt = 1e15
	if _, err := File(t.Context(), path, files, opts); err == nil || !strings.Contains(err.Error(), "never activated") {
		t.Errorf("a model that begins after the file = %v", err)
	}
	opts.Model = rising(t, 1)
	opts.Model.Manifest.HorizonUS *= 2
	if _, err := File(t.Context(), path, files, opts); err == nil || !strings.Contains(err.Error(), "2h0m0s ahead") {
		t.Errorf("a model of another horizon = %v", err)
	}
	for text, want := range map[string]string{"hour,y\n": "no reading", "hour,z\n1,2\n": "none of the columns"} {
		if _, err := File(t.Context(), file(t, text), files, Options{Task: levelSpec(t)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("File(%q) = %v, want %q", text, err, want)
		}
	}
	broken := errors.New("disk full")
	for name, o := range map[string]Options{
		"label":      {Task: levelSpec(t), Label: func(engine.Label) error { return broken }},
		"prediction": {Task: levelSpec(t), Prediction: func(engine.Prediction) error { return broken }},
	} {
		if _, err := File(t.Context(), path, files, o); !errors.Is(err, broken) {
			t.Errorf("an error of the %s's visitor = %v", name, err)
		}
	}
}

// TestPredictByHand runs rows out of order, outside the range, and around the calibration.
func TestPredictByHand(t *testing.T) {
	a := rising(t, 3)
	var got []Prediction
	o := PredictOptions{Name: "f", Task: levelSpec(t), Format: "unix"}
	n, err := Predict(t.Context(), strings.NewReader("time,y,x\n7200,20,1\n0,10,1\n3600,900,1\n"), a, o, func(i, n int, p *Prediction) error {
		got = append(got, *p)
		return nil
	})
	if err != nil || n != 3 || len(got) != 3 {
		t.Fatalf("Predict = %d, %v, %d visits", n, err, len(got))
	}
	times := []int64{7200e6, 0, 3600e6}
	for i, want := range []float64{23, 13, math.NaN()} { // 900 is no value of y
		p := got[i]
		if p.Row != i || p.Time != times[i] {
			t.Errorf("prediction %d is of row %d at %d", i, p.Row, p.Time)
		}
		if p.Value != want && !math.IsNaN(want) || math.IsNaN(want) && !math.IsNaN(p.Value) {
			t.Errorf("prediction %d = %v, want %v", i, p.Value, want)
		}
		if !math.IsNaN(want) && (p.Lower != want-2 || p.Upper != want+2) {
			t.Errorf("prediction %d in %v to %v, want the median score of 2 on both sides of %v", i, p.Lower, p.Upper, want)
		}
	}
	got = nil
	var notes []string
	o.Table.Note = func(s string) { notes = append(notes, s) }
	if n, err := Predict(t.Context(), strings.NewReader("time,y\n1,\n,5\nsoon,5\n7,high\n9,20\n"), a, o, func(i, n int, p *Prediction) error {
		got = append(got, *p)
		return nil
	}); err != nil || n != 5 || !math.IsNaN(got[0].Value) || !math.IsNaN(got[1].Value) || got[1].Time != frame.NoTime || !math.IsNaN(got[3].Value) || got[4].Value != 23 || len(notes) < 3 {
		t.Errorf("Predict of rows without values = %d, %v, %+v, notes %q", n, err, got, notes)
	}
	for text, want := range map[string]string{
		"time,y\n":          "there is no row",
		"time,z\n1,2\n":     "none of the columns is an input",
		"when,y\n1,2\n":     "name it by --time",
		"time,Y.,y-\n1,2,3": `"Y." or column "y-"`,
	} {
		if _, err := Predict(t.Context(), strings.NewReader(text), a, o, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Predict(%q) = %v, want %q", text, err, want)
		}
	}
	o.Columns = map[string]string{"z": "y"}
	if n, err := Predict(t.Context(), strings.NewReader("time,z,y\n1,20,0\n"), a, o, func(_, _ int, p *Prediction) error {
		if p.Value != 23 {
			t.Errorf("a mapped column gives %v, want 23", p.Value)
		}
		return nil
	}); n != 1 || err != nil {
		t.Errorf("Predict of a mapped column = %d, %v", n, err)
	}
}

// TestTimelessOps asks about every op there is: those of the row, and no other, do without a time.
func TestTimelessOps(t *testing.T) {
	row := []feature.Op{"value", "missing", "onehot", "table", "ratio", "difference", "product", "out_of_range", "cross", "place", "expr", "module"}
	for _, op := range feature.Ops() {
		p := &feature.Pipeline{Columns: []feature.Column{{Op: feature.OpValue}, {Op: op}}}
		if got, want := timeless(p), slices.Contains(row, op); got != want {
			t.Errorf("timeless of op %q = %v, want %v", op, got, want)
		}
	}
	if timeless(&feature.Pipeline{Columns: []feature.Column{{Op: feature.OpModule, Rows: 2}}}) {
		t.Error("a module over two rows is timeless")
	}
}
