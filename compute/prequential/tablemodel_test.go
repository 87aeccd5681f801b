package prequential

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
	"skerry.dev/compute/tabular"
)

// trained is an artifact over x and kind: of a regression, 2x plus the number of the kind's
// category; of a classification with these classes, the last one by 1/(1+e^-4x).
func trained(t *testing.T, classes ...string) *artifact.Artifact {
	t.Helper()
	in := []feature.Input{{Name: "x"}, {Name: "kind", Categories: []string{"blue", "red"}}}
	kind, link, bias, weights := artifact.KindRegression, ensemble.Identity, []float64{0}, []float64{2, 1}
	if len(classes) > 0 {
		kind, link = artifact.KindClassification, ensemble.Softmax
		bias, weights = make([]float64, len(classes)), make([]float64, 2*len(classes))
		weights[2*len(classes)-2] = 4
	}
	m, err := linear.New(2, link, bias, weights)
	if err != nil {
		t.Fatal(err)
	}
	a := &artifact.Artifact{
		Manifest: artifact.Manifest{
			Task:    "t",
			Kind:    kind,
			Inputs:  in,
			Output:  artifact.Output{Series: "y", Input: -1, Classes: classes},
			Learner: "linear",
			Rows:    1,
		},
		Pipeline: &feature.Pipeline{Inputs: in, Rows: 1, Columns: []feature.Column{
			{Name: "x", Op: feature.OpValue, Series: 0},
			{Name: "kind", Op: feature.OpValue, Series: 1},
		}},
		Models: map[artifact.Role]artifact.Predictor{artifact.Point: m},
	}
	b, err := artifact.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	if a, err = artifact.DecodeBytes(b); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestTableModel runs a model that is exactly right beside learners: alone it has no error on any
// row, whatever order the file has its columns and categories in, and the mixture follows it.
func TestTableModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	var b strings.Builder
	b.WriteString("kind,y,x\n") // red is the first category of the file, and the second of the model
	for i := range 600 {
		x, kind := rng.NormFloat64(), i%3%2
		fmt.Fprintf(&b, "%s,%v,%v\n", []string{"red", "blue"}[kind], 2*x+float64(1-kind), x)
	}
	rows, worst := 0, 0.0
	r := prequentially(t, b.String(), TableOptions{Target: "y", Model: trained(t), Learners: []string{"linear"}, Seed: 1,
		Visit: func(r *TableRow) error {
			rows++
			worst = max(worst, r.ModelLoss)
			return nil
		}})
	if rows != 600 || worst > 1e-12 || math.IsNaN(worst) {
		t.Errorf("the model's largest error is %g on %d rows, want none on 600", worst, rows)
	}
	if len(r.Experts) < 3 || r.Experts[0].Loss > 1e-9 || r.Experts[0].Weight < 0.4 {
		t.Errorf("experts %+v, want the model first, without loss and with the largest weight", r.Experts)
	}
}

// TestTableModelClasses gives the table a class that the model does not have: it keeps a share too
// small to matter and large enough for a finite loss, and the shares add up to one.
func TestTableModelClasses(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	var b strings.Builder
	b.WriteString("x,kind,y\n")
	for i := range 600 {
		x := rng.NormFloat64()
		y := map[bool]string{true: "up", false: "down"}[x > 0]
		if i%60 == 59 {
			y = "broken"
		}
		fmt.Fprintf(&b, "%v,%s,%s\n", x, []string{"red", "blue"}[i%2], y)
	}
	r := prequentially(t, b.String(), TableOptions{Target: "y", Model: trained(t, "down", "up"), Learners: []string{"linear"}, Seed: 1,
		Visit: func(r *TableRow) error {
			if !(r.ModelLoss >= 0) || math.IsInf(r.ModelLoss, 0) {
				t.Fatalf("row %d: the model's loss is %v, want it finite", r.Row, r.ModelLoss)
			}
			if broken := r.Row%60 == 59; broken != (r.ModelLoss > 6) {
				t.Fatalf("row %d: the model's loss is %v, want it large for a class that it does not have only", r.Row, r.ModelLoss)
			}
			return nil
		}})
	if a := *r.Metrics.Accuracy; a < 0.93 {
		t.Errorf("accuracy %v, want about that of the model, 0.98", a)
	}
}

// TestTableModelRefused names what of a model does not fit the table.
func TestTableModelRefused(t *testing.T) {
	const numbers, classes = "x,kind,y\n1,red,2.5\n2,blue,4.5\n3,red,1\n", "x,kind,y\n1,red,up\n2,blue,down\n3,red,up\n"
	for name, tt := range map[string]struct {
		text  string
		model *artifact.Artifact
		want  string
	}{
		"another kind":         {classes, trained(t), "the model is a regression, the target a classification"},
		"a column is missing":  {strings.ReplaceAll(numbers, "kind", "sort"), trained(t), `the model needs a column "kind"`},
		"texts for numbers":    {numbers + strings.Repeat("three,red,1\n", 30), trained(t), `column "x" must hold a number in each row`},
		"one text for numbers": {numbers + "three,red,1\n", trained(t), `note: column "x": 1 of 4 cells is no number and counts as missing: the first is line 5, "three"`},
		"numbers for a text":   {strings.NewReplacer("red", "1", "blue", "2").Replace(numbers), trained(t), `note: column "kind": 3 cells are categories that the model does not know`},
		"none of its classes":  {classes, trained(t, "low", "high"), "the model has the classes low, high, the target holds"},
		"one class of it only": {classes, trained(t, "down", "high"), ""},
	} {
		notes := ""
		_, err := Table(context.Background(), strings.NewReader(tt.text), TableOptions{Name: "test.csv", Target: "y", Model: tt.model, Table: tabular.Options{Note: func(s string) { notes += "note: " + s + "\n" }}})
		if note, ok := strings.CutPrefix(tt.want, "note: "); ok {
			if err != nil || !strings.Contains(notes, note) {
				t.Errorf("%s: Table = %v, notes %q, want %q", name, err, notes, note)
			}
			continue
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Table = %v, want %q", name, err, tt.want)
		}
	}
}
