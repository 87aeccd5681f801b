package engine

import (
	"errors"
	"fmt"
	"math"

	"skerry.dev/compute/drift/inputs"
	"skerry.dev/compute/feature"
)

// Kind is what the engine predicts.
type Kind uint8

// The kinds. A Forecast predicts one of its input series Horizon ahead and labels itself. A
// Regression predicts a quantity whose truth arrives later as a label for the row's time, a
// Classification one of its classes, by their numbers. An Anomaly scores how unusual each row is,
// from 0 to 1; it has no labels and takes no model.
const (
	Forecast Kind = iota
	Regression
	Classification
	Anomaly
)

// Series is one input of the task.
type Series struct {
	Name       string
	Unit       string
	Min, Max   float64  // declared range; NaN when open
	Categories []string // values are indices into it; empty for numbers
}

// Config fixes a task. The zero values of optional fields mean their defaults.
type Config struct {
	Task    string
	Kind    Kind
	Series  []Series
	Target  int   // index of the target among Series for a forecast; -1 otherwise
	Horizon int64 // microseconds, > 0 for a forecast
	// how far before its due time a truth may lie (forecast), or how far a label's time may lie
	// from the row's, microseconds
	Tolerance int64
	// what a prediction stays within, NaN when open; a classification's is a probability
	Low, High float64
	Classes   []string // of a classification, 2 to MaxClasses; nil: two without names
	On        int      // a row fires at every reading of this series; -1 with Every
	Every     int64    // or at every multiple of this, microseconds
	MaxAge    int64    // older inputs are missing, microseconds
	Lateness  int64    // the watermark stays this far behind the newest reading, microseconds
	// Readings have stopped once none arrived for longer than Idle and Lateness, microseconds of
	// arrival time; rows that wait for the watermark fire then.
	Idle  int64
	Level float64
	Adapt bool
	Share float64 // of the mixture of experts; 0: found out on the way

	// local learners by their names in compute/online/learner; nil: DefaultLearners
	Learners     []string
	LearnerBytes int    // bound of each that grows; 0: DefaultLearnerBytes
	Scorer       string // of an Anomaly, by its name in compute/anomaly; "": auto
	ScorerSet    map[string]string
	AlarmRate    float64 // share of rows that may be false alarms; 0: a two-hundredth
	// of the scaled error, by their names in compute/drift; nil: DefaultDetectors
	Detectors []string
}

// Limits and constants of the engine.
const (
	HistoryRows = feature.MaxLookback // rows kept for features and for the trial of a candidate
	// predictions that wait for their label; beyond it every second of the older half is given up
	MaxPending = 4096
	// labels in a row that match no row, after which that is an event; again at ten times as many
	unmatchedAtOnce = 10
	// share of rows that may be false alarms of an anomaly task that does not say
	defaultAlarmRate = 0.005

	maxLoss     = 4.0 // clip of a scaled loss
	minScale    = 5   // labels before an interval without a model's quantiles is issued
	scoreWindow = 500 // conformal scores and persistence errors
	trailRows   = 500 // memory of the trailing metrics
)

func (c *Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Series) == 0 {
		bad("engine: no series")
	}
	if c.Kind == Forecast && (c.Target < 0 || c.Target >= len(c.Series) || c.Horizon <= 0) {
		bad("engine: a forecast needs a target among its %d series (is %d) and a positive horizon (is %d)", len(c.Series), c.Target, c.Horizon)
	}
	if (c.On >= 0) == (c.Every > 0) || c.On >= len(c.Series) {
		bad("engine: rows fire on a series or on a cadence: on %d, every %d", c.On, c.Every)
	}
	if !(c.Level > 0 && c.Level < 1) {
		bad("engine: interval level %v is not in (0, 1)", c.Level)
	}
	if c.Share < 0 || c.Share > 0.5 || c.MaxAge < 0 || c.Lateness < 0 || c.Idle < 0 || c.Tolerance < 0 {
		bad("engine: a negative or too large setting: share %v, max age %d, lateness %d, idle %d, tolerance %d", c.Share, c.MaxAge, c.Lateness, c.Idle, c.Tolerance)
	}
	return errors.Join(append(errs, c.checkClasses(), c.checkLearning())...)
}

// silence is how long nothing must arrive until readings have stopped, in microseconds.
func (c *Config) silence() int64 { return max(c.Idle, c.Lateness) }

// Inputs describes the series as a pipeline names them.
func (c *Config) Inputs() []feature.Input {
	in := make([]feature.Input, len(c.Series))
	for i, s := range c.Series {
		in[i] = feature.Input{Name: s.Name, Unit: s.Unit, Categories: s.Categories}
		if !math.IsNaN(s.Min) && !math.IsNaN(s.Max) {
			in[i].Min, in[i].Max = s.Min, s.Max
		}
	}
	return in
}

// Reading is a value of one of the task's series. A NaN value is a reading that stands for
// "missing". Series LabelSeries marks a label of a task that is not a forecast: Time is the row's
// time and Value the truth.
type Reading struct {
	Series int
	Time   int64
	Value  float64
}

