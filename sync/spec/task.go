package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"skerry.dev/compute/anomaly"
	"skerry.dev/compute/drift"
	"skerry.dev/compute/engine"
	"skerry.dev/compute/online/learner"
)

// Limits of a task file.
const (
	MaxTaskBytes  = 256 << 10         // a task file
	MaxInputs     = 256               // series of a task
	MaxCategories = 256               // categories of an input
	MaxClasses    = engine.MaxClasses // of a classification task
	MaxFeatures   = 32                // user-defined features
	MaxExplain    = 16                // shares of features that are published with a prediction
	MaxHorizon    = 366 * 24 * time.Hour

	minLearner, maxLearner = 64 << 10, 256 << 20 // bytes of a local learner
)

// Kind is what a task predicts.
type Kind string

// The kinds of tasks.
const (
	KindForecast       Kind = "forecast"       // the target series, horizon ahead of the row
	KindRegression     Kind = "regression"     // a number that becomes known later
	KindClassification Kind = "classification" // a class that becomes known later
	KindAnomaly        Kind = "anomaly"        // how unusual each row is
)

// Task describes what is predicted, from which series and how. It is written by people; see
// configs/tasks for commented samples.
type Task struct {
	Name     string     `yaml:"task"`
	Kind     Kind       `yaml:"kind"`
	Target   Target     `yaml:"target"`
	Inputs   []Input    `yaml:"inputs"`
	Time     TimeSource `yaml:"time"`
	Rows     Rows       `yaml:"rows"`
	Features []Feature  `yaml:"features"`
	Calendar Calendar   `yaml:"calendar"`
	Publish  Publish    `yaml:"publish"`
	Adapt    Adapt      `yaml:"adapt"`
	Anomaly  Anomaly    `yaml:"anomaly"`
	// nominal coverage of the prediction interval, 0.5 to 0.999; default 0.9
	Interval float64    `yaml:"interval"`
	Sync     SyncPolicy `yaml:"sync"`
	Budget   Budget     `yaml:"budget"`
	// how many tasks a file whose topics capture a level makes at most; default 64
	MaxDevices int    `yaml:"max_devices"`
	Source     string `yaml:"-"` // the file's text
	Hash       string `yaml:"-"` // SHA-256 of Source
	Path       string `yaml:"-"` // where it was read from, for messages

	// of a task that a template made: the template's name, and what its topics have captured
	Template string   `yaml:"-"`
	Values   []string `yaml:"-"`
}

// Target is the series to predict. For a forecast it is one of the inputs and Horizon is how far
// ahead. Otherwise labels arrive by message on Topic and are matched to the row of the same event
// time, or of the same id.
type Target struct {
	Series  string   `yaml:"series"`
	Horizon Duration `yaml:"horizon,omitempty"`
	// how far a label's time may lie from the row's due time; default half the horizon, 1 s
	// without one
	Tolerance Duration `yaml:"tolerance,omitempty"`
	Topic     string   `yaml:"topic,omitempty"`
	Path      string   `yaml:"path,omitempty"`
	// JSON path of the id that a label has in common with its row's message, see Rows.ID; a label
	// needs no time then
	ID string `yaml:"id,omitempty"`
	// predictions stay within, and labels by message that are outside are missing; default of a
	// forecast: its input's
	Range      *[2]number `yaml:"range,omitempty"`
	Categories []string   `yaml:"categories,omitempty"` // the classes of a classification task, 2 to MaxClasses
	// how labels that arrive by message are written, as for an input
	Time   InputTime          `yaml:"time,omitempty"`
	Number NumberForm         `yaml:"number,omitempty"`
	Words  map[string]float64 `yaml:"words,omitempty"`
}

// Input is one series read from MQTT.
type Input struct {
	Series string `yaml:"series"`
	Topic  string `yaml:"topic"`
	// JSON path ("$.a.b", "$.list[0].x"); empty: the payload is the bare value
	Path string `yaml:"path,omitempty"`
	Unit string `yaml:"unit,omitempty"`
	// values outside are stored, flagged and treated as missing
	Range      *[2]number `yaml:"range,omitempty"`
	Categories []string   `yaml:"categories,omitempty"`
	// what differs from the task's time in this input's payloads
	Time InputTime `yaml:"time,omitempty"`
	// how numbers are written where that cannot be seen
	Number NumberForm `yaml:"number,omitempty"`
	// words that stand for numbers, beside on, off, true, false, yes, no, open, closed and the like
	Words map[string]float64 `yaml:"words,omitempty"`
	Sync  string             `yaml:"sync,omitempty"` // rows | none; default rows
}

