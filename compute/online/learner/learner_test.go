package learner_test

import (
	"strings"
	"testing"

	"skerry.dev/compute/online"
	"skerry.dev/compute/online/learner"
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
