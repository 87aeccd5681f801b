// Package frame holds tables by column: numbers, categories and times, each with missing values.
package frame

import (
	"fmt"
	"math"
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

// Column is a named column. Values holds numbers and category indices, Times holds times; the other is nil.
type Column struct {
	Name       string
	Type       Type
	Values     []float64
	Times      []int64
	Categories []string // in order of their first appearance
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
		if v != v {
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

// Matrix returns the numbers and category indices of columns, one row after the other, as trainers want them. Missing values are NaN.
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
