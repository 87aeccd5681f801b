package selection

import (
	"math"
	"slices"

	"skerry.dev/compute/binned"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/fitting"
)

// view returns the rows as a learner takes them.
func (t *table) view(scaled bool) (*view, error) {
	if !scaled {
		return t.raw, nil
	}
	if t.dense == nil {
		var err error
		if t.dense, err = t.densify(t.extras); err != nil {
			return nil, err
		}
	}
	return t.dense, nil
}

// densify fills in missing values by the median of the search rows and brings columns to mean 0
// and deviation 1, with the very arithmetic of feature.Column, and computes the extras from what
// comes out.
func (t *table) densify(e extras) (*view, error) {
	from, base := t.raw, t.raw.width()
	pipe := *from.pipe
	pipe.Columns = slices.Clone(pipe.Columns)
	for _, j := range e.places {
		pipe.Columns = append(pipe.Columns, feature.Column{
			Name: from.pipe.Columns[j].Name + "_place",
			Op:   feature.OpPlace,
			Of:   j,
		})
	}
	pipe.Columns = append(pipe.Columns, e.crosses...)
	v := &view{pipe: &pipe, x: make([]float64, len(t.rows)*pipe.Width())}
	width := v.width()
	for i := range t.rows {
		copy(v.x[i*width:(i+1)*width], from.x[i*base:(i+1)*base])
	}
	t.standardise(v, 0, base)
	for k, j := range e.places {
		c, err := fitting.Quantiles("", j, present(v.x[:t.search*width], j, width), placePoints)
		if err != nil {
			c.Table = []float64{0, 1} // nothing is present
		}
		pipe.Columns[base+k].Table = c.Table
	}
	for _, family := range [2][2]int{{base, base + len(e.places)}, {base + len(e.places), width}} {
		if err := t.computeExtras(v, family[0], family[1]); err != nil {
			return nil, err
		}
		t.standardise(v, family[0], family[1])
	}
	return v, nil
}

// computeExtras runs the columns from first to last over those before first, with the code that
// devices run.
func (t *table) computeExtras(v *view, first, last int) error {
	if first == last {
		return nil
	}
	over := &feature.Pipeline{Inputs: make([]feature.Input, first), Rows: 1}
	for j := range first {
		over.Columns = append(over.Columns, feature.Column{Op: feature.OpValue, Series: j})
	}
	over.Columns = append(over.Columns, v.pipe.Columns[first:last]...)
	eval, err := feature.NewEvaluator(over)
	if err != nil {
		return err
	}
	h := feature.NewHistory(first, 1)
	for i := range t.rows {
		row := v.x[i*v.width():]
		h.Push(0, row[:first])
		if err := eval.Into(row[:last], h); err != nil {
			return err
		}
	}
	return nil
}

// scaling is what a column of the dense view is imputed, centred and scaled by.
type scaling struct{ impute, center, scale float64 }

// standardise imputes, centres and scales columns and notes it in the pipeline. An encoding keeps
// its own value of what is missing. What the columns of the raw view are scaled by is kept until
// these change: most of the time goes into the medians.
func (t *table) standardise(v *view, first, last int) {
	width, base := v.width(), t.raw.width()
	if t.scales == nil {
		t.scales = make([]scaling, base)
	}
	binned.Parallel(t.threads, last-first, func(from, to int) {
		for j := first + from; j < first+to; j++ {
			c := &v.pipe.Columns[j]
			var s scaling
			if j < base {
				s = t.scales[j]
			}
			if s.scale == 0 {
				s = scalingOf(v.x[:t.search*width], j, width)
				if c.Impute != nil {
					s.impute = *c.Impute
				}
			}
			if j < base {
				t.scales[j] = s
			}
			c.Impute, c.Center, c.Scale = &s.impute, s.center, s.scale
			for i := j; i < len(v.x); i += width {
				w := v.x[i]
				if math.IsNaN(w) {
					w = s.impute
				}
				v.x[i] = (w - s.center) / s.scale
			}
		}
	})
}

// present returns the finite values of a column.
func present(x []float64, j, width int) []float64 {
	v := make([]float64, 0, len(x)/width)
	for i := j; i < len(x); i += width {
		if w := x[i]; !math.IsNaN(w) && !math.IsInf(w, 0) {
			v = append(v, w)
		}
	}
	return v
}

// scalingOf takes the median of the present values for the missing ones.
func scalingOf(x []float64, j, width int) scaling {
	v := present(x, j, width)
	if len(v) == 0 {
		return scaling{scale: 1}
	}
	center, ss := mean(v), 0.0
	for _, w := range v {
		ss += (w - center) * (w - center)
	}
	slices.Sort(v)
	s := scaling{impute: v[len(v)/2], center: center, scale: math.Sqrt(ss / float64(len(v)))}
	if !(s.scale > 1e-12*math.Abs(center)) || math.IsInf(s.scale, 0) {
		s.scale = 1
	}
	return s
}
