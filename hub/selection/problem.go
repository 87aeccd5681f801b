package selection

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
)

// Series holds the rows of one device in time order, as the engine joined them.
type Series struct {
	Device string
	Times  []int64     // event time, microseconds; ascending
	Values [][]float64 // one value per input, missing = NaN
	// the truth of each row: y(t+h) for a forecast, the value or the class index otherwise; NaN
	// when unlabelled
	Target   []float64
	Baseline []float64 // y(t) for a forecast; nil or NaN otherwise
	// what the device published: the value or, of a classification, the probability that it gave the
	// truth; nil or NaN where nothing is known
	Published []float64
}

// published is what the device published for a row, NaN where nothing is known.
func (s *Series) published(i int) float64 {
	if s.Published == nil {
		return math.NaN()
	}
	return s.Published[i]
}

// Problem is what to learn.
type Problem struct {
	Task        string
	Kind        string // artifact.KindForecast, KindRegression or KindClassification
	Inputs      []feature.Input
	TargetIndex int           // position of a forecast's target among the inputs; ignored otherwise
	TargetName  string        // series to predict; "" means the input at TargetIndex
	TargetUnit  string        // of a regression's target; a forecast's is that of its input
	Classes     []string      // of a classification
	HorizonUS   int64         // of a forecast
	OffsetUS    int64         // local time less UTC, for features of the calendar
	Holidays    []feature.Day // local dates, ascending; a feature when there are any
	Devices     []Series
	// user-defined, over Inputs alone and not over each other: every model gets them
	Features []feature.Column
	Modules  []feature.Module // that Features call
	Level    float64          // nominal coverage of the interval; default 0.9

	// Independent means that rows have nothing to do with each other: no feature looks at other
	// rows or at the time.
	Independent bool
	// Few means that the rows are all there will be, as those of a file are: a model is learned from
	// ten of them on. Without it, and unless rows are Independent, 200 are waited for.
	Few bool
	// Holdout is the share of labelled rows, the newest, that the search never sees. Default 0.18, for
	// Retrain 0.3.
	Holdout float64

	BudgetLatency time.Duration // of one prediction on the device; 0 is no limit
	BudgetBytes   int64         // of the artifact; default 4 MB
	Seed          uint64

	Lineage         []string // ids that the artifact is made from
	Champion        string   // digest of the artifact in force, for the manifest
	MinAgentVersion string
}

// Options set how much effort to spend.
type Options struct {
	Trials int // settings to try; default 9
	// no further trial starts after half of it; default 60 s, or none when Trials is set
	TimeBudget time.Duration
	Threads    int       // default 2
	Learners   []string  // of Learners(); nil means all
	Prior      []PastRun // earlier runs: what won on similar data is tried first
	Progress   func(Progress)
}

// Progress describes how far a run has come.
type Progress struct {
	Stage  string // features, search, origins, refit, interval or holdout
	Done   int    // trials finished
	Trials int    // trials planned
	// best validation score so far, relative to the baseline; NaN when there is none
	Best    float64
	Learner string // of the best
}

// Entry is one line of the leaderboard.
type Entry struct {
	Learner string             `json:"learner"`
	Params  map[string]float64 `json:"params,omitempty"`
	// validation loss: mean absolute error, mean squared error of independent rows, or log loss
	Score      float64 `json:"score"`
	Relative   float64 `json:"relative"`   // the same over the baseline's
	Folds      int     `json:"folds"`      // 1: dropped after the first round
	Seconds    float64 `json:"seconds"`    // spent on it
	LatencyUS  float64 `json:"latency_us"` // measured, of the model alone, here
	Bytes      int64   `json:"bytes"`
	OverBudget bool    `json:"over_budget,omitempty"`
}

// Holdout is how the artifact did on rows that the search never saw. Figures that do not apply
// are 0.
type Holdout struct {
	Rows int     `json:"rows"`
	MAE  float64 `json:"mae"`
	RMSE float64 `json:"rmse"`
	// of the last value (forecast) or the training median (regression; Evaluate: the mean so far)
	MAEBaseline float64 `json:"mae_persistence"`
	// of the quantile models' interval, before the device calibrates it
	Coverage      float64 `json:"coverage"`
	IntervalScore float64 `json:"interval_score"`
	// classification, and of the class shares for the baseline
	LogLoss      float64 `json:"log_loss"`
	LogLossPrior float64 `json:"log_loss_prior"`
	Accuracy     float64 `json:"accuracy"`
}

// Result is what a run found.
type Result struct {
	Artifact    *artifact.Artifact // decoded from Bytes; passed its self-test
	Bytes       []byte
	Leaderboard []Entry // best first
	Holdout     Holdout
	Run         PastRun // to be stored and offered as a prior later
	Features    []string
	Trials      int
}

// ErrTooFewRows means that there are not enough labelled rows to learn from and to judge by.
var ErrTooFewRows = errors.New("too few labelled rows")

// The least number of labelled rows. Below minRows one holdout decides nothing: a model for devices
// waits for more. A table of independent rows, or a file of one device's readings, is all there is,
// so that its models are compared on more folds, down to fewestRows.
const (
	minRows    = 200
	fewestRows = 10
)

