package detect

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"skerry.dev/compute/drift/inputs"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
)

// InputsOptions of comparing rows with those of a reference. Column and Detector have no meaning.
type InputsOptions struct {
	DriftOptions
	Columns []string // to watch; default: all that hold numbers
	// the table of the reference and its name; nil: the first ReferenceRows rows
	Reference     io.Reader
	ReferenceName string
	ReferenceRows int
}

// InputsReport is what the detector inputs adds to a report. The rows of drifts are those at
// which a drift began.
type InputsReport struct {
	Reference     string        `json:"reference"` // the file, or the first rows of the data
	ReferenceRows int           `json:"reference_rows"`
	Columns       []string      `json:"columns"`
	Skipped       []string      `json:"skipped"` // columns that hold no numbers
	Reports       []InputsEvent `json:"reports"`
}

// InputsEvent is a report of the watcher.
type InputsEvent struct {
	Row      int            `json:"row"`
	Line     int            `json:"line"`
	Time     string         `json:"time,omitempty"`
	Drift    bool           `json:"drift"` // false: the rows look like the reference again
	Joint    InputsJoint    `json:"joint"`
	Features []InputsColumn `json:"features"` // most responsible first
}

// InputsJoint is the test of all columns together.
type InputsJoint struct {
	Drift     bool    `json:"drift"`
	Statistic float64 `json:"statistic"`
	PValue    float64 `json:"p_value"`
}

// InputsColumn is a column that moved, and how far.
type InputsColumn struct {
	Name        string  `json:"name"`
	Statistic   float64 `json:"statistic"`
	PValue      float64 `json:"p_value"`
	Shift       float64 `json:"shift_sd"`
	PSI         float64 `json:"psi"`
	Wasserstein float64 `json:"wasserstein"`
	Missing     float64 `json:"missing"`
}

// table is rows of a file, read as numbers where they are.
type table struct {
	columns []string
	rows    [][]float64
	places  []place
	missing int // rows without any number
	tallies []tabular.Tally
}

type place struct {
	line int
	at   string
}

// readTable reads columns, all when none is named. A column is numbers when nearly every cell is
// one, see tabular.Unreadable; one that is named must be.
func (f *InputsOptions) readTable(ctx context.Context, path string, r io.Reader, columns []string, named bool) (*table, error) {
	t := &table{}
	begin := func(columns []string) {
		t.columns, t.tallies = slices.Clone(columns), make([]tabular.Tally, len(columns))
		for j, c := range columns {
			t.tallies[j].Name = c
		}
	}
	err := f.each(ctx, r, columns, begin, func(_, line int, at string, cells []tabular.Cell) error {
		out := make([]float64, len(cells))
		present := false
		for j := range cells {
			out[j] = t.tallies[j].Number(&cells[j], tabular.Place{Line: line})
			present = present || !math.IsNaN(out[j])
		}
		if !present {
			t.missing++
		}
		t.rows, t.places = append(t.rows, out), append(t.places, place{line, strings.Clone(at)})
		return nil
	})
	for j := range t.tallies {
		if named && err == nil {
			err = t.tallies[j].Must(frame.Number)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	for j := range t.tallies {
		if t.tallies[j].Few() {
			f.note(t.tallies[j].Notes(frame.Number))
		}
	}
	return t, nil
}

// keep leaves only the columns named, in that order.
func (t *table) keep(names []string) {
	pick := make([]int, len(names))
	for k, n := range names {
		pick[k] = slices.Index(t.columns, n)
	}
	for i, row := range t.rows {
		out := make([]float64, len(pick))
		for k, j := range pick {
			out[k] = row[j]
		}
		t.rows[i] = out
	}
	t.columns = names
}

// numeric returns the columns that hold numbers and those that do not.
func (t *table) numeric() (yes, no []string) {
	for j, c := range t.columns {
		if len(t.rows) > 0 && t.tallies[j].Few() {
			yes = append(yes, c)
		} else {
			no = append(no, c)
		}
	}
	return yes, no
}

// Inputs watches the rows of a table against those of a reference period.
func Inputs(ctx context.Context, r io.Reader, f InputsOptions) (*DriftReport, error) {
	opts, err := inputs.ParseOptions(f.Settings)
	if err != nil {
		return nil, err
	}
	data, err := f.readTable(ctx, f.Name, r, f.Columns, len(f.Columns) > 0)
	if err != nil {
		return nil, err
	}
	columns, skipped := data.numeric()
	extra := InputsReport{
		Reference: f.ReferenceName,
		Columns:   columns,
		Skipped:   append([]string{}, skipped...),
		Reports:   []InputsEvent{},
	}
	if len(columns) == 0 {
		return nil, fmt.Errorf("read %s: no column holds numbers: %s", f.Name, strings.Join(data.columns, ", "))
	}
	data.keep(columns)
	first, reference := 0, [][]float64(nil)
	if f.Reference == nil {
		n := f.ReferenceRows
		if n < inputs.MinRows || n >= len(data.rows) {
			return nil, fmt.Errorf("--reference %d: must be from %d to less than the %d rows of %s", n, inputs.MinRows, len(data.rows), f.Name)
		}
		first, reference, extra.Reference = n, data.rows[:n], "first rows"
	} else {
		t, err := f.readTable(ctx, f.ReferenceName, f.Reference, columns, true)
		if err != nil {
			return nil, err
		}
		reference = t.rows
	}
	ref, err := inputs.NewReference(reference, opts)
	if err != nil {
		return nil, err
	}
	extra.ReferenceRows = len(reference)
	rep := DriftReport{
		File:         f.Name,
		Detector:     InputsDetector,
		Params:       map[string]any{},
		Rows:         len(data.rows),
		Missing:      data.missing,
		Drifts:       []int{},
		Warnings:     []int{},
		Alarms:       []DriftAlarm{},
		InputsReport: &extra,
	}
	for _, s := range inputs.Settings(ref.Options()) {
		rep.Params[s.Name] = typed(s.Value)
	}
	w := inputs.NewWatcher(ref)
	began := time.Now()
	for i, row := range data.rows[first:] {
		if r := w.Push(row); r != nil {
			at := data.places[first+i]
			extra.Reports = append(extra.Reports, describe(r, columns, first+i, at))
			if r.Drift {
				rep.Drifts = append(rep.Drifts, first+i)
				rep.Alarms = append(rep.Alarms, DriftAlarm{i, first + i, at.line, at.at, r.Features[0].Statistic})
			}
		}
	}
	rep.NS = float64(time.Since(began).Nanoseconds()) / float64(len(data.rows)-first)
	rep.Values = len(data.rows) - first
	return &rep, nil
}

func describe(r *inputs.Report, columns []string, row int, at place) InputsEvent {
	e := InputsEvent{
		Row:      row,
		Line:     at.line,
		Time:     at.at,
		Drift:    r.Drift,
		Joint:    InputsJoint(r.Joint),
		Features: []InputsColumn{},
	}
	for _, f := range r.Features {
		e.Features = append(e.Features, InputsColumn{columns[f.Index], f.Statistic, f.PValue, f.Shift, f.PSI, f.Wasserstein, f.Missing})
	}
	return e
}
