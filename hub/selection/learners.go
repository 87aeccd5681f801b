package selection

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/forest"
	"skerry.dev/compute/gbdt"
	"skerry.dev/compute/linear/linearfit"
	"skerry.dev/compute/neural/neuralfit"
)

// config is a learner with its settings.
type config struct {
	learner string
	params  map[string]float64
}

func (c config) key() string {
	s := c.learner
	for _, k := range slices.Sorted(maps.Keys(c.params)) {
		s += fmt.Sprintf(" %s=%s", k, strconv.FormatFloat(c.params[k], 'g', -1, 64))
	}
	return s
}

// job is one training: rows to learn from, rows to stop early by (may be none), and how many
// rounds when there are none.
type job struct {
	config
	train, valid []int32
	rounds       int
	alpha        float64 // quantile to predict instead of the point; 0 for the point
	bytes        int64   // the model should not be larger
	seed         uint64
}

// learner trains one kind of model. scaled reports that it requires the dense view.
type learner struct {
	name   string
	scaled bool
	fit    func(ctx context.Context, t *table, v *view, j job) (m artifact.Predictor, rounds int, err error)
	// first are the settings tried before any random ones; draw makes a random one.
	first []map[string]float64
	draw  func(rng *rand.Rand) map[string]float64
}

// learners by name, in the order in which they are tried.
var learners = []learner{gbdtLearner, linearLearner, mlpLearner, forestLearner}

// Learners lists what Options.Learners may name.
func Learners() []string {
	var names []string
	for _, l := range learners {
		names = append(names, l.name)
	}
	return names
}

func learnerOf(name string) *learner {
	for i := range learners {
		if learners[i].name == name {
			return &learners[i]
		}
	}
	return nil
}

var gbdtLearner = learner{
	name: "gbdt",
	fit:  fitGBDT,
	first: []map[string]float64{
		{"rate": 0.1, "leaves": 31, "min_rows": 40, "features": 0.7, "rows": 0.8, "l2": 1},
		{"rate": 0.06, "leaves": 31, "min_rows": 100, "features": 0.5, "rows": 0.7, "l2": 5},
		{"rate": 0.1, "leaves": 15, "min_rows": 40, "features": 0.6, "rows": 0.8, "l2": 1},
	},
	draw: func(rng *rand.Rand) map[string]float64 {
		return map[string]float64{
			"rate":     []float64{0.05, 0.07, 0.1, 0.15}[rng.IntN(4)],
			"leaves":   []float64{7, 15, 31, 47}[rng.IntN(4)],
			"min_rows": []float64{5, 10, 20, 50, 100, 200}[rng.IntN(6)],
			"features": []float64{0.3, 0.5, 0.7, 1}[rng.IntN(4)],
			"rows":     []float64{0.6, 0.8, 1}[rng.IntN(3)],
			"l2":       []float64{0, 1, 5, 20}[rng.IntN(4)],
		}
	},
}

const (
	maxRounds = 300
	patience  = 20
)

func fitGBDT(ctx context.Context, t *table, v *view, j job) (artifact.Predictor, int, error) {
	outputs := 1
	p := gbdt.Params{
		Objective:       gbdt.Absolute,
		LearningRate:    j.params["rate"],
		Leaves:          int(j.params["leaves"]),
		MinRows:         int(j.params["min_rows"]),
		FeatureFraction: j.params["features"],
		RowFraction:     j.params["rows"],
		L2:              j.params["l2"],
		EarlyStop:       patience,
		Seed:            j.seed,
		Threads:         t.threads,
	}
	switch {
	case j.alpha != 0:
		p.Objective, p.Alpha = gbdt.Quantile, j.alpha
	case t.p.squared():
		p.Objective = gbdt.Squared
	case t.p.Kind == artifact.KindClassification && len(t.p.Classes) == 2:
		p.Objective = gbdt.Logistic
	case t.p.Kind == artifact.KindClassification:
		p.Objective, p.Classes, outputs = gbdt.Softmax, len(t.p.Classes), len(t.p.Classes)
	}
	// A tree takes 16 bytes for each of its nodes, twice its leaves.
	p.Rounds = max(10, min(maxRounds, int(j.bytes)/(32*p.Leaves*outputs)))
	if len(j.valid) == 0 {
		p.Rounds = max(1, min(p.Rounds, j.rounds))
	}
	bins, err := t.bins(v)
	if err != nil {
		return nil, 0, err
	}
	m, err := gbdt.Train(ctx, gbdt.Data{X: bins, Y: t.y, Train: j.train, Valid: j.valid}, p)
	if err != nil {
		return nil, 0, err
	}
	return m.Ensemble, m.Rounds, nil
}

