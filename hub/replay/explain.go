package replay

import (
	"errors"
	"math"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/artifact/shares"
	"skerry.dev/compute/engine"
	"skerry.dev/hub/meta"
)

// Explanation is what a prediction was made of, at that row.
type Explanation struct {
	Inputs  []InputValue `json:"inputs" doc:"the row as it was joined"`
	Experts []Expert     `json:"experts,omitempty" doc:"what each predicted and its weight; none of an anomaly task"`
	// whether the experts' mixture was published, or the model alone
	Adapts   bool       `json:"adapts" doc:"the experts' mixture was published, not the model alone"`
	Last     meta.Float `json:"last" doc:"the last value, or the baseline of a task with labels by message"`
	Level    float64    `json:"level" doc:"nominal coverage of the interval"`
	Coverage meta.Float `json:"coverage" doc:"how many of the newest intervals before it held the truth"`
	Error    meta.Float `json:"error" doc:"mean absolute error of the newest predictions before it; null of classes"`
	Labels   int64      `json:"labels" doc:"learned from by then"`
	Shares   *Shares    `json:"shares,omitempty" doc:"of the model's features"`
	NoShares string     `json:"no_shares,omitempty" doc:"why there are none"`
}

// InputValue is an input of a row.
type InputValue struct {
	Series   string     `json:"series"`
	Unit     string     `json:"unit,omitempty"`
	Value    meta.Float `json:"value"`
	Category string     `json:"category,omitempty"`
}

// Expert is a voice of the mixture.
type Expert struct {
	Name    string     `json:"name"`
	Weight  float64    `json:"weight" doc:"0 to 1"`
	Value   meta.Float `json:"value" doc:"in units of the target, or as the prediction's of classes"`
	Chances []float64  `json:"chances,omitempty" doc:"of a classification, by class"`
}

// Shares are the features' contributions to the model's raw score: Expected and all of them add up
// to it. For a forecast or a number that is the model's prediction, of a forecast as a change against
// the value at the row; for classes log odds.
type Shares struct {
	Method   string  `json:"method" doc:"tree-shap: exact Shapley values of an ensemble of trees"`
	Class    string  `json:"class,omitempty" doc:"whose score they are of, of a classification"`
	Expected float64 `json:"expected" doc:"mean score over the training rows"`
	Score    float64 `json:"score" doc:"raw score of the row"`
	Features []Share `json:"features" doc:"the largest first"`
}

// Share is one feature's.
type Share struct {
	Feature string     `json:"feature"`
	Value   meta.Float `json:"value" doc:"of the feature at the row, as the model sees it"`
	Share   float64    `json:"share"`
}

// take fills it at the row of a prediction, by the engine that has just made it.
func (x *Explanation) take(m *machine, p *engine.Prediction) error {
	cfg, st := m.engine.Config(), m.engine.Status()
	row := m.engine.History().Row(0)
	for i, s := range cfg.Series {
		in := InputValue{Series: s.Name, Unit: s.Unit, Value: meta.Float(row[i])}
		if k := int(row[i]); row[i] == math.Trunc(row[i]) && k >= 0 && k < len(s.Categories) {
			in.Category = s.Categories[k]
		}
		x.Inputs = append(x.Inputs, in)
	}
	for _, v := range m.engine.Voices() {
		e := Expert{Name: v.Name, Weight: v.Weight, Value: meta.Float(v.Value), Chances: v.Chances}
		if math.IsNaN(e.Weight) {
			e.Weight = 0
		}
		x.Experts = append(x.Experts, e)
	}
	x.Adapts, x.Last, x.Level, x.Labels = cfg.Adapt, meta.Float(p.Persistence), cfg.Level, st.Labels
	x.Coverage, x.Error = meta.Float(math.NaN()), meta.Float(math.NaN())
	if st.Labels > 0 && cfg.Kind != engine.Anomaly {
		x.Coverage = meta.Float(st.Coverage)
		if len(cfg.Classes) <= 2 {
			x.Error = meta.Float(st.MAE)
		}
	}
	if math.IsNaN(p.Value) {
		x.NoShares = "nothing can be predicted of this row"
		return nil
	}
	if p.Champion == "" {
		x.NoShares = "no model of the hub had a part in it"
		return nil
	}
	of, err := m.models.model(p.Champion)
	if err != nil {
		return err
	}
	class := ""
	if len(cfg.Classes) > 0 && !math.IsNaN(p.Value) {
		class = cfg.Classes[p.Class()]
	}
	x.Shares, x.NoShares, err = sharesOf(of.Artifact, of.runner.Features(), class)
	return err
}

// sharesOf explains an artifact's point model on the row of its features; why says why it cannot.
func sharesOf(a *artifact.Artifact, features []float64, class string) (s *Shares, why string, err error) {
	x, err := shares.New(a)
	if errors.Is(err, shares.ErrNone) {
		return nil, err.Error(), nil
	}
	if err != nil {
		return nil, "", err
	}
	of, err := x.Of(features, class)
	if err != nil {
		return nil, "", err
	}
	s = &Shares{Method: "tree-shap", Class: of.Class, Expected: of.Expected, Score: of.Score}
	for _, f := range of.Features {
		s.Features = append(s.Features, Share{f.Feature, meta.Float(f.Value), f.Share})
	}
	return s, "", nil
}
