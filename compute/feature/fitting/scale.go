package fitting

import (
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/feature"
)

// Robust returns the median and the distance between the quartiles, for Center and Scale of a
// column. Where the quartiles are the same the scale is the whole range, and 1 when nothing
// varies. It returns an error when no value is present.
func Robust(values []float64) (center, scale float64, err error) {
	v := sorted(values)
	if len(v) == 0 {
		return 0, 0, fmt.Errorf("fit robust scale: none of %d values is present", len(values))
	}
	scale = feature.Quantile(v, 0.75) - feature.Quantile(v, 0.25)
	if scale == 0 {
		scale = v[len(v)-1] - v[0]
	}
	if scale == 0 {
		scale = 1
	}
	return feature.Quantile(v, 0.5), min(scale, math.MaxFloat64), nil
}

// Quantiles returns a column that holds where column of lies among quantiles of its values, from 0
// to 1, at points levels from the least to the greatest; 2 to [feature.MaxQuantiles] points.
func Quantiles(name string, of int, values []float64, points int) (feature.Column, error) {
	c := feature.Column{Name: name, Op: feature.OpPlace, Of: of}
	v := sorted(values)
	switch {
	case points < 2 || points > feature.MaxQuantiles:
		return c, fmt.Errorf("fit quantiles: %d points, must be 2 to %d", points, feature.MaxQuantiles)
	case len(v) == 0:
		return c, fmt.Errorf("fit quantiles: none of %d values is present", len(values))
	}
	c.Table = make([]float64, points)
	for k := range c.Table {
		c.Table[k] = feature.Quantile(v, float64(k)/float64(points-1))
		if k > 0 { // roundings must not disturb the order
			c.Table[k] = max(c.Table[k], c.Table[k-1])
		}
	}
	return c, nil
}

// sorted returns the present values in ascending order.
func sorted(values []float64) []float64 {
	v := make([]float64, 0, len(values))
	for _, x := range values {
		if finite(x) {
			v = append(v, x)
		}
	}
	slices.Sort(v)
	return v
}

func finite(v float64) bool { return math.Abs(v) <= math.MaxFloat64 }
