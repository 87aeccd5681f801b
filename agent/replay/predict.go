package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"skerry.dev/agent/models"
	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
	"skerry.dev/sync/spec"
)

// Prediction is what an artifact predicts for one row, in the target's unit. Value is NaN where
// there is no prediction; Lower and Upper also without models or calibration for them.
type Prediction struct {
	Row                 int   // of the file, from 0
	Time                int64 // of the row; frame.NoTime when the table has none
	Value, Lower, Upper float64
	Classes             []float64 // class probabilities, valid until visit returns
}

// PredictOptions define what a table is to an artifact.
type PredictOptions struct {
	Name  string          // of the file, for messages
	Task  *spec.Task      // adds its declared ranges; nil: none
	Table tabular.Options // how the file is written
	// Time and Format find the event time, see tabular.NewClock. An artifact that looks at single
	// rows needs none, and takes a column for it only when Time names it.
	Time, Format string
	// Columns maps a column to the input that it holds. Default: the column that tabular.Match
	// finds for an input.
	Columns map[string]string
}

// Predict runs the rows of a table through an artifact's pipeline, in the order of their event
// times, each with the rows before it as its history, and hands over one prediction for each row,
// in the order of the file. Columns are read by the types of the artifact's inputs: cells that are
// no number, or a category that it does not know, are missing and counted, as are values outside
// the declared range without being counted, as on a device. A row whose time is missing where one
// is needed has no prediction. It returns the number of rows.
//
// An artifact that looks at single rows needs no order: each row is handed over as it is read, with
// n = 0, and none is held. An error that shows only in many rows, or at the end, such as another
// unit, comes after them. Else visit begins once all has been read without an error, n is the
// number of rows, and a table of more than heldBytes is refused.
func Predict(ctx context.Context, r io.Reader, a *artifact.Artifact, o PredictOptions, visit func(i, n int, p *Prediction) error) (int, error) {
	t, err := newPredictTable(a, &o)
	if err != nil {
		return 0, err
	}
	if t.timed {
		return t.predictHeld(ctx, r, visit)
	}
	return t.predictAtOnce(ctx, r, visit)
}

type predictTable struct {
	a      *artifact.Artifact
	o      *PredictOptions
	bounds [][2]float64 // by input
	timed  bool         // the artifact looks back in time: it needs a clock, and all rows in order

	in      tabular.Reader
	at      []int               // columns by input, -1 for none
	books   []*tabular.Codebook // by input, nil for numbers
	tallies []tabular.Tally
	scales  []scale
	clock   *tabular.Clock // nil without
	row     []float64      // the newest row, by input
	when    int64          // and its time
	n       int            // rows read
	noTime  int            // of them without a time

	// where rows are held, at most most
	most    int
	values  held[float64] // by input
	times   held[int64]
	results held[float64] // value and classes of a classification, else value, lower and upper
}

func newPredictTable(a *artifact.Artifact, o *PredictOptions) (*predictTable, error) {
	t := &predictTable{a: a, o: o, timed: !timeless(a.Pipeline)}
	ranges := map[string]*[2]float64{}
	if o.Task != nil {
		if err := models.Fits(a, o.Task); err != nil {
			return nil, err
		}
		for i := range o.Task.Inputs {
			ranges[o.Task.Inputs[i].Series] = o.Task.Inputs[i].Range
		}
	}
	for _, in := range a.Manifest.Inputs {
		b := [2]float64{math.Inf(-1), math.Inf(1)}
		if rg := ranges[in.Name]; rg != nil {
			b = *rg
		} else if in.Min != 0 || in.Max != 0 {
			b = [2]float64{in.Min, in.Max}
		}
		t.bounds = append(t.bounds, b)
	}
	t.values.width, t.times.width, t.results.width = max(len(t.bounds), 1), 1, 3
	if m := &a.Manifest; m.Kind == artifact.KindClassification {
		t.results.width = 1 + len(m.Output.Classes)
	}
	const value, place = 8, 4 // bytes; the second of a row's place in the order of time
	t.most = heldBytes / (value*(t.values.width+t.times.width+t.results.width) + place)
	return t, nil
}