// grownRounds corrects a number of rounds found on part of the rows for more rows: more data bear
// a little more detail.
func grownRounds(rounds int, from, to int) int {
	return int(math.Round(float64(rounds) * min(1.2, math.Pow(float64(to)/float64(max(from, 1)), 0.3))))
}

var linearLearner = learner{
	name:   "linear",
	scaled: true,
	fit: func(ctx context.Context, t *table, v *view, j job) (artifact.Predictor, int, error) {
		p := linearfit.Params{Objective: linearfit.Quantile, Alpha: 0.5, L2: j.params["l2"], Iterations: 12}
		if t.p.squared() {
			p = linearfit.Params{Objective: linearfit.Squared, L2: j.params["l2"]}
		}
		if t.p.Kind == artifact.KindClassification {
			p.Objective, p.Classes, p.Iterations = linearfit.Softmax, len(t.p.Classes), 100
		}
		m, err := linearfit.Train(ctx, linearfit.Data{X: v.x, Cols: v.width(), Y: t.y, Rows: j.train}, p)
		if err != nil {
			return nil, 0, err
		}
		return m, 0, nil
	},
	first: []map[string]float64{{"l2": 1e-3}, {"l2": 0.1}},
}

var mlpLearner = learner{
	name:   "mlp",
	scaled: true,
	fit: func(ctx context.Context, t *table, v *view, j job) (artifact.Predictor, int, error) {
		h := int(j.params["hidden"])
		p := neuralfit.Params{
			Objective:    neuralfit.Quantile,
			Alpha:        0.5,
			Hidden:       []int{h, max(h/2, 1)},
			Epochs:       mlpEpochs,
			Batch:        256,
			Patience:     4,
			LearningRate: j.params["rate"],
			WeightDecay:  j.params["decay"],
			Seed:         j.seed,
		}
		if t.p.squared() {
			p.Objective, p.Alpha = neuralfit.Squared, 0
		}
		if t.p.Kind == artifact.KindClassification {
			p.Objective, p.Classes = neuralfit.Softmax, len(t.p.Classes)
		}
		if len(j.valid) == 0 {
			p.Epochs = max(1, j.rounds)
		}
		m, err := neuralfit.Train(ctx, neuralfit.Data{
			X:     v.x,
			Cols:  v.width(),
			Y:     t.y,
			Train: j.train,
			Valid: j.valid,
		}, p)
		if err != nil {
			return nil, 0, err
		}
		return m.Network, m.Epochs, nil
	},
	first: []map[string]float64{{"hidden": 32, "rate": 2e-3, "decay": 1e-2}, {"hidden": 64, "rate": 1e-3, "decay": 1e-2}},
	draw: func(rng *rand.Rand) map[string]float64 {
		return map[string]float64{"hidden": []float64{16, 32, 48, 64}[rng.IntN(4)], "rate": []float64{5e-4, 1e-3, 2e-3, 4e-3}[rng.IntN(4)],
			"decay": []float64{1e-4, 1e-2, 0.1}[rng.IntN(3)]}
	},
}

// mlpEpochs is few: the data of a fleet repeat themselves, and a step costs far more than one of
// boosting.
const mlpEpochs = 16

var forestLearner = learner{
	name: "forest",
	fit: func(ctx context.Context, t *table, v *view, j job) (artifact.Predictor, int, error) {
		p := forest.Params{
			Extra:     j.params["extra"] == 1,
			Trees:     int(j.params["trees"]),
			MinRows:   int(j.params["min_rows"]),
			RowsShare: 0.5,
			Seed:      j.seed,
			Threads:   t.threads,
		}
		perNode := 16
		if t.p.Kind == artifact.KindClassification {
			p.Classes = len(t.p.Classes)
			perNode += 4 * p.Classes // half of the nodes are leaves with a share for each class
		}
		p.Leaves = max(2, min(2048, int(j.bytes)/(2*perNode*max(p.Trees, 1))))
		bins, err := t.bins(v)
		if err != nil {
			return nil, 0, err
		}
		m, err := forest.Train(ctx, forest.Data{X: bins, Y: t.y, Train: j.train}, p)
		if err != nil {
			return nil, 0, err
		}
		return m.Ensemble, 0, nil
	},
	first: []map[string]float64{{"trees": 60, "min_rows": 5, "extra": 1}, {"trees": 40, "min_rows": 10}},
}
