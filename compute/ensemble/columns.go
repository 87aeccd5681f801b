package ensemble

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// A column is what the nodes of a compiled ensemble compare: a feature whose missing values have
// been replaced by the end of the number line that goes the way these nodes send them, or 0 or 1
// for being inside or outside a set of categories. A feature whose nodes do not agree on missing
// values becomes two columns. So a compiled node has one form: greater than the threshold goes
// right.
type column struct {
	feature int
	missing float64    // stands for NaN: -Inf goes left everywhere, +Inf right; for a set 0 or 1
	set     *[4]uint64 // nil for a number
}

// maxColumns bounds the work of making a row ready; with more, a walk that looks only at the
// nodes it passes is the better one.
const maxColumns = 4096

var errColumns = errors.New("too many distinct category sets")

// columns are an ensemble's, numbers first, with the column of every inner node. thresholds are
// ascending and distinct, by column; a set's only one is 0.
type columns struct {
	list       []column
	numbers    int // list[:numbers] are numbers, the rest sets
	of         []uint16
	thresholds [][]float64
}

func (e *Ensemble) columns() (*columns, error) {
	type key struct {
		feature uint16
		left    bool
		isSet   bool
		set     [4]uint64
	}
	at := map[key]int{}
	c := &columns{of: make([]uint16, len(e.nodes))}
	for i := range e.nodes {
		n := &e.nodes[i]
		if n.left == 0 {
			continue
		}
		k := key{feature: n.feature, left: n.flags&flagMissingLeft != 0, isSet: n.flags&flagCategories != 0}
		col := column{feature: int(n.feature), missing: math.Inf(1)}
		if k.left {
			col.missing = math.Inf(-1)
		}
		if k.isSet {
			k.set = e.sets[n.bits]
			col.set, col.missing = &e.sets[n.bits], 1
			if k.left {
				col.missing = 0
			}
		}
		j, seen := at[k]
		if !seen {
			if j = len(c.list); j == maxColumns {
				return nil, errColumns
			}
			at[k] = j
			c.list = append(c.list, col)
			c.thresholds = append(c.thresholds, nil)
		}
		c.of[i] = uint16(j)
	}
	c.numbersFirst()
	for i := range e.nodes {
		if n := &e.nodes[i]; n.left != 0 && n.flags&flagCategories == 0 {
			j := c.of[i]
			c.thresholds[j] = append(c.thresholds[j], math.Float64frombits(n.bits))
		}
	}
	for j := range c.thresholds {
		if j >= c.numbers {
			c.thresholds[j] = []float64{0}
			continue
		}
		slices.Sort(c.thresholds[j])
		c.thresholds[j] = slices.Compact(c.thresholds[j])
	}
	return c, nil
}

// numbersFirst renumbers the columns: numbers before sets, then by feature.
func (c *columns) numbersFirst() {
	order := make([]int, len(c.list))
	for j := range order {
		order[j] = j
		if c.list[j].set == nil {
			c.numbers++
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		sa, sb := c.list[a].set != nil, c.list[b].set != nil
		if sa != sb {
			if sb {
				return -1
			}
			return 1
		}
		return cmp.Compare(c.list[a].feature, c.list[b].feature)
	})
	list, rank := make([]column, len(order)), make([]uint16, len(order))
	for to, from := range order {
		list[to], rank[from] = c.list[from], uint16(to)
	}
	c.list = list
	if len(list) == 0 {
		return
	}
	for i, j := range c.of {
		c.of[i] = rank[j] // a leaf's is not used
	}
}

// threshold returns what the column of inner node n is compared with.
func (n *node) threshold() float64 {
	if n.flags&flagCategories != 0 {
		return 0
	}
	return math.Float64frombits(n.bits)
}

// outside returns 0 when v belongs to the column's set, else 1; missing values follow the column.
func (c *column) outside(v float64) float64 {
	switch {
	case v != v:
		return c.missing
	case v < 0 || v > 255 || v != math.Trunc(v):
		return 1
	}
	b := uint8(v)
	return float64(^c.set[b/64] >> (b % 64) & 1)
}

// floor32 returns the largest float32 that is not above t. A float32 is at most t exactly when it
// is at most floor32(t).
func floor32(t float64) float32 {
	f := float32(t)
	if float64(f) > t {
		f = math.Nextafter32(f, float32(math.Inf(-1)))
	}
	return f
}

// ceil32 returns the smallest float32 that is not below v. v is at most a float32 t exactly when
// ceil32(v) is. It does not branch: whether a number is rounded down cannot be predicted.
func ceil32(v float64) float32 {
	f := float32(v)
	up := above(v, float64(f))
	b := math.Float32bits(f)
	return math.Float32frombits(b + up - 2*(up&(b>>31)))
}

// above is 1 when v is greater than t, else 0; compilers make it a flag, not a branch.
func above[F float32 | float64](v, t F) uint32 {
	var r uint32
	if v > t {
		r = 1
	}
	return r
}

// ready32 writes the columns of row x to dst, step apart, as keys. round reports that the ensemble
// rounds its inputs.
func (c *columns) ready32(dst []int64, x []float64, step int, round bool) {
	for j := range c.list {
		col := &c.list[j]
		v := x[col.feature]
		if round {
			v = float64(float32(v))
		}
		switch {
		case col.set != nil:
			v = col.outside(v)
		case v != v:
			v = col.missing
		}
		dst[j*step] = key(ceil32(v))
	}
}

// ready64 writes them as float64.
func (c *columns) ready64(dst []float64, x []float64, step int, round bool) {
	for j := range c.list {
		col := &c.list[j]
		v := x[col.feature]
		if round {
			v = float64(float32(v))
		}
		switch {
		case col.set != nil:
			v = col.outside(v)
		case v != v:
			v = col.missing
		}
		dst[j*step] = v
	}
}
