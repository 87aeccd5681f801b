// Package frame holds tables by column: numbers, categories and times, each with missing values.
package frame

import (
	"fmt"
	"math"
	"slices"
)

// Type is what a column holds.
type Type uint8

// The types.
const (
	Number   Type = iota // finite or infinite numbers; missing = NaN
	Category             // indices into Categories; missing = NaN
	Time                 // microseconds since the Unix epoch, UTC; missing = NoTime
)

// NoTime marks a missing time.
const NoTime = math.MinInt64

// String returns the type's name.
func (t Type) String() string { return [...]string{"number", "category", "time"}[t] }

// Column is a named column. Values holds numbers and category indices, Times holds times; the
// other is nil.
type Column struct {
	Name       string
	Type       Type
	Values     []float64
	Times      []int64
	Categories []string // in order of their first appearance
	// Words are how whole numbers of a Number column are written where not plainly, as 007 or
	// 1.0 are: the first form of each. A column of more than a few thousand forms has none.
	Words map[float64]string
	Unit  string // the unit or currency that stands beside every number of a text, "" without
}

// Len returns the number of rows.
func (c *Column) Len() int {
	if c.Type == Time {
		return len(c.Times)
	}
	return len(c.Values)
}

// Missing returns the number of missing values.
func (c *Column) Missing() int {
	n := 0
	for _, v := range c.Values {
		if math.IsNaN(v) {
			n++
		}
	}
	for _, t := range c.Times {
		if t == NoTime {
			n++
		}
	}
	return n
}

// Frame is a table whose columns have equal lengths.
type Frame struct {
	Columns []Column
	Rows    int
	Left    []string // names of columns of the file that were not asked for
}

// Column returns a column by name.
func (f *Frame) Column(name string) (*Column, error) {
	for i := range f.Columns {
		if f.Columns[i].Name == name {
			return &f.Columns[i], nil
		}
	}
	return nil, fmt.Errorf("frame: no column %q", name)
}

// Matrix returns the numbers and category indices of columns, one row after the other, as
// trainers take them. Missing values are NaN.
func (f *Frame) Matrix(names ...string) ([]float64, error) {
	x := make([]float64, f.Rows*len(names))
	for j, name := range names {
		c, err := f.Column(name)
		if err != nil {
			return nil, err
		}
		if c.Type == Time {
			return nil, fmt.Errorf("frame: column %q holds times, not numbers", name)
		}
		for i, v := range c.Values {
			x[i*len(names)+j] = v
		}
	}
	return x, nil
}

// Frequent returns up to most categories, the most frequent first; of equals the one that came
// first. Nil when the column does not hold categories.
func (c *Column) Frequent(most int) []string {
	if c.Type != Category {
		return nil
	}
	count, at := make([]int, len(c.Categories)), make([]int, len(c.Categories))
	for k := range at {
		at[k] = k
	}
	for _, v := range c.Values {
		if !math.IsNaN(v) {
			count[int(v)]++
		}
	}
	slices.SortStableFunc(at, func(a, b int) int { return count[b] - count[a] })
	names := make([]string, 0, min(most, len(at)))
	for _, k := range at[:min(most, len(at))] {
		names = append(names, c.Categories[k])
	}
	return names
}

// Keep leaves the rows for which keep holds, in their order, and of categories those that they have.
func (f *Frame) Keep(keep func(row int) bool) {
	var rows []int
	for i := range f.Rows {
		if keep(i) {
			rows = append(rows, i)
		}
	}
	for k := range f.Columns {
		f.Columns[k].pick(rows)
	}
	f.Rows = len(rows)
}

// pick leaves the rows given.
func (c *Column) pick(rows []int) {
	if c.Type == Time {
		times := make([]int64, len(rows))
		for n, i := range rows {
			times[n] = c.Times[i]
		}
		c.Times = times
		return
	}
	values := make([]float64, len(rows))
	var names []string
	index := make([]int, len(c.Categories)) // among names, from 1
	for n, i := range rows {
		v := c.Values[i]
		if c.Type == Category && !math.IsNaN(v) {
			k := int(v)
			if index[k] == 0 {
				names = append(names, c.Categories[k])
				index[k] = len(names)
			}
			v = float64(index[k] - 1)
		}
		values[n] = v
	}
	c.Values, c.Categories = values, names
}

// Append adds the rows of another table, whose columns may stand in another order. Categories
// that are new come after the known ones.
func (f *Frame) Append(g *Frame) error {
	for i := range f.Columns {
		c := &f.Columns[i]
		o, err := g.Column(c.Name)
		if err != nil {
			return err
		}
		if o.Type != c.Type {
			return fmt.Errorf("frame: column %q holds a %s in one table and a %s in the other", c.Name, c.Type, o.Type)
		}
		c.Times = append(c.Times, o.Times...)
		if c.Type != Category {
			c.Values = append(c.Values, o.Values...)
			continue
		}
		index := map[string]int{}
		for k, s := range c.Categories {
			index[s] = k
		}
		to := make([]float64, len(o.Categories))
		for k, s := range o.Categories {
			at, ok := index[s]
			if !ok {
				at = len(c.Categories)
				c.Categories = append(c.Categories, s)
			}
			to[k] = float64(at)
		}
		for _, v := range o.Values {
			if !math.IsNaN(v) {
				v = to[int(v)]
			}
			c.Values = append(c.Values, v)
		}
	}
	f.Rows += g.Rows
	return nil
}