type number = float64

// TimeSource defines where the event time of a payload stands.
type TimeSource struct {
	Path string `yaml:"path,omitempty"` // JSON path; empty: arrival time
	// auto | rfc3339 | unix | unix_ms | unix_us | unix_ns | a layout such as
	// "02/01/2006 15:04:05"; default auto: a text such as that of rfc3339, or an epoch whose unit
	// its size shows
	Format string `yaml:"format,omitempty"`
	// of times that say none: "Europe/Berlin" or "+02:00"; default calendar.utc_offset, and without
	// it such times are refused
	Zone      string   `yaml:"zone,omitempty"`
	MaxFuture Duration `yaml:"max_future,omitempty"`
	// how far a time may lie behind the clock; default 0: back to the year 2000, before which only
	// clocks that are not set are
	MaxPast Duration `yaml:"max_past,omitempty"`
}

// InputTime is where and how one input's payloads say their time. What is empty is as in the task.
type InputTime struct {
	Path   string `yaml:"path,omitempty"`
	Format string `yaml:"format,omitempty"`
	Zone   string `yaml:"zone,omitempty"`
}

// NumberForm is how numbers are written.
type NumberForm struct {
	// "." or ","; default: what is unambiguous is read, 12,5 and 1.234,5 and not 1,234
	Decimal string `yaml:"decimal,omitempty"`
	// what stands before or behind the number; default: any one unit behind it
	Strip string `yaml:"strip,omitempty"`
}

// Rows defines when readings become a row.
type Rows struct {
	On string `yaml:"on,omitempty"` // a row at every reading of this series
	// JSON path of an id in the messages of On, by which labels find their row: of a part, an order,
	// a batch
	ID       string   `yaml:"id,omitempty"`
	Every    Duration `yaml:"every,omitempty"` // or at every multiple of this
	MaxAge   Duration `yaml:"max_age,omitempty"`
	Lateness Duration `yaml:"lateness,omitempty"`
	// time without readings, and at least the lateness, after which the rows that wait fire
	Idle Duration `yaml:"idle,omitempty"`
}

// Feature is a user-defined column: an expression, or a function of a WebAssembly module.
// The hub gives it to every model it trains for the task; models carry its program with them.
type Feature struct {
	Name string `yaml:"name"`
	// arithmetic on inputs of numbers and on features of expressions before this one, see
	// compute/feature/expression
	Expr string `yaml:"expr,omitempty"`

	// a module that the hub has by this name (skerry-hub module add); only the full build of the
	// agent runs such models
	Wasm string `yaml:"wasm,omitempty"`
	// that the module exports, see docs/formats/pipeline.md
	Function string   `yaml:"function,omitempty"`
	Of       []string `yaml:"of,omitempty"` // series it takes, 1 to 16
	// of a function of rows: how many of the newest it sees, at most 256; 0 is a function of one
	// row
	Rows int `yaml:"rows,omitempty"`
}

// Publish defines where predictions go. {device} and {task} are replaced.
type Publish struct {
	Topic       string   `yaml:"topic,omitempty"`
	Retain      *bool    `yaml:"retain,omitempty"`
	MinInterval Duration `yaml:"min_interval,omitempty"`
	// how many shares of the model's features to publish with each prediction, the largest, 0 to
	// MaxExplain; default 0
	Explain int `yaml:"explain,omitempty"`
}

// Adapt controls what the device learns by itself.
type Adapt struct {
	Enabled *bool `yaml:"enabled,omitempty"`
	// local learners beside the hub's model and the last value, by name; default linear
	Learners []string `yaml:"learners,omitempty"`
	// of each learner that grows, 64KB to 256MB; default 4MB. It is stored with every snapshot
	MaxBytes Bytes `yaml:"max_bytes,omitempty"`
	// drift detectors of the error, by name; default adwin and page-hinkley
	Detectors []string `yaml:"detectors,omitempty"`
	// probability that the best expert changes at a row, up to 0.2; default 0: found out on the way
	Share float64 `yaml:"share,omitempty"`
}

