package loop

import (
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
)

const hourUS = 3_600_000_000

// pack encodes an artifact for the task whose point model is p. Its features are y and x as they
// are.
func pack(t *testing.T, learner string, p artifact.Predictor) []byte {
	t.Helper()
	inputs := []feature.Input{{Name: "y", Unit: "bar"}, {Name: "x", Unit: "°C"}}
	zero := 0.0
	a := &artifact.Artifact{
		Manifest: artifact.Manifest{Task: task, Kind: artifact.KindForecast, HorizonUS: hourUS, Inputs: inputs, Learner: learner, Rows: 1000,
			Output: artifact.Output{Series: "y", Input: 0, Unit: "bar"}},
		Pipeline: &feature.Pipeline{Inputs: inputs, Rows: 2, Tolerance: hourUS / 2, Columns: []feature.Column{
			{Name: "y", Op: feature.OpValue, Series: 0, Impute: &zero}, {Name: "x", Op: feature.OpValue, Series: 1, Impute: &zero}}},
		Models: map[artifact.Role]artifact.Predictor{artifact.Point: p},
	}
	b, err := artifact.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// weighted predicts the change bias + wy·y + wx·x.
func weighted(t *testing.T, bias, wy, wx float64) *linear.Model {
	t.Helper()
	m, err := linear.New(2, ensemble.Identity, []float64{bias}, []float64{wy, wx})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// goodModel knows how the series returns to 50.
func goodModel(t *testing.T) []byte { return pack(t, "linear", weighted(t, 15, -0.3, 0)) }

// constantModel says 80 whatever happens.
func constantModel(t *testing.T) []byte { return pack(t, "linear", weighted(t, 80, -1, 0)) }

// nanModel passes the decoder, which takes finite parameters only, and overflows to Inf - Inf on
// real rows.
func nanModel(t *testing.T) []byte { return pack(t, "linear", weighted(t, 15, 1e308, -1e308)) }

// slowModel predicts what goodModel predicts, by way of a great many nodes: every tree is a long
// staircase that each row descends to its end.
func slowModel(t *testing.T, trees int) []byte {
	t.Helper()
	const steps = 60
	rng := rand.New(rand.NewPCG(3, 3))
	var all []ensemble.Tree
	for range trees {
		var tree ensemble.Tree
		for s := range steps { // an inner node at 2s, its leaf at 2s+1
			tree = append(tree, ensemble.Node{Feature: rng.IntN(2), Threshold: -1e6 + rng.Float64(), Left: 2*s + 1, Right: 2*s + 2}, ensemble.Node{})
		}
		all = append(all, append(tree, ensemble.Node{}))
	}
	for k := range 100 { // coarse steps of -0.3·(y-50)
		edge := 30 + 0.4*float64(k)
		all = append(all, ensemble.Tree{{Feature: 0, Threshold: edge, Left: 1, Right: 2}, {Value: 0.06}, {Value: -0.06}})
	}
	m, err := ensemble.New(2, ensemble.Identity, []float64{0}, false, all)
	if err != nil {
		t.Fatal(err)
	}
	return pack(t, "gbdt", m)
}