// inputColumns finds the columns of the inputs, -1 for none.
func (t *predictTable) inputColumns(names []string) ([]int, error) {
	at := make([]int, len(t.a.Manifest.Inputs))
	var wanted []string
	free := slices.Clone(names)
	for k, in := range t.a.Manifest.Inputs {
		at[k] = -1
		for column, input := range t.o.Columns {
			i := slices.Index(names, column)
			switch {
			case i < 0:
				return nil, tabular.NoColumn(names, column)
			case input == in.Name && at[k] >= 0:
				return nil, fmt.Errorf("input %q has two columns, %q and %q", input, names[at[k]], column)
			case input == in.Name:
				at[k] = i
			}
		}
		if at[k] < 0 {
			wanted = append(wanted, in.Name)
		}
	}
	for column, input := range t.o.Columns {
		if !slices.ContainsFunc(t.a.Manifest.Inputs, func(in feature.Input) bool { return in.Name == input }) {
			return nil, fmt.Errorf("column %q: the artifact has no input %q", column, input)
		}
		free = slices.DeleteFunc(free, func(n string) bool { return n == column })
	}
	found, err := tabular.Match(free, wanted)
	if err != nil {
		return nil, err
	}
	for k, in := range t.a.Manifest.Inputs {
		if w := slices.Index(wanted, in.Name); w >= 0 && found[w] >= 0 {
			at[k] = slices.Index(names, free[found[w]])
		}
	}
	return at, nil
}

// read passes each row to take, t.row and t.when, and what was counted to the notes.
func (t *predictTable) read(ctx context.Context, r io.Reader, take func() error) error {
	wrap := func(err error) error { return fmt.Errorf("read rows %s: %w", t.o.Name, err) }
	if err := t.open(r); err != nil {
		return wrap(err)
	}
	for {
		cells, err := t.in.Next()
		if errors.Is(err, io.EOF) {
			if err := t.end(); err != nil {
				return wrap(err)
			}
			return nil
		}
		if err != nil {
			return wrap(err)
		}
		if t.n%1024 == 0 && ctx.Err() != nil {
			return wrap(ctx.Err())
		}
		if t.timed && t.n == t.most {
			return wrap(fmt.Errorf("more than %d rows: the artifact looks back in time, so all are held until the last is read, and %d MiB hold no more; split the file by time, and begin each part with the %d rows before it, as far as the artifact looks back",
				t.most, heldBytes>>20, max(t.a.Pipeline.Rows, 1)-1))
		}
		t.take(cells)
		if err := take(); err != nil {
			return err
		}
		t.n++
	}
}

// open finds the columns.
func (t *predictTable) open(r io.Reader) (err error) {
	if t.in, err = tabular.Open(r, t.o.Table); err != nil {
		return err
	}
	names := tabular.Names(t.in.Fields())
	if t.at, err = t.inputColumns(names); err != nil {
		return err
	}
	inputs := t.a.Manifest.Inputs
	n := len(inputs)
	t.books, t.tallies, t.scales, t.row = make([]*tabular.Codebook, n), make([]tabular.Tally, n), make([]scale, n), make([]float64, n)
	found := 0
	for k, i := range t.at {
		if i < 0 {
			t.note(fmt.Sprintf("input %q has no column: it is missing in every row", inputs[k].Name))
			continue
		}
		if found++; len(inputs[k].Categories) > 0 {
			t.books[k] = tabular.NewCodebook(inputs[k].Categories)
		} else if k < len(t.a.Reference) {
			t.scales[k] = scale{learned: t.a.Reference[k].Quantiles}
		}
		t.tallies[k].Name = names[i]
	}
	if found == 0 {
		return fmt.Errorf("none of the columns is an input of the artifact: %w", tabular.NoColumn(names, inputs[0].Name))
	}
	if t.timed || t.o.Time != "" {
		t.clock, err = tabular.NewClock(names, t.o.Time, t.o.Format, func(i int) bool { return slices.Contains(t.at, i) })
		if errors.Is(err, tabular.ErrNoClock) {
			err = fmt.Errorf("the artifact looks back in time: %w: name it by --time", err)
		}
	}
	return err
}

