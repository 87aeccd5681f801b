package artifact

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/chain"
	"skerry.dev/compute/drift/inputs"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
	"skerry.dev/compute/neural"
)

// Predictor is what every model kind can do. PredictInto takes Inputs values (missing = NaN) and
// writes Outputs values; it does not allocate in the steady state, keeps neither slice and is
// safe for concurrent use.
type Predictor interface {
	Inputs() int
	Outputs() int
	PredictInto(dst, x []float64) error
}

// Role is what a model of an artifact is for.
type Role string

// The roles. Point is required; lower and upper come together or not at all.
const (
	// the prediction: the change y(t+h) − y(t) of a forecast, the value of a regression, class
	// probabilities of a classification
	Point Role = "point"
	Lower Role = "lower" // the lower quantile of the same, (1-level)/2
	Upper Role = "upper" // the upper quantile
)

var roles = [...]Role{Point, Lower, Upper}

// The kinds of task an artifact can serve; they are spelled as in task files.
const (
	KindForecast       = "forecast"
	KindRegression     = "regression"
	KindClassification = "classification"
)

// Limits of an artifact.
const (
	MaxBytes           = 64 << 20
	MaxQuantiles       = 256  // points of one input's reference
	MaxScores          = 1024 // calibration scores
	MaxVectorRows      = 1024 // rows of the self-test history
	MaxVectorBytes     = 4 << 20
	maxManifestMetrics = 1024
)

// Manifest describes what the artifact is and where it came from.
type Manifest struct {
	Task string `json:"task"`
	Kind string `json:"kind"`
	// forecasts: how far ahead, microseconds
	HorizonUS int64             `json:"horizon_us,omitempty"`
	Inputs    []feature.Input   `json:"inputs"`
	Output    Output            `json:"output"`
	Learner   string            `json:"learner"`
	Params    map[string]string `json:"params,omitempty"`
	Seed      uint64            `json:"seed"`
	Rows      int64             `json:"rows"` // labelled rows it was trained on
	// event time of the first and last training row, microseconds
	TrainFrom int64              `json:"train_from"`
	TrainTo   int64              `json:"train_to"`
	Metrics   map[string]float64 `json:"metrics,omitempty"` // on held-out rows
	Budget    Budget             `json:"budget"`
	// lineage: ids of data sets, runs and parent artifacts
	CreatedFrom []string `json:"created_from,omitempty"`
	// digest it was judged against
	Champion        string `json:"champion,omitempty"`
	MinAgentVersion string `json:"min_agent_version,omitempty"`
}

// Output describes what is predicted.
type Output struct {
	Series string `json:"series,omitempty"`
	// forecasts: position of the target among the inputs; otherwise -1
	Input   int      `json:"input"`
	Unit    string   `json:"unit,omitempty"`
	Classes []string `json:"classes,omitempty"`
}

// Budget is the device class the artifact was selected for; 0 is no limit.
type Budget struct {
	LatencyUS int64 `json:"latency_us,omitempty"`
	Bytes     int64 `json:"bytes,omitempty"`
}

// Calibration holds conformity scores of held-out rows: what the intervals of a model by itself
// need, as predict and evaluate issue them. A running engine learns the width of its intervals from
// its own labels and begins without this. Beside quantile models a score is the error as a multiple
// of the half-width on its side, (y − ŷ)/(upper − ŷ) above and (ŷ − y)/(ŷ − lower) below; for a
// point model alone it is |y − ŷ| in the target's unit.
type Calibration struct {
	Level float64 `json:"level"` // nominal coverage
	// ascending quantiles of the scores, evenly spaced from the smallest to the largest
	Scores []float64 `json:"scores"`
}

// Reference describes the training distribution of one input.
type Reference struct {
	// ascending, evenly spaced from the smallest value to the largest; empty when never present
	Quantiles []float64
	Missing   float64 // share of missing values, 0 to 1
}

// Vectors prove that this machine computes what the hub computed: a history, oldest row first,
// and the outputs of every role at its newest Tail rows.
type Vectors struct {
	Times  []int64
	Values []float64 // one row of inputs per time
	Tail   int
	Want   map[Role][]float64 // Tail rows of outputs, oldest first
}

