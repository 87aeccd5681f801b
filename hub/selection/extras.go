package selection

import (
	"context"
	"math"
	"slices"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/fitting"
)

const (
	// a family of extra columns stays when it lowers the validation loss by this share
	extraMargin = 0.01
	extraErrors = 2    // and by so many standard errors
	extraRows   = 6000 // rows that are learned from to decide it
	// how many times the deviation of a normal column with these quartiles makes a heavy tail
	heavyTail   = 2
	placePoints = 32   // quantiles of a place
	fewCrosses  = 8    // products of two columns that are tried first
	maxCrosses  = 32   // and at most
	minCross    = 0.05 // partial correlation with the target that a product needs
	crossRows   = 4000 // rows by which products are found
	crossLimit  = 8    // classes: of more no products are looked for
)

// extras are columns that only the dense view has. Trees have no use for them: they cut a column
// where they like, and twice in a row where two columns matter together.
type extras struct {
	// columns of the raw view whose place among their quantiles is a column too
	places  []int
	crosses []feature.Column // products of columns of the dense view, as far as Of and By go
}

// chooseExtras decides by the validation losses of a quick linear model, on the fold by which
// learners are chosen too; networks share what it finds. Products are looked for in rows that no
// fold validates on.
func (t *table) chooseExtras(ctx context.Context) error {
	t.chosen = true
	folds := t.windows()
	last := folds[len(folds)-1]
	best, err := t.extraLosses(ctx, extras{}, last)
	if err != nil || best == nil {
		return err
	}
	try := func(e extras) (bool, error) {
		losses, err := t.extraLosses(ctx, e, last)
		if err != nil || losses == nil || !clearlyLess(losses, best) {
			return false, err
		}
		best, t.extras, t.dense = losses, e, nil
		return true, nil
	}
	heavy := t.heavyTails()
	if len(heavy) > 0 {
		if _, err := try(extras{places: heavy}); err != nil {
			return err
		}
	}
	crosses, err := t.findCrosses(folds[0].train, heavy)
	if err != nil {
		return err
	}
	for _, n := range []int{fewCrosses, len(crosses)} {
		if n > len(crosses) || n <= len(t.extras.crosses) {
			continue
		}
		if kept, err := try(extras{places: t.extras.places, crosses: crosses[:n]}); err != nil || !kept {
			return err
		}
	}
	return nil
}

// extraLosses returns the validation losses of a linear model with some extras, nil when it
// cannot be trained.
func (t *table) extraLosses(ctx context.Context, e extras, w window) ([]float64, error) {
	if err := t.learnFrom(w.train); err != nil {
		return nil, err
	}
	v, err := t.densify(e)
	if err != nil {
		return nil, err
	}
	j := job{
		config: config{"linear", linearLearner.first[0]},
		train:  rowRange(0, w.train, max(1, w.train/extraRows)),
	}
	m, _, err := linearLearner.fit(ctx, t, v, j)
	if err != nil {
		return nil, ctx.Err()
	}
	return t.losses(m, v, w.from, w.to)
}

// clearlyLess reports whether losses are lower than others on the same rows by extraMargin, and
// by more than chance makes of as few rows: extraErrors standard errors of the mean difference.
func clearlyLess(losses, others []float64) bool {
	n, gain := float64(len(losses)), mean(others)-mean(losses)
	ss := 0.0
	for i := range losses {
		d := others[i] - losses[i] - gain
		ss += d * d
	}
	return gain > extraMargin*mean(others) && gain > extraErrors*math.Sqrt(ss)/n
}

// heavyTails returns the columns, with more than a few values, whose deviation is heavyTail times
// that of a normal distribution with the same quartiles, or that mostly have one value.
func (t *table) heavyTails() []int {
	var out []int
	for j := range t.raw.width() {
		v := present(t.raw.x[:t.search*t.raw.width()], j, t.raw.width())
		slices.Sort(v)
		values := 1
		for i := 1; i < len(v) && values <= placePoints; i++ {
			if v[i] != v[i-1] {
				values++
			}
		}
		if values <= placePoints {
			continue
		}
		deviation := scalingOf(v, 0, 1).scale
		if quartiles := feature.Quantile(v, 0.75) - feature.Quantile(v, 0.25); deviation > heavyTail*quartiles/normalQuartiles {
			out = append(out, j)
		}
	}
	return out
}

// normalQuartiles is the distance of the quartiles of a normal distribution in deviations.
const normalQuartiles = 1.349

// findCrosses returns the products of columns of the dense view, as it is by now, that correlate
// most with the targets of rows[:n], the best first; those of a few classes in turn. A column with
// a heavy tail takes no part, though its place does: the product of two outliers would move a
// prediction out of all proportion.
func (t *table) findCrosses(n int, heavy []int) ([]feature.Column, error) {
	if err := t.learnFrom(n); err != nil {
		return nil, err
	}
	v, err := t.densify(t.extras)
	if err != nil {
		return nil, err
	}
	for _, j := range heavy {
		for i := j; i < len(v.x); i += v.width() {
			v.x[i] = 0
		}
	}
	targets := [][]float64{t.y[:n]}
	if k := len(t.p.Classes); t.p.Kind == artifact.KindClassification && k > 2 {
		targets = nil
		for class := range min(k, crossLimit) {
			y := make([]float64, n)
			for i := range y {
				if int(t.y[i]) == class {
					y[i] = 1
				}
			}
			targets = append(targets, y)
		}
	}
	found := make([][]feature.Column, len(targets))
	for k, y := range targets {
		o := fitting.CrossOptions{Most: maxCrosses, Least: minCross, Rows: crossRows / len(targets)}
		if found[k], err = fitting.Crosses(v.pipe, v.x[:n*v.width()], y, o); err != nil {
			return nil, err
		}
	}
	var out []feature.Column
	for rank := range maxCrosses {
		for k := range found {
			if rank >= len(found[k]) || len(out) == maxCrosses {
				continue
			}
			c := feature.Column{
				Name: found[k][rank].Name,
				Op:   feature.OpCross,
				Of:   found[k][rank].Of,
				By:   found[k][rank].By,
			}
			if !slices.ContainsFunc(out, func(o feature.Column) bool { return o.Of == c.Of && o.By == c.By }) {
				out = append(out, c)
			}
		}
	}
	return out, nil
}
