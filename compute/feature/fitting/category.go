package fitting

import (
	"fmt"
	"math"
	"math/rand/v2"

	"skerry.dev/compute/feature"
)

// Frequency returns a column that replaces a category of a series by its share of the codes that
// are present. codes are whole numbers from 0 to levels-1; others count as missing. A category
// that never occurred has 0; a missing one stays missing.
func Frequency(name string, series, levels int, codes []float64) (feature.Column, error) {
	c := feature.Column{Name: name, Op: feature.OpTable, Series: series}
	if err := checkLevels(levels); err != nil {
		return c, fmt.Errorf("fit frequencies: %w", err)
	}
	c.Table = make([]float64, levels)
	total := 0.0
	for _, v := range codes {
		if k := code(v, levels); k >= 0 {
			c.Table[k]++
			total++
		}
	}
	if total == 0 {
		return c, fmt.Errorf("fit frequencies: none of %d codes is present", len(codes))
	}
	for k := range c.Table {
		c.Table[k] /= total
	}
	return c, nil
}

// TargetOptions of Target. The zero value of a field is its documented default.
type TargetOptions struct {
	// Folds is into how many parts the training rows are divided, at least 2; more leave more
	// rows to encode each part by. Default 5.
	Folds int
	// Smoothing is how many rows with the mean of all are added to each category, so that rare
	// ones are not believed. Default 10.
	Smoothing float64
	// Blocks makes each part a run of neighbouring rows, for rows in order of time whose
	// neighbours depend on each other's targets. Otherwise rows are dealt by chance.
	Blocks bool
	// Seed decides the deal.
	Seed uint64
}

// Target returns a column that replaces a category of a series by the mean of the target y in it,
// and the encodings to train with. The column's table is made from all rows and is for later
// ones. The encoding of a training row is made only from the rows of other parts: its own target
// does not enter it in any bit, so that a model cannot read the target of a rare category out of
// its encoding. Categories that no row shows, and missing ones, have the mean of all. Rows
// without a target are encoded but teach nothing. For classes, encode the indicator of each. The
// smoothed mean is that of Micci-Barreca, "A Preprocessing Scheme for High-Cardinality
// Categorical Attributes", SIGKDD Explorations 3 (2001), with a constant weight.
func Target(name string, series, levels int, codes, y []float64, o TargetOptions) (feature.Column, []float64, error) {
	c := feature.Column{Name: name, Op: feature.OpTable, Series: series}
	if o.Folds == 0 {
		o.Folds = 5
	}
	if o.Smoothing == 0 {
		o.Smoothing = 10
	}
	if err := checkLevels(levels); err != nil {
		return c, nil, fmt.Errorf("fit target means: %w", err)
	}
	switch {
	case len(codes) != len(y):
		return c, nil, fmt.Errorf("fit target means: %d codes and %d targets", len(codes), len(y))
	case o.Folds < 2 || o.Folds > len(y) || o.Folds > 100:
		return c, nil, fmt.Errorf("fit target means: %d folds of %d rows, must be 2 to 100 and at most the rows", o.Folds, len(y))
	case !(o.Smoothing > 0 && finite(o.Smoothing)):
		return c, nil, fmt.Errorf("fit target means: smoothing by %v rows, must be positive", o.Smoothing)
	}
	fold := deal(len(y), o)
	parts := make([]sums, o.Folds)
	for f := range parts {
		parts[f] = sums{make([]float64, levels+1), make([]float64, levels+1)}
	}
	for i, v := range y {
		if finite(v) {
			parts[fold[i]].add(code(codes[i], levels), v)
		}
	}
	table, mean, ok := means(parts, -1, levels, o.Smoothing)
	if !ok {
		return c, nil, fmt.Errorf("fit target means: %d rows have no targets, or too large ones", len(y))
	}
	c.Table, c.Default, c.Impute = table, mean, &mean
	train := make([]float64, len(y))
	for f := range parts {
		table, mean, ok := means(parts, f, levels, o.Smoothing)
		if !ok {
			return c, nil, fmt.Errorf("fit target means: the rows outside of part %d have no targets, or too large ones", f)
		}
		for i := range y {
			if fold[i] != f {
				continue
			}
			if train[i] = mean; code(codes[i], levels) >= 0 {
				train[i] = table[int(codes[i])]
			}
		}
	}
	return c, train, nil
}

// deal returns to which part each row belongs; parts differ by at most one row.
func deal(n int, o TargetOptions) []int {
	fold := make([]int, n)
	if o.Blocks {
		for i := range fold {
			fold[i] = i * o.Folds / n
		}
		return fold
	}
	for k, i := range rand.New(rand.NewPCG(o.Seed, 0x7a69)).Perm(n) {
		fold[i] = k % o.Folds
	}
	return fold
}

// sums holds a part's count and sum of targets per category, the last for rows without one.
type sums struct{ n, sum []float64 }

func (s sums) add(code int, v float64) {
	if code < 0 {
		code = len(s.n) - 1
	}
	s.n[code]++
	s.sum[code] += v
}

// means returns smoothed means per category and the mean of all, from every part but one. The
// parts are added, and that one never subtracted from a total, where it would leave a rounding.
func means(parts []sums, without, levels int, smoothing float64) (table []float64, mean float64, ok bool) {
	n, sum := make([]float64, levels+1), make([]float64, levels+1)
	var total, rows float64
	for f := range parts {
		if f == without {
			continue
		}
		for k := range n {
			n[k] += parts[f].n[k]
			sum[k] += parts[f].sum[k]
			rows += parts[f].n[k]
			total += parts[f].sum[k]
		}
	}
	mean = total / rows
	for k := range n {
		sum[k] = (sum[k] + float64(smoothing*mean)) / (n[k] + smoothing)
		if !finite(sum[k]) {
			return nil, 0, false
		}
	}
	return sum[:levels:levels], mean, true
}

func checkLevels(levels int) error {
	if levels < 1 || levels > feature.MaxTable {
		return fmt.Errorf("%d categories, must be 1 to %d", levels, feature.MaxTable)
	}
	return nil
}

// code returns the category of v, -1 when it is none.
func code(v float64, levels int) int {
	if v >= 0 && v < float64(levels) && v == math.Trunc(v) {
		return int(v)
	}
	return -1
}