// Artifact is a decoded *.skerry file. Treat it as immutable.
type Artifact struct {
	Manifest Manifest
	Pipeline *feature.Pipeline
	// *ensemble.Ensemble, *neural.Network, *linear.Model, *chain.Model or *Constant
	Models      map[Role]Predictor
	Calibration Calibration
	Reference   []Reference // one per input, or none
	// what rows in order look like: the inputs and, after them, what the point model predicts, the
	// last class's probability of a classification; nil when unknown
	Usual   *inputs.Reference
	Vectors Vectors
	Digest  string // 64 hexadecimal digits of the file's SHA-256; set by Decode
	Size    int64  // bytes of the file; set by Decode
}

// ErrCorrupt means that bytes are no artifact, or a damaged one. ErrVersion means that the file is
// of a format unknown to this program. ErrSelfTest means that this machine computes something
// else than the hub did.
var (
	ErrCorrupt  = errors.New("corrupt artifact")
	ErrVersion  = errors.New("artifact format is not known to this version")
	ErrSelfTest = errors.New("artifact self-test failed")
)

// Check reports why the artifact is not consistent, nil when it is.
func (a *Artifact) Check() error {
	m := &a.Manifest
	switch {
	case m.Task == "" || len(m.Task) > 128:
		return fmt.Errorf("manifest: task %q", m.Task)
	case m.Kind != KindForecast && m.Kind != KindRegression && m.Kind != KindClassification:
		return fmt.Errorf("manifest: kind %q", m.Kind)
	case (m.Kind == KindForecast) != (m.HorizonUS > 0):
		return fmt.Errorf("manifest: horizon %d µs for a %s", m.HorizonUS, m.Kind)
	case len(m.Metrics) > maxManifestMetrics:
		return fmt.Errorf("manifest: %d metrics", len(m.Metrics))
	case a.Pipeline == nil:
		return errors.New("no pipeline")
	}
	if err := a.Pipeline.Check(); err != nil {
		return err
	}
	if !slices.EqualFunc(m.Inputs, a.Pipeline.Inputs, func(a, b feature.Input) bool { return a.Name == b.Name }) {
		return errors.New("the pipeline has other inputs than the manifest")
	}
	if m.Kind == KindForecast && (m.Output.Input < 0 || m.Output.Input >= len(m.Inputs)) {
		return fmt.Errorf("manifest: target is input %d of %d", m.Output.Input, len(m.Inputs))
	}
	if err := a.checkModels(); err != nil {
		return err
	}
	if err := a.Calibration.check(); err != nil {
		return err
	}
	if len(a.Reference) != 0 && len(a.Reference) != len(m.Inputs) {
		return fmt.Errorf("%d references for %d inputs", len(a.Reference), len(m.Inputs))
	}
	if a.Usual != nil && a.Usual.NumFeatures() != len(m.Inputs)+1 {
		return fmt.Errorf("usual rows have %d columns, must be %d inputs and the prediction", a.Usual.NumFeatures(), len(m.Inputs))
	}
	for i := range a.Reference {
		if err := a.Reference[i].check(); err != nil {
			return fmt.Errorf("reference %d: %w", i, err)
		}
	}
	return a.Vectors.check(len(m.Inputs), a.Models)
}

func (a *Artifact) checkModels() error {
	want, numeric := 1, a.Manifest.Kind != KindClassification
	if !numeric {
		if want = len(a.Manifest.Output.Classes); want < 2 {
			return fmt.Errorf("manifest: a classification with %d classes", want)
		}
	}
	if a.Models[Point] == nil {
		return errors.New("no point model")
	}
	if (a.Models[Lower] == nil) != (a.Models[Upper] == nil) || (!numeric && a.Models[Lower] != nil) {
		return errors.New("lower and upper models come together, and not for a classification")
	}
	for role, m := range a.Models {
		if !slices.Contains(roles[:], role) {
			return fmt.Errorf("unknown role %q", role)
		}
		if m.Inputs() != a.Pipeline.Width() {
			return fmt.Errorf("the %s model takes %d inputs, the pipeline has %d columns", role, m.Inputs(), a.Pipeline.Width())
		}
		if m.Outputs() != want && !(want == 2 && m.Outputs() == 1) {
			return fmt.Errorf("the %s model has %d outputs, want %d", role, m.Outputs(), want)
		}
	}
	return nil
}

