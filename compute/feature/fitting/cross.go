package fitting

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/feature"
)

// CrossOptions of Crosses. The zero value of a field is its documented default.
type CrossOptions struct {
	// Most is how many products are chosen at most. Default 8.
	Most int
	// Least is the correlation that a product needs, 0 to 1. Default 0.05, which chance alone
	// reaches in one pair of 2500 when there are 5000 rows.
	Least float64
	// Rows is how many rows are looked at, evenly spread over all. Default 5000.
	Rows int
}

// maxScreened bounds the columns whose pairs are tried, 2080 of them.
const maxScreened = 64

// Crosses returns the products of two columns of p that correlate most with the target y beyond
// what the two explain themselves, the best first: squares too. x holds the columns' values, a row
// of p.Width for each y. A product is judged by its partial correlation with y, given its two
// columns: what is left of both after a least-squares fit. With more than 64 columns only the 64
// that correlate most with y are paired. The columns that are returned have Of and By set, are
// centred and scaled as by [Robust], and go behind those of p. Columns that do not vary are left
// out, and rows in which one of the two or y is missing. The cost is that of 10 passes over the
// rows per pair.
func Crosses(p *feature.Pipeline, x, y []float64, o CrossOptions) ([]feature.Column, error) {
	if o.Most == 0 {
		o.Most = 8
	}
	if o.Least == 0 {
		o.Least = 0.05
	}
	if o.Rows == 0 {
		o.Rows = 5000
	}
	switch {
	case len(x) != len(y)*p.Width():
		return nil, fmt.Errorf("fit products: %d values in %d columns for %d targets", len(x), p.Width(), len(y))
	case o.Most < 1 || o.Most > feature.MaxColumns:
		return nil, fmt.Errorf("fit products: at most %d of them, must be 1 to %d", o.Most, feature.MaxColumns)
	case !(o.Least >= 0 && o.Least < 1):
		return nil, fmt.Errorf("fit products: correlation %v, must be 0 to 1", o.Least)
	case o.Rows < 10:
		return nil, fmt.Errorf("fit products: %d rows to look at, must be at least 10", o.Rows)
	}
	s := screen{x: x, y: y, width: p.Width()}
	for k := range min(o.Rows, len(y)) {
		s.rows = append(s.rows, k*len(y)/min(o.Rows, len(y)))
	}
	var found []pair
	columns := s.columns()
	for a, i := range columns {
		for _, j := range columns[a:] {
			if score := s.partial(i, j); score >= o.Least {
				found = append(found, pair{i, j, score})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b pair) int { return cmp.Compare(b.score, a.score) })
	out := make([]feature.Column, 0, min(o.Most, len(found)))
	for _, f := range found[:min(o.Most, len(found))] {
		product := make([]float64, len(y))
		for r := range y {
			product[r] = x[r*s.width+f.i] * x[r*s.width+f.j]
		}
		center, scale, err := Robust(product)
		if err != nil {
			return nil, err
		}
		out = append(out, feature.Column{
			Name:   p.Columns[f.i].Name + "*" + p.Columns[f.j].Name,
			Op:     feature.OpCross,
			Of:     f.i,
			By:     f.j,
			Center: center,
			Scale:  scale,
		})
	}
	return out, nil
}

type pair struct {
	i, j  int
	score float64
}

// screen correlates columns over some rows.
type screen struct {
	x, y  []float64
	width int
	rows  []int
	kept  [4][]float64 // of partial, for the next pair
}

// columns returns those to pair, in order.
func (s *screen) columns() []int {
	var all []pair
	for j := range s.width {
		u, y := s.take(func(r int) float64 { return s.x[r*s.width+j] }, func(r int) float64 { return s.y[r] })
		if uu, yy := dot(u, u), dot(y, y); uu > 0 && yy > 0 {
			all = append(all, pair{i: j, score: math.Abs(dot(u, y)) / math.Sqrt(float64(uu*yy))})
		}
	}
	slices.SortStableFunc(all, func(a, b pair) int { return cmp.Compare(b.score, a.score) })
	all = all[:min(maxScreened, len(all))]
	columns := make([]int, len(all))
	for k := range all {
		columns[k] = all[k].i
	}
	slices.Sort(columns)
	return columns
}

// take collects two quantities where both are present, centred and divided by their largest
// magnitude, so that squares do not overflow.
func (s *screen) take(a, b func(row int) float64) (u, v []float64) {
	for _, r := range s.rows {
		if x, y := a(r), b(r); finite(x) && finite(y) {
			u, v = append(u, x), append(v, y)
		}
	}
	normalise(u)
	normalise(v)
	return u, v
}

// partial returns the magnitude of the correlation of a product with y when both have been freed
// of what is linear in its factors; 0 when nothing is left of one, or fewer than 10 rows have all
// three.
func (s *screen) partial(i, j int) float64 {
	u, v, y, z := s.kept[0][:0], s.kept[1][:0], s.kept[2][:0], s.kept[3][:0]
	for _, r := range s.rows {
		if a, b, c := s.x[r*s.width+i], s.x[r*s.width+j], s.y[r]; finite(a) && finite(b) && finite(c) {
			u, v, y = append(u, a), append(v, b), append(y, c)
		}
	}
	if len(u) < 10 {
		return 0
	}
	normalise(u)
	normalise(v)
	normalise(y)
	for k := range u { // of centred factors: it differs from the product by what is linear in them
		z = append(z, float64(u[k]*v[k]))
	}
	s.kept = [4][]float64{u, v, y, z}
	normalise(z)
	before := dot(z, z)
	size := dot(v, v)
	free(v, u)
	if dot(v, v) <= 1e-12*size { // the same column, or as good as that
		clear(v)
	}
	for _, w := range [][]float64{u, v} {
		free(z, w)
		free(y, w)
	}
	zz, yy := dot(z, z), dot(y, y)
	if !(zz > 1e-12*before) || !(yy > 0) {
		return 0
	}
	return math.Abs(dot(z, y)) / math.Sqrt(float64(zz*yy))
}

// normalise divides by the largest magnitude and subtracts the mean.
func normalise(v []float64) {
	big, sum := 0.0, 0.0
	for _, x := range v {
		big = max(big, math.Abs(x))
	}
	if big == 0 {
		return
	}
	for k := range v {
		v[k] /= big
		sum += v[k]
	}
	mean := sum / float64(len(v))
	for k := range v {
		if v[k] -= mean; math.Abs(v[k]) <= 1e-12 {
			v[k] = 0 // a rounding of the mean
		}
	}
}

// free subtracts from v what of it is along w.
func free(v, w []float64) {
	ww := dot(w, w)
	if ww == 0 {
		return
	}
	part := dot(v, w) / ww
	for k := range v {
		v[k] -= float64(part * w[k])
	}
}

func dot(a, b []float64) float64 {
	var sum float64
	for k := range a {
		sum += float64(a[k] * b[k])
	}
	return sum
}
