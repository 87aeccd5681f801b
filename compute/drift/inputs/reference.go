package inputs

import (
	"fmt"
	"math"
	"slices"
)

// Reference is what normal rows look like. It does not change and may serve several watchers.
type Reference struct {
	opts     Options
	rows     int
	features []marginal
	joint    *joint // nil for none
}

// NewReference takes the rows of a reference period in the order in which they came: at least
// MinRows of equal length, missing values NaN. A few thousand make it sharp; with fewer than four
// windows of them it cannot measure how closely rows follow each other and takes them as
// independent. The rows are not kept. The cost is that of sorting every column.
func NewReference(rows [][]float64, opts Options) (*Reference, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	if len(rows) < MinRows {
		return nil, fmt.Errorf("reference: %d rows, at least %d are needed", len(rows), MinRows)
	}
	d := len(rows[0])
	if d < 1 || d > MaxFeatures {
		return nil, fmt.Errorf("reference: rows of %d features, must be from 1 to %d", d, MaxFeatures)
	}
	ref := &Reference{opts: opts, rows: len(rows), features: make([]marginal, d)}
	column := make([]float64, 0, len(rows))
	for j := range d {
		column = column[:0]
		for i, row := range rows {
			if len(row) != d {
				return nil, fmt.Errorf("reference: row %d has %d values, the first has %d", i, len(row), d)
			}
			if v := row[j]; math.Abs(v) <= maxMagnitude {
				column = append(column, v)
			}
		}
		slices.Sort(column)
		ref.features[j] = newMarginal(column, len(rows)-len(column), opts.Bins)
	}
	ref.addJoint(rows)
	ref.calibrate(rows)
	return ref, nil
}

// FromQuantiles makes a reference from points of each feature in ascending order that stand for
// equal shares of its values, such as an artifact holds, and the number of rows that they rest
// on. It holds nothing of dependence, neither between features nor between rows: there is no
// joint test, and rows count as independent.
func FromQuantiles(points [][]float64, rows int, opts Options) (*Reference, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	if rows < MinRows {
		return nil, fmt.Errorf("reference: %d rows, at least %d are needed", rows, MinRows)
	}
	if len(points) < 1 || len(points) > MaxFeatures {
		return nil, fmt.Errorf("reference: %d features, must be from 1 to %d", len(points), MaxFeatures)
	}
	ref := &Reference{opts: opts, rows: rows, features: make([]marginal, len(points))}
	for j, p := range points {
		for i, v := range p {
			if !(math.Abs(v) <= maxMagnitude) || i > 0 && v < p[i-1] {
				return nil, fmt.Errorf("reference: feature %d: point %d is %v, points must be finite and ascending", j, i, v)
			}
		}
		if len(p) < 4 {
			return nil, fmt.Errorf("reference: feature %d: %d points, at least 4 are needed", j, len(p))
		}
		ref.features[j] = newMarginal(p, 0, min(opts.Bins, len(p)))
		ref.features[j].rows = float64(rows)
	}
	return ref, nil
}

// NumFeatures returns the length of a row.
func (r *Reference) NumFeatures() int { return len(r.features) }

// Options returns the options with defaults filled in.
func (r *Reference) Options() Options { return r.opts }

func (r *Reference) addJoint(rows [][]float64) {
	var varying []int // a function with a constant in it is one of fewer features
	for j := range r.features {
		if r.features[j].sd > 0 {
			varying = append(varying, j)
		}
	}
	if r.opts.Functions < 0 || len(varying) < 2 {
		return
	}
	functions := newFunctions(r.opts.Functions, varying, r.opts.Seed)
	ranks := make([]float64, len(r.features))
	values := make([]float64, 0, len(rows)*len(functions))
	for _, row := range rows {
		for j, v := range row {
			m := &r.features[j]
			ranks[j] = m.rank(m.bin(v))
		}
		for k := range functions {
			values = append(values, functions[k].value(ranks))
		}
	}
	r.joint = newJoint(functions, values, r.opts.Window)
}

// calibrate measures how closely rows follow each other. The memory of a feature's ranks, and of
// how extreme they are, widens its limits as fewer independent rows would. Then the reference is
// cut into windows and each held against the whole: what they scatter more than that widens the
// limits further, and what the worst of them reached is never reported.
func (r *Reference) calibrate(rows [][]float64) {
	column, scratch := make([]float64, len(rows)), make([]float64, len(rows))
	for j := range r.features {
		f := &r.features[j]
		for i, row := range rows {
			column[i] = f.rank(f.bin(row[j]))
		}
		f.inflate = memory(scratch, column, r.opts.Window)
		for i, v := range column {
			column[i] = math.Abs(v - 0.5)
		}
		f.inflate = max(f.inflate, memory(scratch, column, r.opts.Window))
	}
	if r.rows > r.opts.Window {
		r.calibrateWindows(rows)
	}
}

func (r *Reference) calibrateWindows(rows [][]float64) {
	n, m := float64(r.opts.Window), float64(r.rows)
	w := NewWatcher(r)
	spent := make([]float64, len(r.features))
	jointSpent, windows := 0.0, 0.0
	for _, row := range rows {
		w.add(row)
		if w.filled < r.opts.Every {
			continue
		}
		if w.turn(); w.blocks < len(w.ring) {
			continue
		}
		w.measure()
		windows++
		for j, s := range w.statistics {
			f := &r.features[j]
			f.worst = max(f.worst, s)
			spent[j] += energy(r.opts.Test, s)
		}
		if r.joint != nil {
			r.joint.worst, r.joint.worstOne = max(r.joint.worst, w.jointTotal), max(r.joint.worstOne, w.jointOne)
			jointSpent += w.jointTotal
		}
	}
	per := 1/n - 1/m // a window is part of the whole it is held against
	for j := range r.features {
		f := &r.features[j]
		f.inflate = max(f.inflate, spent[j]/windows/(per*f.chance(r.opts.Test)))
	}
	if r.joint != nil {
		r.joint.inflate = max(1, jointSpent/windows/(per*float64(len(r.joint.functions))))
	}
}
