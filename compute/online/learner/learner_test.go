package learner_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/online"
	"skerry.dev/compute/online/committee"
	"skerry.dev/compute/online/learner"
	"skerry.dev/compute/state"
)

func TestEveryNameMakesALearner(t *testing.T) {
	classes := online.Schema{Inputs: []online.Input{{Name: "a"}, {Name: "b", Categories: 3}}, Classes: 2}
	numbers := classes
	numbers.Classes = 0
	if len(learner.Describe()) < len(learner.Names(true)) || len(learner.Names(false)) == 0 {
		t.Fatal("names are missing")
	}
	for _, name := range learner.Names(true) {
		c, err := learner.Classifier(name, classes, nil, 1)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for range 20 {
			c.Learn([]float64{1, 2}, 1, 1)
		}
		p := make([]float64, 2)
		if c.Classify(p, []float64{1, 2}); !(p[1] > 0.5) {
			t.Errorf("%s: probabilities %v after twenty rows of class 1", name, p)
		}
	}
	for _, name := range learner.Names(false) {
		r, err := learner.Regressor(name, numbers, nil, 1)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i := range 200 {
			r.Learn([]float64{1, 2}, 9.5+float64(i%2), 1)
		}
		if y := r.Predict([]float64{1, 2}); y < 9 || y > 11 {
			t.Errorf("%s: predicts %v after targets of 9.5 and 10.5", name, y)
		}
	}
}

func TestBadNamesAndSettings(t *testing.T) {
	s := online.Schema{Inputs: []online.Input{{Name: "a"}}, Classes: 2}
	for _, c := range []struct {
		name string
		set  learner.Settings
		want string
	}{
		{"tree", nil, "must be one of adaptive-forest"},
		{"hoeffding-tree", learner.Settings{"gracious": "3"}, `there is no setting "gracious": it has grace, delta`},
		{"hoeffding-tree", learner.Settings{"grace": "many"}, `setting grace="many": must be a number`},
		{"knn", learner.Settings{"k": "1.5"}, "must be a whole number"},
		{"knn", learner.Settings{"k": "1000"}, "must be 1 to 100"},
		{"naive-bayes", learner.Settings{"k": "1"}, "it has none"},
		{"linear", learner.Settings{"rate": "-1"}, "rate is -1"},
	} {
		if _, err := learner.Classifier(c.name, s, c.set, 1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Classifier(%s, %v): %v, want %q", c.name, c.set, err, c.want)
		}
	}
	s.Classes = 0
	if _, err := learner.Regressor("naive-bayes", s, nil, 1); err == nil || !strings.Contains(err.Error(), "does not learn numbers: choose one of") {
		t.Errorf("Regressor(naive-bayes): %v", err)
	}
}

// schema has a number and a category, and Recent columns behind them when labels is set.
func schema(classes int, labels bool) online.Schema {
	s := online.Schema{Inputs: []online.Input{{Name: "a"}, {Name: "b", Categories: 3}}, Classes: classes}
	if labels {
		s.Inputs = append(s.Inputs, online.Input{Name: "label-1"}, online.Input{Name: "label-2"})
	}
	return s
}

// TestKnown holds that Known, Names, Describe and the constructors agree about what there is.
func TestKnown(t *testing.T) {
	help := strings.Join(learner.Describe(), "\n") + "\n"
	for _, classes := range []bool{true, false} {
		names := learner.Names(classes)
		for _, name := range append(learner.Names(true), learner.Names(false)...) {
			var err error
			if classes {
				_, err = learner.Classifier(name, schema(2, false), nil, 1)
			} else {
				_, err = learner.Regressor(name, schema(0, false), nil, 1)
			}
			listed := slices.Contains(names, name)
			if known := learner.Known(name, classes); (known == nil) != listed || (err == nil) != listed {
				t.Errorf("%s for classes %v: listed %v, Known = %v, made with %v", name, classes, listed, known, err)
			}
			line := help[strings.Index(help, name):]
			line = line[:strings.IndexByte(line, '\n')]
			if kind := map[bool]string{true: "classes", false: "numbers"}[classes]; listed && !strings.Contains(line[strings.LastIndexByte(line, '('):], kind) {
				t.Errorf("%s learns %s, the help text is %q", name, kind, line)
			}
		}
		if err := learner.Known("oracle", classes); err == nil || !strings.Contains(err.Error(), `learner "oracle": must be one of `+names[0]) {
			t.Errorf("Known(oracle) = %v, want the names that there are", err)
		}
	}
}

// TestGrows holds that max_bytes is a setting of the learners that grow and of no others, and
// that it bounds them.
func TestGrows(t *testing.T) {
	for _, name := range learner.Names(true) {
		_, err := learner.Classifier(name, schema(2, false), learner.Settings{"max_bytes": "1048576"}, 1)
		if grows := learner.Grows(name); grows != (err == nil) {
			t.Errorf("Grows(%s) = %v, but with max_bytes it is made with %v", name, grows, err)
		}
	}
	if learner.Grows("oracle") {
		t.Error("Grows(oracle) = true, want false: there is none")
	}
}

