package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/conformal"
	"skerry.dev/compute/drift"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/online"
	"skerry.dev/compute/online/committee"
	"skerry.dev/compute/online/learner"
	"skerry.dev/compute/tabular"
)

// Auto is the learner of a table unless another is named: a committee of several.
const Auto = "auto"

// Limits of a table.
const (
	MaxDelay      = 1_000_000 // rows
	maxFewValues  = 10        // whole numbers of a target that are taken for classes
	maxCategories = 255       // of an input; rarer ones count as missing
)

// TableOptions of a prequential run over a table: predict a row, score the prediction, then learn.
type TableOptions struct {
	Name     string // of the file, for messages
	Target   string
	Time     string   // column of the row's time; its time of day and week become inputs
	Drop     []string // columns that are no inputs
	Kind     string   // classification or regression; "": by the target's values
	Learners []string // none: Auto
	Set      learner.Settings
	// a hub's model for the columns, which joins the learners with a local corrector; nil: none
	Model    *artifact.Artifact
	Detector drift.Detector // of the errors; nil: none
	Watching string         // its name
	Delay    int            // how many more rows are predicted before a row's label is known
	Level    float64        // of intervals; default 0.9
	Share    float64        // of the committee; default 0.01
	Seed     uint64
	Progress func(row, rows int) // may be nil
	Visit    func(r *TableRow) error
}

// TableRow is a row that was predicted and, later, labelled.
type TableRow struct {
	Row          int
	Truth        float64 // a class's number or the value
	Predicted    float64
	Lower, Upper float64   // NaN for classes and before enough errors are known
	Classes      []float64 // probabilities; belongs to the run
	Set          []bool    // classes that hold the truth with probability Level; belongs to the run
	// of the hub's model alone: log loss, or the absolute error; NaN without one
	ModelLoss float64
}

// TableReport is what a run over a table measured. Rows count from 0, without the header.
type TableReport struct {
	File      string                   `json:"file"`
	Rows      int                      `json:"rows"` // that have a label
	Kind      string                   `json:"kind"`
	Target    string                   `json:"target"`
	Classes   []string                 `json:"classes,omitempty"`
	Learner   string                   `json:"learner"`
	Detector  string                   `json:"detector,omitempty"`
	Delay     int                      `json:"delay"`
	Metrics   *TableMetrics            `json:"metrics"`
	Baselines map[string]*TableMetrics `json:"baselines"`
	Experts   []ExpertSummary          `json:"experts"`
	Drifts    []int                    `json:"drifts"`
	// columns that are no inputs, and why
	Dropped []string     `json:"dropped,omitempty"`
	Speed   float64      `json:"rows_per_second"`
	Bytes   int          `json:"state_bytes"`
	Curve   []CurvePoint `json:"-"`
}

// ExpertSummary is one expert's mean loss (log loss, or the absolute error) and its weight at the
// end.
type ExpertSummary struct {
	Name   string  `json:"name"`
	Loss   float64 `json:"loss"`
	Weight float64 `json:"weight"`
}

// CurvePoint is the mean error of the rows up to Row since the point before: the share of wrong
// classes, or the mean absolute error.
type CurvePoint struct {
	Row         int
	Error, Last float64
}

// curvePoints is how many points the curve of a run has.
const curvePoints = 200