// Anomaly chooses the scorer of a task of kind anomaly.
type Anomaly struct {
	// by name; default auto: seasonal for one input, pca for several
	Detector string            `yaml:"detector,omitempty"`
	Set      map[string]string `yaml:"set,omitempty"` // its settings
	// share of rows that may be false alarms, up to 0.1; default 0.005, of rows beyond the
	// detector's own limit
	Rate float64 `yaml:"rate,omitempty"`
}

// SyncPolicy describes what is sent to the hub.
type SyncPolicy struct {
	Readings    string `yaml:"readings,omitempty"`    // all | none
	Predictions string `yaml:"predictions,omitempty"` // a percentage, "10%"
}

// Budget bounds a model for this task.
type Budget struct {
	Latency Duration `yaml:"latency,omitempty"`
	Size    Bytes    `yaml:"size,omitempty"`
}

// Duration is a time.Duration written as "90s", "1h" or "3d".
type Duration time.Duration

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Micros returns d in microseconds.
func (d Duration) Micros() int64 { return time.Duration(d).Microseconds() }

// MarshalYAML writes the duration as people write it.
func (d Duration) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

// UnmarshalYAML reads "1h30m", and "3d" for days.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := ParseDuration(n.Value)
	*d = Duration(v)
	return err
}

// ParseDuration reads a Go duration or a number of days ("3d").
func ParseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		f, err := strconv.ParseFloat(days, 64)
		if err == nil && f >= 0 && f <= 36500 {
			return time.Duration(f * float64(24*time.Hour)), nil
		}
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write for example 90s, 5m, 1h or 3d", s)
	}
	if v < 0 {
		return 0, fmt.Errorf("%q is negative", s)
	}
	return v, nil
}

// Bytes is a size written as "4MB" or "512KiB".
type Bytes int64

// UnmarshalYAML reads a number with an optional unit.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	v, err := ParseBytes(n.Value)
	*b = Bytes(v)
	return err
}

// ParseBytes reads a size such as "512", "64MiB" or "4MB".
func ParseBytes(s string) (int64, error) {
	units := []struct {
		suffix string
		factor float64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}
	for _, u := range units {
		if num, ok := strings.CutSuffix(s, u.suffix); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
			if err == nil && f >= 0 && f*u.factor < 1<<62 {
				return int64(f * u.factor), nil
			}
		}
	}
	return 0, fmt.Errorf("%q is not a size: write for example 512KiB or 4MB", s)
}

// Horizon returns how far ahead a forecast looks, zero for other kinds.
func (t *Task) Horizon() time.Duration { return t.Target.Horizon.Std() }

// DatesByArrival reports whether readings of an input have the time of their arrival.
func (t *Task) DatesByArrival() bool {
	return t.Time.Path == "" && slices.ContainsFunc(t.Inputs, func(in Input) bool { return in.Time.Path == "" })
}

// Adapts reports whether local learning is on (the default).
func (t *Task) Adapts() bool { return t.Adapt.Enabled == nil || *t.Adapt.Enabled }

// Retains reports whether predictions are published with MQTT's retain flag (the default).
func (t *Task) Retains() bool { return t.Publish.Retain == nil || *t.Publish.Retain }

// PredictionShare returns the sampled share of predictions to sync, 0 to 1.
func (t *Task) PredictionShare() float64 {
	p, _ := parsePercent(t.Sync.Predictions)
	return p
}

// PublishTopic returns the topic of predictions on a device.
func (t *Task) PublishTopic(device string) string {
	return strings.NewReplacer("{device}", device, "{task}", t.Name).Replace(t.Publish.Topic)
}

// TargetIndex returns the position of the target among the inputs, or -1.
func (t *Task) TargetIndex() int {
	for i := range t.Inputs {
		if t.Inputs[i].Series == t.Target.Series {
			return i
		}
	}
	return -1
}

// Error is one problem of a document.
type Error struct {
	Path  string // dotted path of the key as it was typed, "inputs[2].range"
	Line  int    // 0 when unknown
	Value string // the offending value, "" when there is none
	Msg   string // what is allowed, what to do
}

// Error says where in the document and what is wrong.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Path)
	if e.Line > 0 {
		fmt.Fprintf(&b, " (line %d)", e.Line)
	}
	b.WriteString(": ")
	if e.Value != "" {
		v := e.Value
		if len(v) > 80 {
			v = v[:80] + "…"
		}
		fmt.Fprintf(&b, "%q: ", v)
	}
	b.WriteString(e.Msg)
	return b.String()
}

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// ValidName reports whether s can name a task, device or site: it becomes a subject token, a
// topic level and a file name.
func ValidName(s string) bool { return namePattern.MatchString(s) }