// TestSettingsReachTheLearner gives every learner one setting that must show in its predictions
// or in its size.
func TestSettingsReachTheLearner(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var x [][]float64
	for range 600 {
		x = append(x, []float64{rng.NormFloat64(), float64(rng.IntN(3))})
	}
	trained := func(name string, set learner.Settings) []byte {
		r, err := learner.Regressor(name, schema(0, false), set, 7)
		if err != nil {
			t.Fatalf("%s with %v: %v", name, set, err)
		}
		for _, row := range x {
			r.Learn(row, 3*row[0]+row[1], 1)
		}
		var w state.Writer
		r.Save(&w)
		return w.B
	}
	for name, set := range map[string]learner.Settings{
		"adaptive-forest":    {"trees": "3"},
		"mondrian-forest":    {"trees": "3"},
		"hoeffding-tree":     {"grace": "20"},
		"knn":                {"window": "50"},
		"linear":             {"rate": "0.5"},
		"linear-sgd":         {"l2": "0.1"},
		"ftrl":               {"l1": "2"},
		"passive-aggressive": {"c": "0.001"},
	} {
		plain := trained(name, nil)
		if again := trained(name, learner.Settings{}); !bytes.Equal(plain, again) {
			t.Errorf("%s: two with the same seed differ", name)
		}
		if bytes.Equal(plain, trained(name, set)) {
			t.Errorf("%s: %v changes nothing", name, set)
		}
	}
	set := learner.Settings{"k": "3"}
	if _, err := learner.Regressor("knn", schema(0, false), set, 1); err != nil || set["k"] != "3" {
		t.Errorf("Regressor(knn) = %v and leaves the settings %v, want them as they were", err, set)
	}
}

// TestAuto holds who is in the committee when no learner was chosen, that each is seeded by
// itself, and that those without labels never see one.
func TestAuto(t *testing.T) {
	for _, tt := range []struct {
		classes int
		want    []string
	}{
		{2, []string{"leveraging-bagging", "adaptive-forest+labels", "mondrian-forest", "linear+labels", "knn", "last"}},
		{0, []string{"adaptive-forest+labels", "mondrian-forest", "linear+labels", "linear", "knn", "last"}},
	} {
		members, err := learner.Auto(schema(tt.classes, true), 2, 1)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, m := range members {
			names = append(names, m.Name)
			if (m.Class != nil) != (tt.classes > 0 && m.Name != learner.Last) || (m.Value != nil) != (tt.classes == 0 && m.Name != learner.Last) {
				t.Errorf("%d classes: %s has a classifier %v and a regressor %v", tt.classes, m.Name, m.Class != nil, m.Value != nil)
			}
		}
		if !slices.Equal(names, tt.want) {
			t.Errorf("Auto with %d classes = %q, want %q", tt.classes, names, tt.want)
		}
		for _, m := range members[:len(members)-1] {
			sees := seesLabels(m, tt.classes)
			if sees != strings.HasSuffix(m.Name, "+labels") {
				t.Errorf("%d classes: %s sees labels: %v", tt.classes, m.Name, sees)
			}
		}
	}
	if _, err := learner.Auto(schema(1, true), 2, 1); err == nil {
		t.Error("Auto of one class succeeds")
	}
}

// seesLabels trains a member on rows in which only the labels tell the target, and reports
// whether its prediction depends on them.
func seesLabels(m committee.Member, classes int) bool {
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 400 {
		x := []float64{rng.NormFloat64(), float64(i % 3), float64(i % 2), float64(i % 2)}
		if classes > 0 {
			m.Class.Learn(x, i%2, 1)
		} else {
			m.Value.Learn(x, float64(i%2), 1)
		}
	}
	predict := func(label float64) float64 {
		x := []float64{0.1, 1, label, label}
		if classes == 0 {
			return m.Value.Predict(x)
		}
		p := make([]float64, classes)
		m.Class.Classify(p, x)
		return p[1]
	}
	return predict(0) != predict(1)
}

// TestWithModel holds that the members which a model of the hub brings predict what it predicts
// before they have learned anything, and that both corrections learn, the quick one faster.
func TestWithModel(t *testing.T) {
	const at = 2 // behind the columns of the schema
	members, err := learner.WithModel(schema(0, false), at)
	if err != nil {
		t.Fatal(err)
	}
	if len(members) != 3 || members[0].Name != "model" || members[1].Name != "model+corrector" || members[2].Name != "model+slow-corrector" {
		t.Fatalf("WithModel = %+v", members)
	}
	if members[0].Class != nil || members[0].Value != nil || members[0].Prior != 2*members[1].Prior || members[1].Prior != members[2].Prior {
		t.Errorf("WithModel = %+v, want the model an outsider that counts twice a correction", members)
	}
	row := []float64{1, 2, 10}
	quick, slow := members[1].Value, members[2].Value
	if a, b := quick.Predict(row), slow.Predict(row); a != 10 || b != 10 {
		t.Errorf("corrections of nothing predict %v and %v, want the model's 10", a, b)
	}
	rng := rand.New(rand.NewPCG(8, 9))
	var quickErr, slowErr, modelErr float64
	for range 3000 { // the model's error is three times the first input
		x := []float64{rng.NormFloat64(), 2, 10}
		y := 10 + 3*x[0]
		quickErr += math.Abs(quick.Predict(x) - y)
		slowErr += math.Abs(slow.Predict(x) - y)
		modelErr += math.Abs(10 - y)
		quick.Learn(x, y, 1)
		slow.Learn(x, y, 1)
	}
	if !(quickErr < slowErr && slowErr < modelErr) {
		t.Errorf("errors over 3000 rows: quick correction %.0f, slow %.0f, model %.0f; want them in this order", quickErr, slowErr, modelErr)
	}

	members, err = learner.WithModel(schema(2, false), at)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]float64, 2)
	if members[1].Class.Classify(p, []float64{1, 2, 0.8, 0.2}); math.Abs(p[0]-0.8) > 1e-9 || math.Abs(p[1]-0.2) > 1e-9 {
		t.Errorf("a correction of nothing gives %v, want the model's 0.8 and 0.2", p)
	}
}
