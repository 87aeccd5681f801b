package detect

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"skerry.dev/compute/drift"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
)

// InputsDetector is the name of the detector that takes rows, not numbers: see [Inputs].
const InputsDetector = "inputs"

// DriftOptions of running a detector over a table.
type DriftOptions struct {
	Name     string // of the file, for messages
	Column   string // to watch
	Time     string // column to report with a drift; default: one of tabular.TimeNames
	Where    string // column=value: only such rows
	Detector string // by its name in compute/drift
	Settings map[string]string
	Progress func(values, drifts int) // may be nil
	Table    tabular.Options          // how the file is written
}

// DriftReport sums up a run. Rows are data rows of the file, from 0; with --where those
// that it leaves.
type DriftReport struct {
	File     string         `json:"file"`
	Column   string         `json:"column,omitempty"`
	Detector string         `json:"detector"`
	Params   map[string]any `json:"params"`
	Rows     int            `json:"rows"`
	Missing  int            `json:"missing"` // rows without a number, which no detector sees
	Drifts   []int          `json:"drifts"`
	Warnings []int          `json:"warnings"` // rows in the warning zone
	NS       float64        `json:"ns_per_update"`
	Alarms   []DriftAlarm   `json:"alarms"` // the drifts again, with their place in the file

	Notes []string `json:"notes,omitempty"` // of the table, by whoever collected them

	Values int `json:"-"` // that the detector saw

	*InputsReport // by the detector inputs
}

// DriftAlarm is a place where a detector found a drift.
type DriftAlarm struct {
	Index int     `json:"index"` // of the value among the present ones, from 0
	Row   int     `json:"row"`
	Line  int     `json:"line"` // of the file, the header is line 1
	Time  string  `json:"time,omitempty"`
	Value float64 `json:"value"`
}

// value is a number of the column and its place.
type value struct {
	row, line int
	at        string
	v         float64
}

// chunk is how many values are read before the detector gets them, so that its time can be measured
// from that of reading.
const chunk = 4096

// Drift feeds the numbers of a column to a detector, row by row, without holding them.
func Drift(ctx context.Context, r io.Reader, f DriftOptions) (*DriftReport, error) {
	d, err := drift.New(f.Detector, f.Settings)
	if err != nil {
		return nil, err
	}
	rep := DriftReport{
		File:     f.Name,
		Column:   f.Column,
		Detector: f.Detector,
		Params:   map[string]any{},
		Drifts:   []int{},
		Warnings: []int{},
		Alarms:   []DriftAlarm{},
	}
	for _, s := range drift.Current(d) {
		rep.Params[s.Name] = typed(s.Value)
	}
	warner, warns := d.(drift.Warner)
	values, hit := make([]value, 0, chunk), make([]byte, chunk)
	seen, spent := 0, time.Duration(0)
	feed := func() {
		began := time.Now()
		for i := range values {
			hit[i] = 0
			if d.Update(values[i].v) {
				hit[i] = 1
			}
			if warns && warner.Warning() {
				hit[i] |= 2
			}
		}
		spent += time.Since(began)
		for i, v := range values {
			if hit[i]&1 != 0 {
				rep.Drifts = append(rep.Drifts, v.row)
				rep.Alarms = append(rep.Alarms, DriftAlarm{seen + i, v.row, v.line, v.at, v.v})
			}
			if hit[i]&2 != 0 {
				rep.Warnings = append(rep.Warnings, v.row)
			}
		}
		seen += len(values)
		values = values[:0]
		if f.Progress != nil {
			f.Progress(seen, len(rep.Drifts))
		}
	}
	tally, outside := tabular.Tally{Name: f.Column}, 0
	err = f.each(ctx, r, []string{f.Column}, func([]string) {}, func(row, line int, at string, cells []tabular.Cell) error {
		rep.Rows++
		v := tally.Number(&cells[0], tabular.Place{Line: line})
		if math.IsNaN(v) {
			rep.Missing++
			return nil
		}
		if v < 0 || v > 1 {
			outside++
		}
		if values = append(values, value{row, line, strings.Clone(at), v}); len(values) == chunk {
			feed()
		}
		return nil
	})
	if err == nil {
		err = tally.Must(frame.Number)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name, err)
	}
	f.note(tally.Notes(frame.Number))
	feed()
	if outside > 0 && slices.Contains(ofLosses, strings.ReplaceAll(strings.ToLower(f.Detector), "_", "-")) {
		f.note([]string{fmt.Sprintf("column %q: %d of %d values lie outside 0 to 1, where %s looks: it takes errors or losses of that range and clips others; adwin, kswin and page-hinkley take any numbers", f.Column, outside, seen, f.Detector)})
	}
	if seen == 0 {
		return nil, fmt.Errorf("read %s: column %q holds no number", f.Name, f.Column)
	}
	rep.Values, rep.NS = seen, float64(spent.Nanoseconds())/float64(seen)
	return &rep, nil
}

// ofLosses are the detectors of errors or losses from 0 to 1.
var ofLosses = []string{"ddm", "eddm", "ewma", "fhddm", "hddm-a", "hddm-w", "rddm", "stepd"}

// note passes on what was counted.
func (f *DriftOptions) note(notes []string) {
	for _, n := range notes {
		if f.Table.Note != nil {
			f.Table.Note(n)
		}
	}
}

// typed turns the text of a setting into the value that JSON has for it.
func typed(s string) any {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil { // a large seed
		return n
	}
	if x, err := strconv.ParseFloat(s, 64); err == nil && !math.IsInf(x, 0) && !math.IsNaN(x) {
		return x
	}
	if b, err := strconv.ParseBool(s); err == nil {
		return b
	}
	return s
}