// squared reports whether models aim at the mean and are compared by their squared error, as those
// of a table of independent numbers are. Those of a stream aim at the median: a device's sensor has
// outliers, and rollouts compare absolute errors.
func (p *Problem) squared() bool { return p.Independent && p.Kind == artifact.KindRegression }

// fewAllowed reports whether a model is learned from fewer rows than minRows.
func (p *Problem) fewAllowed() bool { return p.Independent || p.Few }

// small reports whether a table that is all there is has few rows.
func (p *Problem) small(rows int) bool { return p.fewAllowed() && rows < minRows }

func (p *Problem) defaults() {
	if p.Level == 0 {
		p.Level = 0.9
	}
	if p.BudgetBytes == 0 {
		p.BudgetBytes = 4e6
	}
	if p.Holdout == 0 {
		p.Holdout = holdoutShare
	}
	if p.Kind == artifact.KindForecast && p.TargetName == "" && p.TargetIndex >= 0 && p.TargetIndex < len(p.Inputs) {
		p.TargetName = p.Inputs[p.TargetIndex].Name
	}
}

func (p *Problem) check() error {
	switch {
	case p.Task == "" || len(p.Inputs) == 0:
		return errors.New("selection: a problem needs a task and inputs")
	case p.Kind == artifact.KindForecast && (p.HorizonUS <= 0 || p.TargetIndex < 0 || p.TargetIndex >= len(p.Inputs)):
		return fmt.Errorf("selection: forecast of input %d of %d, %d µs ahead", p.TargetIndex, len(p.Inputs), p.HorizonUS)
	case p.Kind == artifact.KindClassification && len(p.Classes) < 2:
		return errors.New("selection: a classification needs at least two classes")
	case p.Kind != artifact.KindForecast && p.Kind != artifact.KindRegression && p.Kind != artifact.KindClassification:
		return fmt.Errorf("selection: kind %q", p.Kind)
	case !(p.Holdout > 0 && p.Holdout < 0.5):
		return fmt.Errorf("selection: holdout %v", p.Holdout)
	case !(p.Level > 0 && p.Level < 1):
		return fmt.Errorf("selection: level %v", p.Level)
	}
	for i := range p.Devices {
		if err := p.checkSeries(&p.Devices[i]); err != nil {
			return fmt.Errorf("selection: device %q: %w", p.Devices[i].Device, err)
		}
	}
	for i := range p.Features {
		of := -1
		c := p.Features[i]
		if relate(&c, func(j int) int { of = j; return j }); of >= 0 {
			return fmt.Errorf("selection: feature %q refers to column %d, must be of the inputs alone: models scale columns, which would change what it computes", c.Name, of)
		}
	}
	return p.checkModules()
}

func (p *Problem) checkSeries(s *Series) error {
	n := len(s.Times)
	if len(s.Values) != n || len(s.Target) != n || (s.Baseline != nil && len(s.Baseline) != n) || (s.Published != nil && len(s.Published) != n) {
		return fmt.Errorf("%d times, %d rows, %d targets, %d baselines, %d published", n, len(s.Values), len(s.Target), len(s.Baseline), len(s.Published))
	}
	if p.Kind == artifact.KindForecast && s.Baseline == nil && n > 0 {
		return errors.New("a forecast needs baselines")
	}
	if !slices.IsSorted(s.Times) {
		return errors.New("times go back")
	}
	for i, row := range s.Values {
		if len(row) != len(p.Inputs) {
			return fmt.Errorf("row %d has %d values for %d inputs", i, len(row), len(p.Inputs))
		}
		if y := s.Target[i]; p.Kind == artifact.KindClassification && !math.IsNaN(y) && !(y >= 0 && y < float64(len(p.Classes)) && y == math.Trunc(y)) {
			return fmt.Errorf("row %d has class %v of %d", i, y, len(p.Classes))
		}
	}
	return nil
}

// labelled reports whether a row can be learned from.
func (p *Problem) labelled(s *Series, i int) bool {
	if math.IsNaN(s.Target[i]) || math.IsInf(s.Target[i], 0) {
		return false
	}
	return p.Kind != artifact.KindForecast || !(math.IsNaN(s.Baseline[i]) || math.IsInf(s.Baseline[i], 0))
}

// base returns what a prediction is added to: y(t) for a forecast, else 0.
func (p *Problem) base(s *Series, i int) float64 {
	if p.Kind == artifact.KindForecast {
		return s.Baseline[i]
	}
	return 0
}

// rowDistance returns the median time between the rows of a device, in microseconds; at least 1.
func (p *Problem) rowDistance() int64 {
	var d []int64
	for i := range p.Devices {
		for k := 1; k < len(p.Devices[i].Times); k++ {
			if gap := p.Devices[i].Times[k] - p.Devices[i].Times[k-1]; gap > 0 {
				d = append(d, gap)
			}
		}
	}
	if len(d) == 0 {
		return 1
	}
	slices.Sort(d)
	return d[len(d)/2]
}