// take reads the cells of a row into t.row and t.when.
func (t *predictTable) take(cells []tabular.Cell) {
	place := tabular.PlaceOf(t.in)
	for k, i := range t.at {
		v := math.NaN()
		switch {
		case i < 0:
		case t.books[k] != nil:
			v = t.tallies[k].Code(&cells[i], place, t.books[k])
		default:
			v = t.tallies[k].Number(&cells[i], place)
		}
		if v < t.bounds[k][0] || v > t.bounds[k][1] {
			v = math.NaN()
		}
		t.scales[k].see(v)
		t.row[k] = v
	}
	if t.when = frame.NoTime; t.clock != nil {
		t.when = t.clock.Time(cells, place)
	}
	if t.when == frame.NoTime {
		t.noTime++
	}
}

func (t *predictTable) note(s string) {
	if t.o.Table.Note != nil {
		t.o.Table.Note(s)
	}
}

// end passes on what was counted.
func (t *predictTable) end() error {
	if t.n == 0 {
		return errors.New("there is no row")
	}
	for k := range t.tallies {
		tally := &t.tallies[k]
		if err := tally.Wrong(frame.Number); err != nil {
			return err
		}
		if err := tabular.CheckUnit(tally.Name, tally.Unit(), t.a.Manifest.Inputs[k].Unit); err != nil {
			return err
		}
		for _, n := range tally.Notes(frame.Number) {
			t.note(n)
		}
		if n := t.scales[k].note(tally.Name); n != "" {
			t.note(n)
		}
	}
	if t.clock == nil {
		return nil
	}
	notes, err := t.clock.End()
	for _, n := range notes {
		t.note(n)
	}
	if err == nil && t.timed && t.noTime > 0 {
		t.note(fmt.Sprintf("%d of %d rows have no time and get no prediction", t.noTime, t.n))
	}
	return err
}

// farOff is how many times larger than all that a model has learned from values are that a wrong
// decimal sign or unit explains better than any change.
const farOff = 100

// scale counts the values of an input that are far off.
type scale struct {
	learned      []float64 // quantiles of the training, in order; nil: nothing is counted
	present, far int
	first        float64 // of those that are far off
}

// see counts a value, which may be missing.
func (s *scale) see(v float64) {
	if len(s.learned) == 0 || math.IsNaN(v) {
		return
	}
	largest := max(math.Abs(s.learned[0]), math.Abs(s.learned[len(s.learned)-1]))
	if s.present++; largest > 0 && math.Abs(v) > farOff*largest {
		if s.far++; s.far == 1 {
			s.first = v
		}
	}
}

// note is about an input most of whose values are farOff times larger than the largest of the
// training, "" for none.
func (s *scale) note(column string) string {
	if 2*s.far <= s.present || s.far == 0 {
		return ""
	}
	return fmt.Sprintf("column %q: %d of %d values are more than %d times as large as any that the model has learned from (%s to %s), the first is %s: is its decimal sign (--decimal) or its unit another one?",
		column, s.far, s.present, farOff, tabular.ClassName(s.learned[0]), tabular.ClassName(s.learned[len(s.learned)-1]), tabular.ClassName(s.first))
}

// predictor predicts rows, each with those before it as its history.
type predictor struct {
	a      *artifact.Artifact
	runner *artifact.Runner
	h      *feature.History
}

func newPredictor(a *artifact.Artifact) (*predictor, error) {
	runner, err := artifact.NewRunner(a)
	if err != nil {
		return nil, err
	}
	return &predictor{a: a, runner: runner, h: feature.NewHistory(len(a.Manifest.Inputs), max(a.Pipeline.Rows, 1))}, nil
}

