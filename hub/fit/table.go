package fit

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/engine"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
	"skerry.dev/hub/selection"
)

const (
	maxClasses    = 1 << 12 // different whole numbers of a target that is declared to hold classes
	maxCategories = 255     // of an input; rarer ones count as missing
	testShare     = 0.2     // of a time split
	second        = int64(time.Second / time.Microsecond)
)

// rowSet is a table in the order and the form of a problem's inputs.
type rowSet struct {
	times  []int64
	values [][]float64
	target []float64
}

// shape describes what the columns of a table are for.
type shape struct {
	kind    string
	target  string
	unit    string // of the target, "" unknown
	time    string // "" without
	weight  string // "" without
	inputs  []feature.Input
	classes []string
	dropped []string // columns that cannot be used, with the reason
}

// describe decides what each column is for.
func describe(f *frame.Frame, o *Options) (*shape, error) {
	t, err := tabular.Column(f, o.Target)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	s := &shape{target: t.Name, unit: t.Unit, kind: o.Kind}
	if o.Time != "" {
		c, err := tabular.Column(f, o.Time)
		if err != nil {
			return nil, fmt.Errorf("time: %w", err)
		}
		s.time = c.Name
	}
	if o.Weight != "" {
		c, err := tabular.Column(f, o.Weight)
		if err != nil {
			return nil, fmt.Errorf("weight: %w", err)
		}
		s.weight = c.Name
	}
	if err := s.kindOf(t, o); err != nil {
		return nil, err
	}
	drop := map[string]bool{}
	for _, d := range o.Drop {
		c, err := tabular.Column(f, d)
		if err != nil {
			return nil, fmt.Errorf("drop: %w", err)
		}
		drop[c.Name] = true
	}
	for i := range f.Columns {
		c := &f.Columns[i]
		if drop[c.Name] || c.Name == s.time || c.Name == s.weight || c.Name == s.target && s.kind != artifact.KindForecast {
			continue
		}
		switch {
		case c.Type == frame.Time:
			s.dropped = append(s.dropped, c.Name+": a time")
		case c.Missing() == c.Len():
			s.dropped = append(s.dropped, c.Name+": no value")
		case c.Type == frame.Category:
			names := c.Frequent(maxCategories)
			if n := len(c.Categories) - len(names); n > 0 {
				s.dropped = append(s.dropped, fmt.Sprintf("%s: the rarer %d of %d categories count as missing", c.Name, n, len(c.Categories)))
			}
			s.inputs = append(s.inputs, feature.Input{Name: c.Name, Categories: names})
		default:
			s.inputs = append(s.inputs, feature.Input{Name: c.Name, Unit: c.Unit})
		}
	}
	if len(s.inputs) == 0 {
		return nil, fmt.Errorf("no column is left to predict %q from (%s)", s.target, strings.Join(s.dropped, "; "))
	}
	return s, artifact.CheckSchema(&artifact.Manifest{Inputs: s.inputs, Output: artifact.Output{Classes: s.classes}})
}

// kindOf decides what the target is.
func (s *shape) kindOf(t *frame.Column, o *Options) error {
	if o.Horizon > 0 {
		s.kind = artifact.KindForecast
		if s.time == "" {
			return fmt.Errorf("a forecast needs the column of the event time: name it by --time")
		}
		if t.Type != frame.Number {
			return fmt.Errorf("target %q holds %s: a forecast is of a number", t.Name, t.Type)
		}
		return nil
	}
	if t.Missing() == t.Len() {
		return fmt.Errorf("target %q has no value in any row", t.Name)
	}
	if t.Type == frame.Time {
		return fmt.Errorf("target %q holds times: must be numbers or classes", t.Name)
	}
	if s.kind == "" {
		s.kind = artifact.KindRegression
		if tabular.AreClasses(t) {
			s.kind = artifact.KindClassification
		}
	}
	switch {
	case s.kind == artifact.KindClassification:
		if s.classes = tabular.Classes(t, max(len(t.Categories), maxClasses)); s.classes == nil {
			return fmt.Errorf("target %q holds fractions: classes are text or whole numbers", t.Name)
		}
	case s.kind == artifact.KindRegression && t.Type != frame.Number:
		return fmt.Errorf("target %q holds %s: a regression is of a number", t.Name, t.Type)
	case s.kind != artifact.KindRegression:
		return fmt.Errorf("kind %q: must be regression or classification, or give a horizon for a forecast", s.kind)
	}
	if s.kind == artifact.KindClassification && len(s.classes) < 2 {
		return fmt.Errorf("target %q has one class only", t.Name)
	}
	return nil
}

// rows brings a table into the shape: categories and classes by name, values of unknown ones
// missing.
func (s *shape) rows(f *frame.Frame) (*rowSet, error) {
	r, err := s.inputRows(f)
	if err != nil {
		return nil, err
	}
	r.target, err = s.targetOf(f)
	return r, err
}

