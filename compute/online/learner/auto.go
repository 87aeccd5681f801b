package learner

import (
	"skerry.dev/compute/online"
	"skerry.dev/compute/online/committee"
)

// Names of outsiders: the newest label again, and a model of the hub.
const (
	Last  = "last"
	Model = "model"
)

// modelPrior is how much more a model of the hub counts at first than a learner that has seen
// nothing; each of its corrections counts half as much.
const modelPrior = 80

// Rates of the corrections: one follows the days, the other what lasts.
const (
	quickRate = 0.01
	slowRate  = 0.001
)

// autoBytes bounds each forest of Auto: the state of all stays below some 25 MiB.
const autoBytes = "8388608"

// WithModel returns the members that a model of the hub brings: the model itself, an outsider,
// and the model with a local correction, a quick and a slow linear learner of the schema. at is
// where the model's prediction stands in a row, behind the columns of the schema: a probability
// for each class, or a number.
func WithModel(s online.Schema, at int) ([]committee.Member, error) {
	members := []committee.Member{{Name: Model, Prior: modelPrior, Guest: true}}
	for _, c := range []struct {
		name string
		rate float64
	}{{"corrector", quickRate}, {"slow-corrector", slowRate}} {
		m := committee.Member{Name: Model + "+" + c.name, Prior: modelPrior / 2, Guest: true}
		var err error
		if s.Classes > 0 {
			m.Class, err = online.NewCorrectorClassifier(s, at, online.LinearOptions{Rate: c.rate})
		} else {
			m.Value, err = online.NewCorrectorRegressor(s, at, online.LinearOptions{Rate: c.rate})
		}
		if err != nil {
			return nil, err
		}
		members = append(members, m)
	}
	return members, nil
}

// Auto returns the members of the committee that predicts when no learner was chosen. The first
// columns inputs of the schema are the row's own, the others hold what the newest labels were
// (online.Recent). The last member is the outsider Last.
func Auto(s online.Schema, columns int, seed uint64) ([]committee.Member, error) {
	own := s
	own.Inputs = s.Inputs[:columns]
	var members []committee.Member
	add := func(name string, labels bool) error {
		m, schema := committee.Member{Name: name}, own
		var set Settings
		if Grows(name) {
			set = Settings{"max_bytes": autoBytes}
		}
		if labels {
			m.Name, schema = name+"+labels", s
		}
		var err error
		if s.Classes > 0 {
			m.Class, err = Classifier(name, schema, set, seed+uint64(len(members)))
		} else {
			m.Value, err = Regressor(name, schema, set, seed+uint64(len(members)))
		}
		if !labels {
			m = Narrow(m, columns)
		}
		members = append(members, m)
		return err
	}
	for _, m := range autoMembers(s.Classes > 0) {
		if err := add(m.name, m.labels); err != nil {
			return nil, err
		}
	}
	return append(members, committee.Member{Name: Last}), nil
}

type autoMember struct {
	name   string
	labels bool // it sees the newest labels
}

// autoMembers differ in what they are good at: trees on the row alone find rules, trees with
// labels momentum, Mondrian forests and neighbours smooth borders, linear models are the first to
// be useful.
func autoMembers(classes bool) []autoMember {
	if classes {
		return []autoMember{{"leveraging-bagging", false}, {"adaptive-forest", true}, {"mondrian-forest", false}, {"linear", true}, {"knn", false}}
	}
	return []autoMember{{"adaptive-forest", true}, {"mondrian-forest", false}, {"linear", true}, {"linear", false}, {"knn", false}}
}

// Narrow hides the inputs beyond the first columns from a member's learner.
func Narrow(m committee.Member, columns int) committee.Member {
	switch {
	case m.Class != nil:
		m.Class = narrowClassifier{m.Class, columns}
	case m.Value != nil:
		m.Value = narrowRegressor{m.Value, columns}
	}
	return m
}

type narrowClassifier struct {
	online.Classifier
	columns int
}

func (n narrowClassifier) Classify(p, x []float64) { n.Classifier.Classify(p, x[:n.columns]) }
func (n narrowClassifier) Learn(x []float64, class int, weight float64) {
	n.Classifier.Learn(x[:n.columns], class, weight)
}

type narrowRegressor struct {
	online.Regressor
	columns int
}

func (n narrowRegressor) Predict(x []float64) float64 { return n.Regressor.Predict(x[:n.columns]) }
func (n narrowRegressor) Learn(x []float64, y, weight float64) {
	n.Regressor.Learn(x[:n.columns], y, weight)
}