// PredictionSeries names the champion's predictions among the series that are watched.
const PredictionSeries = "prediction"

// NoArrival stands for the arrival time of a message that has none recorded.
const NoArrival = math.MinInt64

// LabelSeries is the series number of labels that arrive by message.
const LabelSeries = -1

// Model predicts the target from the newest rows. For a forecast all three numbers are changes
// against the target's value at the row, for two classes point is the probability of the second.
// lower and upper may be NaN. It must not keep h. One of more than two classes is a ClassModel too.
type Model interface {
	Predict(h *feature.History, back int) (point, lower, upper float64, err error)
}

// Loaded is a model with its name and what its rows usually look like.
type Loaded struct {
	ID    string // digest of the artifact
	Model Model
	// names of the series as Model and Usual have them; nil: those of the task in its order
	Inputs []string
	// of a classification: the names of the classes as Model has them; nil: those of the task in
	// its order
	Classes []string
	// the series of a row and, after them, Model's predictions; nil: the inputs are not watched
	Usual *inputs.Reference
	// TrainTo is the event time of the newest row that Model was fitted to, microseconds: rows up to
	// there are no evidence
	TrainTo int64
}

// Row is a joined row as it fired.
type Row struct {
	Time   int64
	Values []float64 // in the order of Config.Series; belongs to the engine until the next call
}

// Prediction is what the task predicts for Row.Time + Horizon.
type Prediction struct {
	Row, For int64
	// NaN when nothing can be predicted (no target value at the row). Of two classes the probability
	// of the second, of more the number of the most probable.
	Value        float64
	Lower, Upper float64 // NaN while nothing is known about the errors, and of more than two classes
	Persistence  float64 // what the baseline says: the last value, or the mean of the newest labels
	Champion     string  // "" while the task runs on its baselines
	Alarm        bool    // of an Anomaly: the row is one
	// of a classification with a Value: each class's probability, and the classes that the truth is
	// one of with the nominal coverage, of which the most probable always is one; the caller's to keep
	Classes []float64
	Set     []bool
}

// Class is the number of the most probable class of a classification that has a Value.
func (p *Prediction) Class() int { return int(math.Round(p.Value)) }

// Label is a matured prediction.
type Label struct {
	Row, At              int64
	Truth                float64
	Predicted            float64
	Lower, Upper         float64
	Persistence          float64
	Champion, Shadow     float64 // raw predictions of the models, NaN when absent
	ChampionID, ShadowID string
	// trailing quantiles of the persistence error around the last value
	BaselineLo, BaselineHi float64

	// The rest is of a classification. Classes is how many there are, else 0; of more than two the
	// truth and the predictions above are numbers of classes, of two probabilities of the second.
	Classes  int
	Chance   float64 // probability that what was published gave the truth
	ChanceOf Chances
	SetSize  int  // classes in the set, 0 without a prediction
	Covered  bool // the truth was in the set
}

// Chances are the probabilities that others gave the truth: the models, NaN when absent, and the
// baseline.
type Chances struct{ Champion, Shadow, Baseline float64 }

// EventKind names what happened.
type EventKind string

// The kinds of events an engine reports.
const (
	// the champion's (or, without one, the published) scaled error changed its distribution
	EventDrift EventKind = "drift"
	// rows do not look any more like those the champion was trained on; again when further series
	// join
	EventInputDrift EventKind = "input_drift"
	EventInputBack  EventKind = "input_back" // they do again
	EventAnomaly    EventKind = "anomaly"    // rows began to be unusual
	// predictions wait too long for their label to keep all of them; Value is how many never got it,
	// at every doubling
	EventGivenUp EventKind = "given_up"
	// labels match no row; Value is by how many seconds the newest is later than the nearest row,
	// NaN when none waits
	EventUnmatched EventKind = "labels_unmatched"
)

// Event is something the engine noticed.
type Event struct {
	Kind     EventKind
	Time     int64
	Detector string // by its name in compute/drift or compute/anomaly, or "inputs"
	// the input series most responsible for EventInputDrift; PredictionSeries: the champion's
	// predictions
	Series string
	Others []string // further ones, the most responsible first
	Value  float64  // scaled error, the shift of Series in standard deviations, or the score
}

// Output is what one call produced. The slices belong to the engine and are overwritten by the
// next call.
type Output struct {
	Rows        []Row
	Predictions []Prediction
	Labels      []Label
	Events      []Event
	Late        int // readings behind the watermark in this call
}

// Empty reports whether nothing followed.
func (o *Output) Empty() bool {
	return len(o.Rows)+len(o.Predictions)+len(o.Labels)+len(o.Events) == 0
}

func (o *Output) reset() {
	o.Rows, o.Predictions, o.Labels, o.Events, o.Late = o.Rows[:0], o.Predictions[:0], o.Labels[:0], o.Events[:0], 0
}