// next predicts the row that follows, at when, into p, whose Row is set; its Classes are valid
// until the call after.
func (m *predictor) next(when int64, row []float64, p *Prediction) (err error) {
	m.h.Push(when, row)
	if p.Value, p.Lower, p.Upper, err = m.runner.Predict(m.h, 0); err != nil {
		return fmt.Errorf("predict row %d: %w", p.Row, err)
	}
	if p.Classes = m.runner.Classes(); p.Classes == nil {
		p.Lower, p.Upper = m.a.Calibration.Widen(p.Value, p.Lower, p.Upper)
	}
	if m.a.Manifest.Kind == artifact.KindForecast {
		base := row[m.a.Manifest.Output.Input]
		p.Value, p.Lower, p.Upper = base+p.Value, base+p.Lower, base+p.Upper
	}
	return nil
}

// predictAtOnce hands over each row as it is read.
func (t *predictTable) predictAtOnce(ctx context.Context, r io.Reader, visit func(i, n int, p *Prediction) error) (int, error) {
	m, err := newPredictor(t.a)
	if err != nil {
		return 0, err
	}
	err = t.read(ctx, r, func() error {
		p := Prediction{Row: t.n, Time: t.when}
		if err := m.next(int64(t.n)*1e6, t.row, &p); err != nil { // the pipeline looks at no time
			return err
		}
		return visit(t.n, 0, &p)
	})
	return t.n, err
}

// predictHeld reads all rows, predicts them in the order of time, and hands them over in that of
// the file.
func (t *predictTable) predictHeld(ctx context.Context, r io.Reader, visit func(i, n int, p *Prediction) error) (int, error) {
	if err := t.read(ctx, r, func() error {
		t.values.add(t.row...)
		t.times.add(t.when)
		return nil
	}); err != nil {
		return 0, err
	}
	if err := t.predictInOrder(ctx); err != nil {
		return 0, err
	}
	for i := range t.n {
		got := t.results.row(i)
		p := Prediction{Row: i, Time: t.times.row(i)[0], Value: got[0], Lower: math.NaN(), Upper: math.NaN()}
		switch {
		case t.a.Manifest.Kind != artifact.KindClassification:
			p.Lower, p.Upper = got[1], got[2]
		case p.Time != frame.NoTime:
			p.Classes = got[1:]
		}
		if err := visit(i, t.n, &p); err != nil {
			return i, err
		}
	}
	return t.n, nil
}

// predictInOrder fills t.results.
func (t *predictTable) predictInOrder(ctx context.Context) error {
	m, err := newPredictor(t.a)
	if err != nil {
		return err
	}
	order := make([]int32, t.n) // t.most is below 2^31
	none := slices.Repeat([]float64{math.NaN()}, t.results.width)
	for i := range order {
		order[i] = int32(i)
		t.results.add(none...)
	}
	time := func(i int32) int64 { return t.times.row(int(i))[0] }
	slices.SortStableFunc(order, func(i, j int32) int { return cmp.Compare(time(i), time(j)) })
	for k, i := range order {
		if k%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		when := time(i)
		if when == frame.NoTime {
			continue
		}
		p := Prediction{Row: int(i)}
		if err := m.next(when, t.values.row(int(i)), &p); err != nil {
			return err
		}
		got := t.results.row(int(i))
		if got[0] = p.Value; p.Classes != nil {
			copy(got[1:], p.Classes)
		} else {
			got[1], got[2] = p.Lower, p.Upper
		}
	}
	return nil
}

// rowOps look at the row alone, or at earlier columns, which are checked themselves.
var rowOps = []feature.Op{
	feature.OpValue, feature.OpMissing, feature.OpOneHot, feature.OpTable, feature.OpRatio, feature.OpDifference, feature.OpProduct, feature.OpOutOfRange,
	feature.OpCross, feature.OpPlace, feature.OpExpr,
}

// timeless reports whether a pipeline looks at nothing but the row itself: its result depends
// neither on other rows nor on the time.
func timeless(p *feature.Pipeline) bool {
	return !slices.ContainsFunc(p.Columns, func(c feature.Column) bool {
		if c.Op == feature.OpModule {
			return c.Rows > 1
		}
		return !slices.Contains(rowOps, c.Op)
	})
}