// NameFrom makes a valid name of any text: what may not stand in a name becomes a dash.
func NameFrom(s string) string {
	b := []byte(strings.ToLower(s))
	for i, c := range b {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			b[i] = '-'
		}
	}
	name := strings.TrimLeft(string(b), "-_")
	if name == "" {
		return "device"
	}
	return name[:min(len(name), 63)]
}

const nameRule = "must be 1 to 63 of a-z, 0-9, - and _, and start with a letter or digit"

var seriesPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,126}$`)

// ParseTask reads a task file. The error joins every problem found; each is an *Error. name is
// used in messages only.
func ParseTask(name string, r io.Reader) (*Task, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxTaskBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read task %s: %w", name, err)
	}
	if len(text) > MaxTaskBytes {
		return nil, fmt.Errorf("read task %s: larger than %d bytes", name, MaxTaskBytes)
	}
	root, err := Document(text)
	if err != nil {
		return nil, fmt.Errorf("read task %s: %w", name, err)
	}
	if root == nil || root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("read task %s: must be a YAML mapping that starts with \"task: <name>\"", name)
	}
	t := &Task{Path: name, Source: string(text)}
	d := NewDecoder()
	d.Decode(root, t)
	sum := sha256.Sum256(text)
	t.Hash = hex.EncodeToString(sum[:])
	unread := len(d.errs)
	t.checkZeros(d, root)
	t.defaults()
	t.check(d, root)
	d.forget(unread)
	if err := d.Err(); err != nil {
		return nil, fmt.Errorf("task file %s: %w", name, err)
	}
	return t, nil
}

// checkZeros reports settings that are written as 0 where that would be no different from leaving
// them out, for their default.
func (t *Task) checkZeros(d *Decoder, root *yaml.Node) {
	for _, z := range []struct {
		path string
		zero bool
		msg  string
	}{
		{"interval", t.Interval == 0, "must be 0.5 to 0.999"},
		{"max_devices", t.MaxDevices == 0, fmt.Sprintf("must be at least 1; left out it is %d", DefaultMaxDevices)},
		{"target.tolerance", t.Target.Tolerance == 0, "must be above 0, such as 1ms; left out it is half the horizon"},
		{"time.max_future", t.Time.MaxFuture == 0, "must be above 0, such as 1ms; left out it is 5m"},
		{"rows.max_age", t.Rows.MaxAge == 0, "must be above 0, such as 1ms; left out it is 3h"},
		{"rows.idle", t.Rows.Idle == 0, "must be above 0, such as 1ms; left out it is 2s"},
		{"rows.every", t.Rows.Every == 0, "must be at least 1ms"},
		{"budget.latency", t.Budget.Latency == 0, "must be above 0; left out it is 1ms"},
		{"budget.size", t.Budget.Size == 0, "must be above 0; left out it is 4MB"},
	} {
		if n := nodeAt(root, z.path); z.zero && n != nil {
			d.Add(&Error{Path: z.path, Line: lineOf(root, z.path), Value: n.Value, Msg: z.msg})
		}
	}
}

func (t *Task) defaults() {
	def := func(d *Duration, v time.Duration) {
		if *d == 0 {
			*d = Duration(v)
		}
	}
	if t.Kind == "" {
		t.Kind = KindForecast
	}
	if t.Interval == 0 {
		t.Interval = 0.9
	}
	if t.Time.Format == "" {
		t.Time.Format = "auto"
	}
	def(&t.Time.MaxFuture, 5*time.Minute)
	def(&t.Rows.MaxAge, 3*time.Hour)
	def(&t.Rows.Idle, 2*time.Second)
	if t.Horizon() > 0 {
		def(&t.Target.Tolerance, t.Horizon()/2)
	}
	def(&t.Target.Tolerance, time.Second)
	if t.Publish.Topic == "" {
		t.Publish.Topic = "skerry/{device}/{task}/prediction"
	}
	if t.Sync.Readings == "" {
		t.Sync.Readings = "all"
	}
	if t.Sync.Predictions == "" {
		t.Sync.Predictions = "100%"
	}
	def(&t.Budget.Latency, time.Millisecond)
	if t.MaxDevices == 0 {
		t.MaxDevices = DefaultMaxDevices
	}
	if t.Budget.Size == 0 {
		t.Budget.Size = 4e6
	}
	if t.Rows.On == "" && t.Rows.Every == 0 && t.Kind == KindForecast {
		t.Rows.On = t.Target.Series
	}
	if t.Kind == KindAnomaly && t.Rows.On == "" && t.Rows.Every == 0 && len(t.Inputs) > 0 {
		t.Rows.On = t.Inputs[0].Series
	}
}

func (t *Task) check(d *Decoder, root *yaml.Node) {
	bad := func(path, value, msg string) {
		d.Add(&Error{Path: path, Line: lineOf(root, path), Value: value, Msg: msg})
	}
	if !ValidName(t.Name) {
		bad("task", t.Name, nameRule)
	}
	none := t.Target.Series == "" && t.Target.Topic == "" && t.Horizon() == 0 && t.Kind != KindAnomaly
	if none {
		bad("target", "", "is missing: name the series that is to be predicted, such as target: {series: temp, horizon: 1h}")
	}
	switch t.Kind {
	case KindForecast:
		if none {
			break
		}
		if t.Horizon() <= 0 || t.Horizon() > MaxHorizon {
			bad("target.horizon", t.Horizon().String(), "a forecast needs a horizon above 0 and at most 366 days")
		}
		if t.TargetIndex() < 0 {
			bad("target.series", t.Target.Series, "a forecast's target must be one of the inputs")
		}
	case KindRegression, KindClassification:
		if none {
			break
		}
		if t.Target.Topic == "" {
			bad("target.topic", "", "labels of a "+string(t.Kind)+" task arrive by message: name their topic")
		}
		if t.Horizon() != 0 {
			bad("target.horizon", t.Horizon().String(), "only a forecast has a horizon")
		}
		if t.Kind == KindClassification {
			checkClasses(bad, t.Target.Categories)
		}
	case KindAnomaly:
		if t.Target.Series != "" || t.Target.Topic != "" || t.Horizon() != 0 {
			bad("target", t.Target.Series, "an anomaly task has no target: remove it")
		}
		schema := anomaly.Schema{Timed: true}
		for _, in := range t.Inputs {
			if len(in.Categories) == 0 {
				schema.Columns = append(schema.Columns, in.Series)
			}
		}
		name := t.Anomaly.Detector
		if name == "" {
			name = "auto"
		}
		if len(schema.Columns) == 0 {
			bad("inputs", "", "an anomaly task needs an input of numbers")
		} else if _, err := anomaly.New(name, t.Anomaly.Set, schema); err != nil {
			bad("anomaly.detector", name, err.Error())
		}
		if t.Anomaly.Rate < 0 || t.Anomaly.Rate > 0.1 {
			bad("anomaly.rate", fmt.Sprint(t.Anomaly.Rate), "must be 0 to 0.1")
		}
	default:
		bad("kind", string(t.Kind), "must be forecast, regression, classification or anomaly")
	}
	if a := t.Anomaly; t.Kind != KindAnomaly && (a.Detector != "" || a.Set != nil || a.Rate != 0) {
		bad("anomaly", a.Detector, "is for tasks of kind anomaly: remove it or set kind: anomaly")
	}
	if t.Target.Topic != "" {
		checkFilter(bad, "target.topic", t.Target.Topic)
	}
	if r := t.Target.Range; r != nil {
		if t.Kind == KindClassification || t.Kind == KindAnomaly {
			bad("target.range", fmt.Sprint(*r), "is for the target of a forecast or a regression: remove it")
		} else if !(r[0] < r[1]) {
			bad("target.range", fmt.Sprint(*r), "must be [low, high] with low < high")
		}
	}
	if t.Kind != KindAnomaly && !none && !seriesPattern.MatchString(t.Target.Series) {
		bad("target.series", t.Target.Series, "must be 1 to 127 letters, digits or _.:- and start with a letter or digit")
	}
	if n := len(t.Inputs); n == 0 || n > MaxInputs {
		bad("inputs", strconv.Itoa(n)+" inputs", fmt.Sprintf("must be 1 to %d", MaxInputs))
	}
	seen := map[string]int{}
	for i, in := range t.Inputs {
		at := fmt.Sprintf("inputs[%d]", i)
		if !seriesPattern.MatchString(in.Series) {
			bad(at+".series", in.Series, "must be 1 to 127 letters, digits or _.:- and start with a letter or digit")
		}
		if j, dup := seen[in.Series]; dup {
			bad(at+".series", in.Series, fmt.Sprintf("already defined by inputs[%d]", j))
		}
		seen[in.Series] = i
		if in.Topic == "" {
			bad(at+".topic", "", "name the MQTT topic the series arrives on")
		} else {
			checkFilter(bad, at+".topic", in.Topic)
		}
		if in.Range != nil && !(in.Range[0] < in.Range[1]) {
			bad(at+".range", fmt.Sprint(*in.Range), "must be [low, high] with low < high")
		}
		if len(in.Categories) > MaxCategories {
			bad(at+".categories", strconv.Itoa(len(in.Categories)), fmt.Sprintf("at most %d", MaxCategories))
		}
		checkNames(bad, at+".categories", "category", in.Categories)
		if in.Sync != "" && in.Sync != "rows" && in.Sync != "none" {
			bad(at+".sync", in.Sync, "must be rows or none")
		}
		if err := CheckPath(in.Path); err != nil {
			bad(at+".path", in.Path, err.Error())
		}
		checkForms(bad, at, in.Time, in.Number, in.Words, in.Categories)
	}
	checkForms(bad, "target", t.Target.Time, t.Target.Number, t.Target.Words, t.Target.Categories)
	t.checkFeatures(bad, seen)
	t.checkCaptures(bad)
	if _, _, err := t.Calendar.Read(); err != nil {
		bad("calendar", "", err.Error())
	}
	for path, p := range map[string]string{"time.path": t.Time.Path, "target.path": t.Target.Path, "target.id": t.Target.ID, "rows.id": t.Rows.ID} {
		if err := CheckPath(p); err != nil {
			bad(path, p, err.Error())
		}
	}
	t.checkIDs(bad)
	checkTime(bad, "time", t.Time.Format, t.Time.Zone)
	switch {
	case t.Rows.On != "" && t.Rows.Every != 0:
		bad("rows", t.Rows.On, "rows fire on a series or on a cadence, not both: remove rows.on or rows.every")
	case t.Rows.On == "" && t.Rows.Every == 0 && none:
	case t.Rows.On == t.Target.Series && t.TargetIndex() < 0 && t.Kind == KindForecast: // is said of the target
	case t.Rows.On == "" && t.Rows.Every == 0:
		bad("rows", "", "say when a row fires: rows.on: <series> or rows.every: <duration>")
	case t.Rows.On != "" && seen[t.Rows.On] == 0 && (len(t.Inputs) == 0 || t.Inputs[0].Series != t.Rows.On):
		bad("rows.on", t.Rows.On, "must be one of the inputs")
	case t.Rows.Every != 0 && t.Rows.Every.Std() < time.Millisecond:
		bad("rows.every", t.Rows.Every.Std().String(), "must be at least 1ms")
	}
	if t.Interval < 0.5 || t.Interval > 0.999 {
		bad("interval", fmt.Sprint(t.Interval), "must be 0.5 to 0.999")
	}
	if t.Adapt.Share < 0 || t.Adapt.Share > 0.2 {
		bad("adapt.share", fmt.Sprint(t.Adapt.Share), "must be 0 to 0.2")
	}
	if t.Adapt.MaxBytes != 0 && (t.Adapt.MaxBytes < minLearner || t.Adapt.MaxBytes > maxLearner) {
		bad("adapt.max_bytes", fmt.Sprint(int64(t.Adapt.MaxBytes)), "must be 64KB to 256MB")
	}
	for i, name := range t.Adapt.Learners {
		if err := learner.Known(name, t.Kind == KindClassification); err != nil {
			bad(fmt.Sprintf("adapt.learners[%d]", i), name, err.Error())
		}
		if slices.Index(t.Adapt.Learners, name) != i {
			bad(fmt.Sprintf("adapt.learners[%d]", i), name, "is listed twice")
		}
	}
	for i, name := range t.Adapt.Detectors {
		if _, err := drift.New(name, nil); err != nil {
			bad(fmt.Sprintf("adapt.detectors[%d]", i), name, err.Error())
		}
		if slices.Index(t.Adapt.Detectors, name) != i {
			bad(fmt.Sprintf("adapt.detectors[%d]", i), name, "is listed twice")
		}
	}
	if t.Sync.Readings != "all" && t.Sync.Readings != "none" {
		bad("sync.readings", t.Sync.Readings, "must be all or none")
	}
	if _, err := parsePercent(t.Sync.Predictions); err != nil {
		bad("sync.predictions", t.Sync.Predictions, err.Error())
	}
	if n := t.Publish.Explain; n < 0 || n > MaxExplain {
		bad("publish.explain", strconv.Itoa(n), fmt.Sprintf("must be 0 to %d shares", MaxExplain))
	}
	if topic := t.PublishTopic(""); strings.ContainsAny(topic, "+#\x00") || t.Publish.Topic == "" {
		bad("publish.topic", t.Publish.Topic, "must be a topic without the wildcards + and #")
	} else if strings.ContainsAny(topic, "{}") {
		bad("publish.topic", t.Publish.Topic, "may have {device} and {task} in braces, which stand for their names, and no other")
	}
}

// checkIDs checks how labels find their rows by an id.
func (t *Task) checkIDs(bad func(path, value, msg string)) {
	label, row := t.Target.ID, t.Rows.ID
	if label == "" && row == "" {
		return
	}
	on := slices.IndexFunc(t.Inputs, func(in Input) bool { return in.Series == t.Rows.On })
	switch {
	case t.Target.Topic == "":
		bad("rows.id", row, "is for tasks whose labels arrive by message (target.topic): remove it")
	case label == "":
		bad("target.id", "", "where the id stands in the messages of labels, as rows.id does for rows: both or neither")
	case row == "":
		bad("rows.id", "", "where the id stands in the messages of the series of rows.on, as target.id does for labels: both or neither")
	case t.Rows.On == "":
		bad("rows.id", row, "rows at every multiple of a time have no id: name the series that makes them, rows.on")
	case t.Target.Time != InputTime{}:
		bad("target.time", t.Target.Time.Path, "a label has an id or a time: remove target.time or target.id and rows.id")
	case t.Target.Path == "":
		bad("target.path", "", "a message that is the bare label has no id: name the path of the label in it")
	case on >= 0 && t.Inputs[on].Path == "":
		bad(fmt.Sprintf("inputs[%d].path", on), "", "a message that is the bare value has no id: name the path of the value in it")
	}
}

func checkFilter(bad func(path, value, msg string), path, topic string) {
	if err := CheckFilter(topic); err != nil {
		bad(path, topic, err.Error())
	}
}

// CheckFilter reports what is wrong with an MQTT topic filter, nil when it can be subscribed to.
func CheckFilter(topic string) error {
	if topic == "" || len(topic) > 1024 || strings.ContainsRune(topic, 0) {
		return errors.New("a topic filter has 1 to 1024 characters and no NUL")
	}
	levels := strings.Split(topic, "/")
	switch levels[0] {
	case "$share", "$queue", "$exclusive": // the broker delivers such messages on the topic behind
		return errors.New("a subscription that brokers share among clients, or give to one alone, leaves out readings: write the topic that the sensor publishes on, without " + levels[0])
	}
	for i, l := range levels {
		if strings.Contains(l, "#") && (l != "#" || i != len(levels)-1) {
			return errors.New("# stands alone and last")
		}
		if strings.Contains(l, "+") && l != "+" {
			return errors.New("+ stands alone between slashes")
		}
	}
	return nil
}

func parsePercent(s string) (float64, error) {
	f, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
	if err != nil || !strings.HasSuffix(s, "%") || !(f >= 0 && f <= 100) {
		return 0, errors.New("must be a percentage from 0% to 100%")
	}
	return f / 100, nil
}

var pathPattern = regexp.MustCompile(`^\$(\.[A-Za-z0-9_][A-Za-z0-9_-]*|\['[^']+'\]|\[\d{1,4}\]|\[\*\])*$`)

// CheckPath reports what is wrong with a JSON path, nil when it can be used. Empty is allowed.
func CheckPath(p string) error {
	if len(p) > 1024 {
		return errors.New("a path has at most 1024 characters")
	}
	if p == "" || pathPattern.MatchString(p) {
		return nil
	}
	return errors.New("must be a path such as $.pm25, $.values[0].x, $['odd name'] or $[*].v")
}
