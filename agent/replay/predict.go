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
	Classes             []float64 // class probabilities
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
func Predict(ctx context.Context, r io.Reader, a *artifact.Artifact, o PredictOptions, visit func(i, n int, p *Prediction) error) (int, error) {
	t, err := newPredictTable(a, &o)
	if err != nil {
		return 0, err
	}
	if err := t.read(ctx, r); err != nil {
		return 0, fmt.Errorf("read rows %s: %w", o.Name, err)
	}
	out, err := t.predict(ctx)
	if err != nil {
		return 0, err
	}
	for i := range out {
		if err := visit(i, len(out), &out[i]); err != nil {
			return i, err
		}
	}
	return len(out), nil
}

type predictTable struct {
	a      *artifact.Artifact
	o      *PredictOptions
	bounds [][2]float64 // by input
	times  []int64      // by row
	values [][]float64
	clock  *tabular.Clock // nil without
	timed  bool           // the artifact needs one
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
	return t, nil
}

// maxRows bounds the memory of a prediction.
const maxRows = 50_000_000

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

// read holds the inputs of every row.
func (t *predictTable) read(ctx context.Context, r io.Reader) error {
	in, err := tabular.Open(r, t.o.Table)
	if err != nil {
		return err
	}
	names := tabular.Names(in.Fields())
	at, err := t.inputColumns(names)
	if err != nil {
		return err
	}
	inputs := t.a.Manifest.Inputs
	books, tallies := make([]*tabular.Codebook, len(at)), make([]tabular.Tally, len(at))
	found := 0
	for k, i := range at {
		if i < 0 {
			t.note(fmt.Sprintf("input %q has no column: it is missing in every row", inputs[k].Name))
			continue
		}
		if found++; len(inputs[k].Categories) > 0 {
			books[k] = tabular.NewCodebook(inputs[k].Categories)
		}
		tallies[k].Name = names[i]
	}
	if found == 0 {
		return fmt.Errorf("none of the columns is an input of the artifact: %w", tabular.NoColumn(names, inputs[0].Name))
	}
	if t.timed || t.o.Time != "" {
		t.clock, err = tabular.NewClock(names, t.o.Time, t.o.Format, func(i int) bool { return slices.Contains(at, i) })
		if errors.Is(err, tabular.ErrNoClock) {
			err = fmt.Errorf("the artifact looks back in time: %w: name it by --time", err)
		}
		if err != nil {
			return err
		}
	}
	for {
		cells, err := in.Next()
		if errors.Is(err, io.EOF) {
			return t.end(tallies)
		}
		if err != nil {
			return err
		}
		if len(t.values) == maxRows {
			return errors.New("too many rows: split the file")
		}
		if len(t.values)%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		place := tabular.PlaceOf(in)
		row := make([]float64, len(at))
		for k, i := range at {
			switch {
			case i < 0:
				row[k] = math.NaN()
			case books[k] != nil:
				row[k] = tallies[k].Code(&cells[i], place, books[k])
			default:
				row[k] = tallies[k].Number(&cells[i], place)
			}
			if v := row[k]; v < t.bounds[k][0] || v > t.bounds[k][1] {
				row[k] = math.NaN()
			}
		}
		when := int64(frame.NoTime)
		if t.clock != nil {
			when = t.clock.Time(cells, place)
		}
		t.values, t.times = append(t.values, row), append(t.times, when)
	}
}

func (t *predictTable) note(s string) {
	if t.o.Table.Note != nil {
		t.o.Table.Note(s)
	}
}

// end passes on what was counted.
func (t *predictTable) end(tallies []tabular.Tally) error {
	if len(t.values) == 0 {
		return errors.New("there is no row")
	}
	for k := range tallies {
		if err := tallies[k].Wrong(frame.Number); err != nil {
			return err
		}
		if err := tabular.CheckUnit(tallies[k].Name, tallies[k].Unit(), t.a.Manifest.Inputs[k].Unit); err != nil {
			return err
		}
		for _, n := range tallies[k].Notes(frame.Number) {
			t.note(n)
		}
		if n := t.offScale(k, tallies[k].Name); n != "" {
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
	if none := countNoTime(t.times); err == nil && t.timed && none > 0 {
		t.note(fmt.Sprintf("%d of %d rows have no time and get no prediction", none, len(t.times)))
	}
	return err
}

// farOff is how many times larger than all that a model has learned from values are that a wrong decimal
// sign or unit explains better than any change.
const farOff = 100

// offScale is a note about an input most of whose values are farOff times larger than the largest of the
// training, "" for none.
func (t *predictTable) offScale(k int, column string) string {
	if k >= len(t.a.Reference) || len(t.a.Manifest.Inputs[k].Categories) > 0 || len(t.a.Reference[k].Quantiles) == 0 {
		return ""
	}
	q := t.a.Reference[k].Quantiles
	largest, far, present, first := max(math.Abs(q[0]), math.Abs(q[len(q)-1])), 0, 0, math.NaN()
	for _, row := range t.values {
		if v := math.Abs(row[k]); !math.IsNaN(v) {
			if present++; largest > 0 && v > farOff*largest {
				if far++; far == 1 {
					first = row[k]
				}
			}
		}
	}
	if 2*far <= present || far == 0 {
		return ""
	}
	return fmt.Sprintf("column %q: %d of %d values are more than %d times as large as any that the model has learned from (%s to %s), the first is %s: is its decimal sign (--decimal) or its unit another one?",
		column, far, present, farOff, tabular.ClassName(q[0]), tabular.ClassName(q[len(q)-1]), tabular.ClassName(first))
}

func countNoTime(times []int64) (n int) {
	for _, t := range times {
		if t == frame.NoTime {
			n++
		}
	}
	return n
}

// predict returns the predictions, by row of the file.
func (t *predictTable) predict(ctx context.Context) ([]Prediction, error) {
	runner, err := artifact.NewRunner(t.a)
	if err != nil {
		return nil, err
	}
	order := make([]int, len(t.values))
	for i := range order {
		order[i] = i
	}
	if t.timed {
		slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(t.times[i], t.times[j]) })
	}
	m := &t.a.Manifest
	h := feature.NewHistory(len(m.Inputs), max(t.a.Pipeline.Rows, 1))
	out := make([]Prediction, len(t.values))
	none := math.NaN()
	for k, i := range order {
		if k%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p := &out[i]
		*p = Prediction{Row: i, Time: t.times[i], Value: none, Lower: none, Upper: none}
		when := t.times[i]
		switch {
		case when == frame.NoTime && t.timed:
			continue
		case !t.timed:
			when = int64(k) * 1e6 // the pipeline looks at no time
		}
		h.Push(when, t.values[i])
		if p.Value, p.Lower, p.Upper, err = runner.Predict(h, 0); err != nil {
			return nil, fmt.Errorf("predict row %d: %w", i, err)
		}
		if c := runner.Classes(); c != nil {
			p.Classes = slices.Clone(c)
		} else {
			p.Lower, p.Upper = t.a.Calibration.Widen(p.Value, p.Lower, p.Upper)
		}
		if m.Kind == artifact.KindForecast {
			base := t.values[i][m.Output.Input]
			p.Value, p.Lower, p.Upper = base+p.Value, base+p.Lower, base+p.Upper
		}
	}
	return out, nil
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