// inputRows is rows without the target.
func (s *shape) inputRows(f *frame.Frame) (*rowSet, error) {
	r := &rowSet{times: make([]int64, f.Rows), values: make([][]float64, f.Rows)}
	flat := make([]float64, f.Rows*len(s.inputs))
	for i := range r.values {
		r.values[i] = flat[i*len(s.inputs) : (i+1)*len(s.inputs) : (i+1)*len(s.inputs)]
		r.times[i] = int64(i) * second
	}
	at, err := s.columns(f)
	if err != nil {
		return nil, err
	}
	for j, in := range s.inputs {
		get, err := tabular.Codes(at[j], in.Categories)
		if err != nil {
			return nil, err
		}
		for i := range r.values {
			r.values[i][j] = get(i)
		}
	}
	if s.time != "" {
		r.times, err = s.timesOf(f)
	}
	return r, err
}

// columns are those of the inputs.
func (s *shape) columns(f *frame.Frame) ([]*frame.Column, error) {
	names, wanted := tabular.NamesOf(f), make([]string, len(s.inputs))
	for j, in := range s.inputs {
		wanted[j] = in.Name
	}
	at, err := tabular.Match(names, wanted)
	if err != nil {
		return nil, err
	}
	out := make([]*frame.Column, len(at))
	for j, i := range at {
		if i < 0 {
			return nil, tabular.NoColumn(append(names, f.Left...), wanted[j])
		}
		out[j] = &f.Columns[i]
	}
	return out, nil
}

// reading is how a table is read for an artifact: columns of the types that it was trained on, and
// no other column.
func (s *shape) reading(o tabular.Options) tabular.Options {
	o.Only, o.Types, o.Time = true, map[string]frame.Type{}, s.time
	if s.target != "" {
		o.Types[s.target] = frame.Number
		if s.classes != nil {
			o.Types[s.target] = frame.Category
		}
	}
	for _, in := range s.inputs {
		o.Types[in.Name] = frame.Number
		if len(in.Categories) > 0 {
			o.Types[in.Name] = frame.Category
		}
	}
	return o
}

// fits is an error when a table is not one for an artifact; what is only worth a word goes to note.
func (s *shape) fits(f *frame.Frame, note func(string)) error {
	if err := s.units(f); err != nil {
		return err
	}
	return s.unknown(f, note)
}

// units is an error when numbers have another unit than those that were learned from.
func (s *shape) units(f *frame.Frame) error {
	at, err := s.columns(f)
	if err != nil {
		return err
	}
	for j, in := range s.inputs {
		if err := tabular.CheckUnit(at[j].Name, at[j].Unit, in.Unit); err != nil {
			return err
		}
	}
	if s.unit == "" || s.target == "" {
		return nil
	}
	c, err := tabular.Column(f, s.target)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	return tabular.CheckUnit(c.Name, c.Unit, s.unit)
}

// unknown passes on how many cells hold categories or classes that an artifact does not know. It is
// an error when no label is one of its classes.
func (s *shape) unknown(f *frame.Frame, note func(string)) error {
	if note == nil {
		note = func(string) {}
	}
	at, err := s.columns(f)
	if err != nil {
		return err
	}
	for j, in := range s.inputs {
		if n := tabular.Unknown(at[j], in.Categories); n != "" {
			note(n)
		}
	}
	if s.classes == nil || s.target == "" {
		return nil
	}
	c, err := tabular.Column(f, s.target)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	book := tabular.NewCodebook(s.classes)
	if len(c.Categories) > 0 && !slices.ContainsFunc(c.Categories, func(name string) bool { return book.Index(name) >= 0 }) {
		return fmt.Errorf("target %q holds %s, none of which is a class of the artifact: it has %s; a model of another program gets the names of its classes by: skerry-hub import-model --classes",
			c.Name, list(c.Categories), list(s.classes))
	}
	if n := tabular.Unknown(c, s.classes); n != "" {
		note(n)
	}
	return nil
}

