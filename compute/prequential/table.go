package prequential

import (
	"context"
	"fmt"
	"io"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/drift"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/online/learner"
	"skerry.dev/compute/tabular"
)

// Auto is the learner of a table unless another is named: a committee of several.
const Auto = "auto"

// Limits of a table.
const (
	MaxDelay      = 1_000_000 // rows
	maxCategories = 255       // of an input; rarer ones count as missing
)

// TableOptions of a prequential run over a table: predict a row, score the prediction, then learn.
type TableOptions struct {
	Name     string          // of the file, for messages
	Table    tabular.Options // how the file is written
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

// Table runs learners over a table, see compute/tabular: each row is predicted, then scored, then
// learned.
func Table(ctx context.Context, r io.Reader, o TableOptions) (*TableReport, error) {
	o.Table.Time = o.Time
	if o.Model != nil { // whose inputs keep the types that it was trained on
		o.Table.Types = map[string]frame.Type{}
		for _, in := range o.Model.Manifest.Inputs {
			o.Table.Types[in.Name] = frame.Number
			if len(in.Categories) > 0 {
				o.Table.Types[in.Name] = frame.Category
			}
		}
	}
	f, err := tabular.Read(r, o.Table)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	t, err := newTable(f, &o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	return t.run(ctx)
}