// Prequential runs learners over a CSV file with a header line: each row is predicted, then
// scored, then learned.
func Prequential(ctx context.Context, r io.Reader, o TableOptions) (*TableReport, error) {
	f, err := tabular.Read(r, tabular.Options{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	t, err := newTable(f, &o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	return t.run(ctx)
}

// table is a file that is replayed.
type table struct {
	o       *TableOptions
	rep     *TableReport
	s       online.Schema // of the columns
	columns []*frame.Column
	code    [][]float64 // by input: the number of a category; nil for numbers
	clock   *frame.Column
	y       []float64
	c       *committee.Committee
	recent  *online.Recent
	echo    *online.Echo
	echoAt  int // where a row has it, behind the columns and the newest labels
	saidAt  int // and where it has what the model says
	model   *tableModel
	same    float64 // rows whose label was that of the row before, and all
	seen    float64
}

func newTable(f *frame.Frame, o *TableOptions) (*table, error) {
	if o.Level == 0 {
		o.Level = 0.9
	}
	if len(o.Learners) == 0 {
		o.Learners = []string{Auto}
	}
	if o.Delay < 0 || o.Delay > MaxDelay {
		return nil, fmt.Errorf("delay %d: must be 0 to %d rows", o.Delay, MaxDelay)
	}
	t := &table{
		o: o,
		rep: &TableReport{
			File:     o.Name,
			Delay:    o.Delay,
			Detector: o.Watching,
			Learner:  strings.Join(o.Learners, ","),
			Drifts:   []int{},
		},
	}
	target, err := named(f, "target", o.Target)
	if err != nil {
		return nil, err
	}
	t.rep.Target = target.Name
	if err := t.labels(target); err != nil {
		return nil, err
	}
	if err := t.inputs(f, target); err != nil {
		return nil, err
	}
	if err := t.experts(); err != nil {
		return nil, err
	}
	return t, nil
}

func named(f *frame.Frame, what, name string) (*frame.Column, error) {
	c, err := f.Column(name)
	if err != nil {
		names := make([]string, len(f.Columns))
		for i := range f.Columns {
			names[i] = f.Columns[i].Name
		}
		return nil, fmt.Errorf("%s: there is no column %q: there are %s", what, name, strings.Join(names, ", "))
	}
	return c, nil
}

// labels decides what the target is and numbers its classes: in the order of their names, or of
// the numbers.
func (t *table) labels(c *frame.Column) error {
	if c.Type == frame.Time || c.Missing() == c.Len() {
		return fmt.Errorf("target %q holds %s: must be numbers or classes, in some rows at least", c.Name, map[bool]string{
			true:  "times",
			false: "no value",
		}[c.Type == frame.Time])
	}
	var whole []float64
	if c.Type == frame.Number {
		for _, v := range c.Values {
			if v != v {
				continue
			}
			at, found := slices.BinarySearch(whole, v)
			if !found {
				whole = slices.Insert(whole, at, v)
			}
			if v != math.Trunc(v) || len(whole) > online.MaxClasses {
				whole = nil
				break
			}
		}
	}
	kind := t.o.Kind
	if kind == "" {
		if kind = "regression"; c.Type == frame.Category || whole != nil && len(whole) <= maxFewValues {
			kind = "classification"
		}
	}
	t.rep.Kind, t.y = kind, c.Values
	switch {
	case kind == "regression" && c.Type == frame.Number:
		return nil
	case kind == "regression":
		return fmt.Errorf("target %q holds text: a regression needs numbers", c.Name)
	case kind != "classification":
		return fmt.Errorf("kind %q: must be classification or regression", kind)
	case c.Type == frame.Number && whole == nil:
		return fmt.Errorf("target %q holds fractions or more than %d different numbers: classes are text or few whole numbers", c.Name, online.MaxClasses)
	}
	order := make([]int, 0, len(c.Categories))
	if c.Type == frame.Category {
		t.rep.Classes = slices.Sorted(slices.Values(c.Categories))
		for _, name := range c.Categories {
			k, _ := slices.BinarySearch(t.rep.Classes, name)
			order = append(order, k)
		}
	} else {
		for _, v := range whole {
			t.rep.Classes = append(t.rep.Classes, fmt.Sprintf("%g", v))
		}
	}
	if n := len(t.rep.Classes); n < 2 || n > online.MaxClasses {
		return fmt.Errorf("target %q has %d classes, must be 2 to %d", c.Name, n, online.MaxClasses)
	}
	t.s.Classes = len(t.rep.Classes)
	t.y = slices.Clone(c.Values)
	for i, v := range t.y {
		switch {
		case v != v:
		case c.Type == frame.Category:
			t.y[i] = float64(order[int(v)])
		default:
			k, _ := slices.BinarySearch(whole, v)
			t.y[i] = float64(k)
		}
	}
	return nil
}

func (t *table) inputs(f *frame.Frame, target *frame.Column) error {
	drop := map[string]bool{target.Name: true}
	for _, name := range t.o.Drop {
		c, err := named(f, "drop", name)
		if err != nil {
			return err
		}
		drop[c.Name] = true
	}
	if t.o.Time != "" {
		c, err := named(f, "time", t.o.Time)
		if err != nil {
			return err
		}
		if c.Type != frame.Time {
			return fmt.Errorf("time: column %q holds no times but %s", c.Name, c.Type)
		}
		t.clock, drop[c.Name] = c, true
	}
	for i := range f.Columns {
		c := &f.Columns[i]
		switch {
		case drop[c.Name]:
			continue
		case c.Type == frame.Time:
			t.rep.Dropped = append(t.rep.Dropped, c.Name+": a time")
			continue
		case c.Missing() == c.Len():
			t.rep.Dropped = append(t.rep.Dropped, c.Name+": no value")
			continue
		}
		in, code := online.Input{Name: c.Name}, []float64(nil)
		if c.Type == frame.Category {
			code = make([]float64, len(c.Categories))
			for k := range code {
				code[k] = math.NaN()
			}
			kept := c.Frequent(maxCategories)
			for k, name := range kept {
				code[slices.Index(c.Categories, name)] = float64(k)
			}
			if len(kept) < 2 {
				t.rep.Dropped = append(t.rep.Dropped, c.Name+": one category only")
				continue
			}
			if n := len(c.Categories) - len(kept); n > 0 {
				t.rep.Dropped = append(t.rep.Dropped, fmt.Sprintf("%s: the rarer %d of %d categories count as missing", c.Name, n, len(c.Categories)))
			}
			in.Categories = len(kept)
		}
		t.columns, t.code, t.s.Inputs = append(t.columns, c), append(t.code, code), append(t.s.Inputs, in)
	}
	if t.clock != nil {
		t.s.Inputs = append(t.s.Inputs, online.Input{Name: "time of day, sin"}, online.Input{Name: "time of day, cos"}, online.Input{Name: "time of week, sin"}, online.Input{Name: "time of week, cos"})
	}
	if len(t.s.Inputs) == 0 {
		return fmt.Errorf("no column is left to predict %q from (%s)", target.Name, strings.Join(t.rep.Dropped, "; "))
	}
	return nil
}

// experts sets the committee up: the learners that were named on the columns alone, or Auto's,
// which see the newest labels as well.
func (t *table) experts() error {
	t.recent, t.echo = online.NewRecent(t.s), online.NewEcho(t.s)
	t.echoAt = len(t.s.Inputs) + len(t.recent.Inputs())
	t.saidAt = t.echoAt + len(t.echo.Inputs())
	var members []committee.Member
	if slices.Contains(t.o.Learners, Auto) {
		if len(t.o.Learners) > 1 || len(t.o.Set) > 0 {
			return errors.New("learner auto is a committee of its own: it goes with no other learner and has no settings")
		}
		wide := t.s
		wide.Inputs = slices.Concat(t.s.Inputs, t.recent.Inputs())
		var err error
		if members, err = learner.Auto(wide, len(t.s.Inputs), t.o.Seed); err != nil {
			return err
		}
	} else {
		for k, name := range t.o.Learners {
			m := committee.Member{Name: name}
			var err error
			if t.s.Classes > 0 {
				m.Class, err = learner.Classifier(name, t.s, t.o.Set, t.o.Seed+uint64(k))
			} else {
				m.Value, err = learner.Regressor(name, t.s, t.o.Set, t.o.Seed+uint64(k))
			}
			if err != nil {
				return err
			}
			members = append(members, learner.Narrow(m, len(t.s.Inputs)))
		}
		if len(members) > 1 {
			members = append(members, committee.Member{Name: learner.Last})
		}
	}
	var err error
	if t.o.Model != nil {
		if t.model, err = t.newModel(t.o.Model); err != nil {
			return err
		}
		wide := t.s
		wide.Inputs = slices.Concat(t.s.Inputs, t.recent.Inputs(), t.echo.Inputs())
		own, err := learner.WithModel(wide, t.saidAt)
		if err != nil {
			return err
		}
		members = append(own, members...)
		if members[len(members)-1].Name != learner.Last {
			members = append(members, committee.Member{Name: learner.Last})
		}
	}
	t.c, err = committee.New(t.s, members, 0)
	return err
}

// waiting is a row whose label is not known yet.
type waiting struct {
	row          int
	x, out, p    []float64
	last         float64 // the newest label when it was predicted
	lower, upper float64
	half         float64 // half the width of the interval, before the conformal factor
	why          [online.SpreadInputs]float64
	set          []bool
	size         int
}

func (t *table) run(ctx context.Context) (*TableReport, error) {
	began := time.Now()
	ring := make([]waiting, t.o.Delay+1)
	for k := range ring {
		ring[k] = waiting{
			x:   make([]float64, t.saidAt+t.c.Width()),
			out: make([]float64, t.c.Room()),
			p:   make([]float64, t.c.Width()),
			set: make([]bool, t.s.Classes),
		}
	}
	s, err := newScores(t)
	if err != nil {
		return nil, err
	}
	rows := len(t.y)
	for i := range rows + t.o.Delay {
		if i%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if t.o.Progress != nil {
				t.o.Progress(min(i, rows), rows)
			}
		}
		if i < rows {
			w := &ring[i%len(ring)]
			w.row = i
			t.predict(w)
			s.interval(w)
		}
		if due := i - t.o.Delay; due >= 0 && due < rows {
			if y := t.y[due]; y == y {
				if err := s.label(&ring[due%len(ring)], y); err != nil {
					return nil, err
				}
			}
		}
	}
	s.finish()
	rep := t.rep
	rep.Bytes, rep.Speed = t.c.Bytes(), float64(rows)/time.Since(began).Seconds()
	for k, m := range t.c.Members() {
		e := ExpertSummary{Name: m.Name, Loss: t.c.Loss(k), Weight: t.c.Weights()[k]}
		if e.Loss != e.Loss {
			e.Loss = 0
		}
		rep.Experts = append(rep.Experts, e)
	}
	return rep, nil
}

// predict fills a row's inputs and predictions.
func (t *table) predict(w *waiting) {
	k := 0
	for ; k < len(t.columns); k++ {
		v := t.columns[k].Values[w.row]
		if code := t.code[k]; code != nil && v == v {
			v = code[int(v)]
		}
		w.x[k] = v
	}
	if t.clock != nil {
		phases(w.x[k:k+4], t.clock.Times[w.row])
		k += 4
	}
	t.recent.Into(w.x[k:t.echoAt])
	w.last = t.recent.Last()
	width := t.c.Width()
	said := w.x[t.saidAt:]
	if t.model != nil {
		t.model.predict(said, w.row)
		t.echo.Into(w.x[t.echoAt:t.saidAt], said)
	}
	for m, e := range t.c.Members() {
		switch out := w.out[m*width : (m+1)*width]; {
		case e.Class != nil || e.Value != nil:
		case e.Name == learner.Last:
			t.persist(out, w.last)
		case e.Name == learner.Model:
			copy(out, said)
		}
	}
	t.c.Predict(w.p, w.out, w.x)
	if w.p[0] != w.p[0] {
		w.p[0] = 0
	}
}

// persist is what the newest label says: the same again, for classes with the share of rows in
// which that was right.
func (t *table) persist(out []float64, last float64) {
	if t.s.Classes == 0 || last != last {
		out[0] = last
		return
	}
	stay := (t.same + 1) / (t.seen + 2)
	for c := range out {
		out[c] = (1 - stay) / float64(len(out)-1)
	}
	out[int(last)] = stay
}

// phases writes where a time stands in its day and week; NaN when it is missing.
func phases(dst []float64, at int64) {
	if at == frame.NoTime {
		for i := range dst {
			dst[i] = math.NaN()
		}
		return
	}
	const day = 86_400_000_000
	for i, period := range []int64{day, 7 * day} {
		phase := 2 * math.Pi * float64(((at%period)+period)%period) / float64(period)
		dst[2*i], dst[2*i+1] = math.Sincos(phase)
	}
}

// scores follow a run.
type scores struct {
	t             *table
	own, last     *prequential
	mode          *prequential
	counts        []float64 // labels by class
	sum, n        float64   // labels
	adaptive      *conformal.Adaptive
	spread        *online.Spread
	errors        float64 // since the last point of the curve
	lasts, points float64
	unit          float64 // mean absolute error: the unit of the detector's errors
}

func newScores(t *table) (*scores, error) {
	s := &scores{
		t:      t,
		own:    newPrequential(t.s.Classes),
		last:   newPrequential(t.s.Classes),
		mode:   newPrequential(t.s.Classes),
		counts: make([]float64, t.s.Classes),
	}
	s.adaptive = conformal.NewAdaptive(t.o.Level, 500)
	var err error
	s.spread, err = online.NewSpread(t.s.Inputs)
	return s, err
}

// interval puts an interval around a prediction.
func (s *scores) interval(w *waiting) {
	w.lower, w.upper, w.half = math.NaN(), math.NaN(), math.NaN()
	if s.t.s.Classes > 0 {
		w.size = conformal.Set(w.set, w.p, s.adaptive.Factor(1))
		return
	}
	p := w.p[0]
	s.spread.Into(w.why[:], p, s.apart(w))
	w.half = s.spread.Expect(w.why[:], w.x)
	if w.half == w.half {
		h := s.adaptive.Factor(3) * w.half
		w.lower, w.upper = p-h, p+h
	}
}

// apart is the weighted mean distance of the experts' predictions from the committee's.
func (s *scores) apart(w *waiting) float64 {
	sum, total := 0.0, 0.0
	for k, v := range s.t.c.Weights() {
		if o := w.out[k]; o == o {
			sum += v * math.Abs(o-w.p[0])
			total += v
		}
	}
	if total == 0 || len(s.t.c.Members()) == 1 {
		return math.NaN()
	}
	return sum / total
}

// label scores a row and teaches it.
func (s *scores) label(w *waiting, y float64) error {
	t := s.t
	var row TableRow
	if t.s.Classes > 0 {
		choice := largest(w.p)
		s.own.class(choice, int(y), w.p[int(y)])
		s.base(w, y)
		s.own.interval(w.set[int(y)], float64(w.size))
		s.adaptive.Update(conformal.SetScore(w.p[int(y)]), w.set[int(y)], float64(t.o.Delay))
		row = TableRow{
			Row:       w.row,
			Truth:     y,
			Predicted: float64(choice),
			Lower:     math.NaN(),
			Upper:     math.NaN(),
			Classes:   w.p,
			Set:       w.set,
		}
		wrong := 0.0
		if choice != int(y) {
			wrong = 1
		}
		s.watch(w.row, wrong)
		s.point(w.row, wrong, map[bool]float64{true: 0, false: 1}[w.last == y])
		if w.last == w.last {
			t.seen++
			if w.last == y {
				t.same++
			}
		}
		s.counts[int(y)]++
	} else {
		off := math.Abs(y - w.p[0])
		s.own.value(w.p[0], y)
		s.base(w, y)
		if w.lower == w.lower {
			s.own.interval(y >= w.lower && y <= w.upper, w.upper-w.lower)
		}
		if w.half == w.half {
			s.adaptive.Update(off/w.half, y >= w.lower && y <= w.upper, float64(t.o.Delay))
		}
		s.spread.Learn(w.why[:], w.x, y, off)
		row = TableRow{Row: w.row, Truth: y, Predicted: w.p[0], Lower: w.lower, Upper: w.upper}
		if s.unit > 0 {
			s.watch(w.row, min(off/s.unit, 4)/4)
		}
		s.unit += (off - s.unit) / min(s.n+1, 500)
		lastOff := off
		if w.last == w.last {
			lastOff = math.Abs(y - w.last)
		}
		s.point(w.row, off, lastOff)
		s.sum += y
	}
	s.n++
	row.ModelLoss = t.modelLoss(w, y)
	t.recent.Add(y)
	t.c.Learn(w.x, w.out, y, 1, float64(t.o.Delay))
	if t.o.Visit != nil {
		return t.o.Visit(&row)
	}
	return nil
}

func (t *table) modelLoss(w *waiting, y float64) float64 {
	said := w.x[t.saidAt:]
	switch {
	case t.model == nil:
		return math.NaN()
	case t.s.Classes > 0:
		return -math.Log(said[int(y)])
	}
	return math.Abs(y - said[0])
}

// base scores the baselines: the newest label, and the most frequent class or the mean so far.
// Before the first label they say class 0 or 0.
func (s *scores) base(w *waiting, y float64) {
	last := w.last
	if last != last {
		last = 0
	}
	if s.t.s.Classes == 0 {
		mean := 0.0
		if s.n > 0 {
			mean = s.sum / s.n
		}
		s.last.value(last, y)
		s.mode.value(mean, y)
		return
	}
	k := len(s.counts)
	stay := (s.t.same + 1) / (s.t.seen + 2)
	p := (1 - stay) / float64(k-1)
	if int(last) == int(y) {
		p = stay
	}
	s.last.class(int(last), int(y), p)
	s.mode.class(largest(s.counts), int(y), (s.counts[int(y)]+1)/(s.n+float64(k)))
}

func (s *scores) watch(row int, loss float64) {
	if s.t.o.Detector != nil && s.t.o.Detector.Update(loss) {
		s.t.rep.Drifts = append(s.t.rep.Drifts, row)
	}
}

func (s *scores) point(row int, off, last float64) {
	s.errors += off
	s.lasts += last
	s.points++
	if every := max(1, len(s.t.y)/curvePoints); int(s.points) == every {
		s.t.rep.Curve = append(s.t.rep.Curve, CurvePoint{row, s.errors / s.points, s.lasts / s.points})
		s.errors, s.lasts, s.points = 0, 0, 0
	}
}

func (s *scores) finish() {
	rep := s.t.rep
	rep.Rows, rep.Metrics = int(s.n), s.own.metrics()
	rep.Baselines = map[string]*TableMetrics{"last": s.last.metrics()}
	if s.t.s.Classes > 0 {
		rep.Baselines["majority"] = s.mode.metrics()
	} else {
		rep.Baselines["mean"] = s.mode.metrics()
	}
}

// largest returns the index of the largest number, the first of equals.
func largest(v []float64) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}