// list joins some names.
func list(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// targetOf returns the target's values: numbers, or indices of classes.
func (s *shape) targetOf(f *frame.Frame) ([]float64, error) {
	t, err := tabular.Column(f, s.target)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	get, err := tabular.Codes(t, s.classes)
	if err != nil {
		return nil, err
	}
	y := make([]float64, f.Rows)
	for i := range y {
		y[i] = get(i)
	}
	return y, nil
}

// timesOf returns the event times of a table, of which dataset.Read has left rows that have one.
func (s *shape) timesOf(f *frame.Frame) ([]int64, error) {
	c, err := tabular.Column(f, s.time)
	if err != nil {
		return nil, fmt.Errorf("time: %w", err)
	}
	times, err := tabular.Times(c)
	if err != nil {
		return nil, fmt.Errorf("time: %w", err)
	}
	return times, nil
}

// order returns the rows in the order of their times, or of the file without such a column.
func (s *shape) order(f *frame.Frame) ([]int32, error) {
	at := make([]int32, f.Rows)
	for i := range at {
		at[i] = int32(i)
	}
	if s.time == "" {
		return at, nil
	}
	times, err := s.timesOf(f)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(at, func(a, b int32) int { return cmp.Compare(times[a], times[b]) })
	return at, nil
}

// pick returns the rows for which keep holds.
func (r *rowSet) pick(keep func(i int) bool) *rowSet {
	out := &rowSet{}
	for i := range r.times {
		if keep(i) {
			out.times, out.values, out.target = append(out.times, r.times[i]), append(out.values, r.values[i]), append(out.target, r.target[i])
		}
	}
	return out
}

// order sorts the rows by time, keeping the file's order of equal ones.
func (r *rowSet) order() {
	at := make([]int, len(r.times))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int {
		switch {
		case r.times[a] < r.times[b]:
			return -1
		case r.times[a] > r.times[b]:
			return 1
		}
		return 0
	})
	out := rowSet{}
	for _, i := range at {
		out.times, out.values, out.target = append(out.times, r.times[i]), append(out.values, r.values[i]), append(out.target, r.target[i])
	}
	*r = out
}

// hashTest reports whether the row at a position of the file belongs to the test rows of the hash
// split: a fifth of them, the same everywhere, without a random generator.
func hashTest(i int) bool { return hashFold(i) == 0 }

// hashFold is the fifth that a row is in.
func hashFold(i int) uint32 { return (uint32(i) * 2654435761 >> 16) % Folds }

// independent makes a device of rows that have nothing to do with each other. Shuffled, the
// holdout is any of them; else the newest.
func independent(r *rowSet, shuffle bool, seed uint64) selection.Series {
	s := selection.Series{Device: "file"}
	at := make([]int, len(r.times))
	for i := range at {
		at[i] = i
	}
	if shuffle {
		rng := rand.New(rand.NewPCG(seed, 0x666974))
		rng.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
	}
	for k, i := range at {
		s.Times, s.Values, s.Target = append(s.Times, int64(k)*second), append(s.Values, r.values[i]), append(s.Target, r.target[i])
	}
	return s
}

// forecast joins the rows by the engine that runs on devices and labels them with what came a
// horizon later.
func forecast(sh *shape, r *rowSet, o *Options) (selection.Series, error) {
	out := selection.Series{Device: "file"}
	cfg := engine.Config{
		Task:      o.Task,
		Kind:      engine.Forecast,
		Target:    sh.targetIndex(),
		On:        sh.targetIndex(),
		Horizon:   o.Horizon.Microseconds(),
		Tolerance: o.Horizon.Microseconds() / 2,
		MaxAge:    3 * o.Horizon.Microseconds(),
	}
	for _, in := range sh.inputs {
		cfg.Series = append(cfg.Series, engine.Series{
			Name:       in.Name,
			Min:        math.NaN(),
			Max:        math.NaN(),
			Categories: in.Categories,
		})
	}
	e, err := engine.New(cfg)
	if err != nil {
		return out, err
	}
	index := map[int64]int{}
	take := func(o *engine.Output) {
		for _, w := range o.Rows {
			index[w.Time] = len(out.Times)
			out.Times, out.Values = append(out.Times, w.Time), append(out.Values, slices.Clone(w.Values))
			out.Target, out.Baseline = append(out.Target, math.NaN()), append(out.Baseline, w.Values[cfg.Target])
		}
		for _, l := range o.Labels {
			if i, ok := index[l.Row]; ok {
				out.Target[i] = l.Truth
			}
		}
	}
	again := 0
	for i := 1; i < len(r.times); i++ {
		if r.times[i] == r.times[i-1] {
			again++
		}
	}
	if again > 0 {
		o.note("%d of %d rows have the time of a row before them and are left out: a forecast learns from the readings of one device; where a column names the device, fit one device's rows at a time, and where clocks are set back write times with their offset", again, len(r.times))
	}
	var batch []engine.Reading
	for i, t := range r.times {
		batch = batch[:0]
		for j, v := range r.values[i] {
			if !math.IsNaN(v) {
				batch = append(batch, engine.Reading{Series: j, Time: t, Value: v})
			}
		}
		if len(batch) > 0 {
			take(e.Ingest(engine.NoArrival, batch))
		}
	}
	return out, nil
}

func (s *shape) targetIndex() int {
	return slices.IndexFunc(s.inputs, func(in feature.Input) bool { return in.Name == s.target })
}