// Widen returns the interval around a prediction that covers with probability Level: lower and
// upper, the model's own quantiles, moved by the calibrated factor, or, where they are NaN, the
// calibrated half-width on both sides. Without scores they are returned as they are.
func (c *Calibration) Widen(value, lower, upper float64) (lo, hi float64) {
	if len(c.Scores) == 0 {
		return lower, upper
	}
	at := c.Level * float64(len(c.Scores)-1)
	i := min(int(at), len(c.Scores)-1)
	k := c.Scores[i]
	if i+1 < len(c.Scores) {
		k += (at - float64(i)) * (c.Scores[i+1] - k)
	}
	if !math.IsNaN(lower) && !math.IsNaN(upper) {
		return value - k*max(value-lower, 0), value + k*max(upper-value, 0)
	}
	return value - k, value + k
}

func (c *Calibration) check() error {
	if len(c.Scores) > MaxScores || c.Level < 0 || c.Level >= 1 || !ascending(c.Scores) {
		return fmt.Errorf("calibration: level %v and %d scores that must ascend", c.Level, len(c.Scores))
	}
	return nil
}

func (r *Reference) check() error {
	if len(r.Quantiles) > MaxQuantiles || !ascending(r.Quantiles) || !(r.Missing >= 0 && r.Missing <= 1) {
		return fmt.Errorf("%d quantiles that must ascend, missing share %v", len(r.Quantiles), r.Missing)
	}
	return nil
}

// ascending reports whether v is sorted and finite.
func ascending(v []float64) bool {
	for i, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) || (i > 0 && x < v[i-1]) {
			return false
		}
	}
	return true
}

func (v *Vectors) check(inputs int, models map[Role]Predictor) error {
	n := len(v.Times)
	if n > MaxVectorRows || len(v.Values) != n*inputs || v.Tail < 0 || v.Tail > n || 8*len(v.Values) > MaxVectorBytes {
		return fmt.Errorf("self-test: %d times, %d values, %d rows to predict", n, len(v.Values), v.Tail)
	}
	if !slices.IsSorted(v.Times) {
		return errors.New("self-test: times go back")
	}
	if len(v.Want) != len(models) && v.Tail > 0 {
		return fmt.Errorf("self-test: %d roles for %d models", len(v.Want), len(models))
	}
	for role, want := range v.Want {
		if models[role] == nil || len(want) != v.Tail*models[role].Outputs() {
			return fmt.Errorf("self-test: %d outputs of role %q", len(want), role)
		}
	}
	return nil
}

// Constant predicts the same outputs for every row: the honest model when nothing can be learned.
type Constant struct {
	N      int // inputs it is given and ignores
	Values []float64
}

// InputNames returns the names of the inputs in the artifact's order.
func (a *Artifact) InputNames() []string {
	names := make([]string, len(a.Manifest.Inputs))
	for i, in := range a.Manifest.Inputs {
		names[i] = in.Name
	}
	return names
}

// Inputs returns the length of x.
func (c *Constant) Inputs() int { return c.N }

// Outputs returns the length of dst.
func (c *Constant) Outputs() int { return len(c.Values) }

// PredictInto copies the values into dst.
func (c *Constant) PredictInto(dst, x []float64) error {
	if len(x) != c.N || len(dst) != len(c.Values) {
		return errors.New("constant: wrong number of inputs or outputs")
	}
	copy(dst, c.Values)
	return nil
}

// ModelKind returns the name of a predictor's kind: "trees", "mlp", "linear", "chain" or
// "constant"; "" for others.
func ModelKind(p Predictor) string {
	switch p.(type) {
	case *ensemble.Ensemble:
		return "trees"
	case *neural.Network:
		return "mlp"
	case *linear.Model:
		return "linear"
	case *chain.Model:
		return "chain"
	case *Constant:
		return "constant"
	}
	return ""
}
