package selection

import (
	"cmp"
	"context"
	"slices"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/binned"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/gbdt"
)

// prune keeps the columns, so many at most, that a quick ensemble on a thin sample of the search rows
// gains most from, the user-defined ones and those that kept ones are made of.
func prune(ctx context.Context, p *Problem, d *design, rows []place, most int, dist int64, threads int) (*design, error) {
	step := max(1, len(rows)/pruneRows)
	var sample []place
	for i := 0; i < len(rows); i += step {
		sample = append(sample, rows[i])
	}
	x, err := compute(p, d.pipe, sample, threads)
	if err != nil {
		return nil, err
	}
	// All of the sample is learned from, so that every row has the encoding of a training row.
	if d, err = d.encode(p, x, sample, len(sample)); err != nil {
		return nil, err
	}
	width := d.pipe.Width()
	m, err := binned.Fit(binned.FromRows(x, width), 63, threads)
	if err != nil {
		return nil, err
	}
	bins, err := m.Apply(binned.FromRows(x, width), threads)
	if err != nil {
		return nil, err
	}
	params := gbdt.Params{
		Objective:       gbdt.Absolute,
		Rounds:          pruneRounds,
		Leaves:          15,
		FeatureFraction: 0.3,
		Seed:            p.Seed,
		Threads:         threads,
	}
	if p.small(len(rows)) { // leaves of the usual size would leave no split
		params.MinRows = max(2, len(rows)/20)
	}
	if p.Kind == artifact.KindClassification {
		params.Objective, params.Classes = gbdt.Softmax, len(p.Classes)
		params.Rounds = max(10, pruneRounds/len(p.Classes))
	}
	y := make([]float64, len(sample))
	for i, r := range sample {
		y[i] = r.y
	}
	model, err := gbdt.Train(ctx, gbdt.Data{X: bins, Y: y}, params)
	if err != nil {
		return nil, err
	}
	order := make([]int, width)
	for j := range order {
		order[j] = j
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(model.Importance[b], model.Importance[a]) })
	own := len(p.Features) // come first and stay
	keep := slices.DeleteFunc(order[:min(most, maxFeatures, len(order))], func(j int) bool { return j < own || j > own && model.Importance[j] == 0 })
	for j := range own {
		keep = append(keep, j)
	}
	if len(keep) == 0 {
		keep = []int{0}
	}
	kept := d.pick(keep)
	kept.pipe.Rows = lookback(kept.pipe, dist)
	return kept, nil
}

// pick returns the design of some columns, in their old order, and of all that these are made of.
// What refers to a column gets its new place.
func (d *design) pick(keep []int) *design {
	old := d.pipe.Columns
	wanted := make([]bool, len(old))
	for _, j := range keep {
		wanted[j] = true
	}
	for j := len(old) - 1; j >= 0; j-- { // columns are made of earlier ones
		if wanted[j] {
			c := old[j]
			relate(&c, func(of int) int { wanted[of] = true; return of })
		}
	}
	moved := make([]int, len(old))
	pipe := *d.pipe
	pipe.Columns = nil
	for j, c := range old {
		if !wanted[j] {
			continue
		}
		moved[j] = len(pipe.Columns)
		relate(&c, func(of int) int { return moved[of] })
		pipe.Columns = append(pipe.Columns, c)
	}
	out := &design{pipe: &pipe}
	for _, e := range d.encodings {
		if wanted[e.column] {
			e.column = moved[e.column]
			out.encodings = append(out.encodings, e)
		}
	}
	return out
}

// relate replaces every reference of a column to an earlier one by what to returns. The program of
// an expression is copied before it is changed.
func relate(c *feature.Column, to func(of int) int) {
	switch c.Op {
	case feature.OpPlace:
		c.Of = to(c.Of)
	case feature.OpCross:
		c.Of, c.By = to(c.Of), to(c.By)
	case feature.OpExpr:
		c.Expr = slices.Clone(c.Expr)
		for k := range c.Expr {
			if t := &c.Expr[k]; t.Do == feature.TokenColumn {
				t.I = to(t.I)
			}
		}
	}
}

// halfLives is after how many half-lives a reading without a window counts as forgotten: it
// weighs a thousandth.
const halfLives = 10

// lookback returns how many rows the columns need. Those that count by time get what they need
// when rows keep their usual distance, with a little slack; a column of the latest reading that
// names no window gets all there can be.
func lookback(p *feature.Pipeline, dist int64) int {
	need := int64(4)
	for _, c := range p.Columns {
		reach, rows := max(c.Lag, c.Window), int64(c.Rows)
		switch c.Op {
		case feature.OpDiff2: // reaches back by the lag twice
			reach, rows = 2*min(reach, dist*feature.MaxLookback), 2*rows
		case feature.OpLast, feature.OpSince:
			if reach == 0 && rows == 0 {
				rows = feature.MaxLookback
			}
		case feature.OpEWMean, feature.OpEWStd:
			if reach == 0 && rows == 0 {
				reach = halfLives * min(c.HalfLife, dist*feature.MaxLookback)
			}
		}
		need = max(need, reach/dist+4, rows+1)
	}
	return int(min(need, feature.MaxLookback))
}
