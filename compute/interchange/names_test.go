package interchange

import (
	"errors"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
)

// TestDecisionValues: what a file gives instead of probabilities becomes probabilities, in the same
// order, and a note says so. testdata/scores.py writes the file.
func TestDecisionValues(t *testing.T) {
	b, err := os.ReadFile("testdata/scores.onnx")
	if err != nil {
		t.Fatal(err)
	}
	m, err := ImportBytes(b, Options{Inputs: []string{"left", "right"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Inputs; got[0].Name != "left" || got[1].Name != "right" || m.Pipeline.Inputs[1].Name != "right" || !slices.Equal(m.Classes, []string{"high", "low", "mid"}) {
		t.Errorf("inputs %v, classes %v", got, m.Classes)
	}
	if notes := strings.Join(m.Notes, "\n"); !strings.Contains(notes, "decision values for the classes, no probabilities: a softmax") {
		t.Errorf("notes %q", notes)
	}
	a, err := m.Artifact("t", "y")
	if err != nil {
		t.Fatal(err)
	}
	run, err := artifact.NewRunner(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		x    []float64
		want int
	}{{[]float64{3, 0}, 0}, {[]float64{-2, -2}, 1}, {[]float64{-2, 2}, 2}} {
		h := feature.NewHistory(2, 1)
		h.Push(0, c.x)
		y, _, _, err := run.Predict(h, 0)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, p := range run.Classes() {
			if sum += p; p < 0 || p > 1 {
				t.Errorf("%v: probability %v", c.x, p)
			}
		}
		if int(y) != c.want || math.Abs(sum-1) > 1e-12 {
			t.Errorf("%v: class %v, want %d; probabilities add up to %v", c.x, y, c.want, sum)
		}
	}
}

// TestNames refuses names that do not fit, with those that there are.
func TestNames(t *testing.T) {
	b, err := os.ReadFile("testdata/scores.onnx")
	if err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]Options{
		"1 names for 2 inputs: X_0, X_1":        {Inputs: []string{"a"}},
		`inputs: "a" is empty or given twice`:   {Inputs: []string{"a", "a"}},
		"2 names for 3 classes: high, low, mid": {Classes: []string{"a", "b"}},
		`classes: "" is empty or given twice`:   {Classes: []string{"a", "", "b"}},
	} {
		if _, err := ImportBytes(b, o); !errors.Is(err, ErrNames) || !strings.Contains(err.Error(), want) {
			t.Errorf("ImportBytes(%+v) = %v, want %q", o, err, want)
		}
	}
	m, err := ImportBytes(b, Options{Classes: []string{"x", "y", "z"}})
	if err != nil || !slices.Equal(m.Classes, []string{"x", "y", "z"}) {
		t.Errorf("classes %v, %v", m.Classes, err)
	}
}

// TestNamesInTheFile refuses a model whose inputs have no names of their own, which no table can be
// matched with, and takes it under other names.
func TestNamesInTheFile(t *testing.T) {
	for want, names := range map[string][]any{
		`inputs 1 and 2 of 2 are both named "a"`: {"a", "a"},
		"input 1 of 2 has no name":               {"", ""},
	} {
		m := smallXGBoost()
		m["learner"].(map[string]any)["feature_names"] = names
		for _, b := range [][]byte{jsonBytes(m), toUBJ(nil, m)} {
			if _, err := ImportBytes(b, Options{}); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), want) {
				t.Errorf("ImportBytes with the names %q = %v, want %q", names, err, want)
			}
			if _, err := ImportBytes(b, Options{Inputs: []string{"a", "b"}}); err != nil {
				t.Errorf("ImportBytes with the names %q and others in their place = %v", names, err)
			}
		}
	}
	line := regexp.MustCompile(`(?m)^feature_names=.*$`)
	twice := line.ReplaceAllFunc(peerModel(t, "lgb_constant"), func(l []byte) []byte {
		names := strings.Fields(string(l[len("feature_names="):]))
		names[len(names)-1] = names[0]
		return []byte("feature_names=" + strings.Join(names, " "))
	})
	if _, err := ImportBytes(twice, Options{}); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "are both named") {
		t.Errorf("ImportBytes of LightGBM's text with a name twice = %v, want it refused", err)
	}
}
