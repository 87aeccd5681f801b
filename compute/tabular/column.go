package tabular

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"skerry.dev/compute/frame"
)

// Plain returns the lower-case letters and the digits of a name.
func Plain(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		}
		return -1
	}, name)
}

// Find returns the position of a column: that of the name, else of the only one with the same
// letters and digits ("PM2.5" is pm25); -1 when there is none.
func Find(names []string, name string) int {
	if i := slices.Index(names, name); i >= 0 {
		return i
	}
	found := -1
	for i, n := range names {
		if Plain(n) == Plain(name) && Plain(n) != "" {
			if found >= 0 {
				return -1
			}
			found = i
		}
	}
	return found
}

// TimeNames are the columns that hold the event time without being named, in any case, the first
// first.
var TimeNames = []string{"ts", "time", "timestamp", "date", "datetime"}

// FindTime returns the first of TimeNames among the columns, -1 when there is none.
func FindTime(names []string) int {
	for _, t := range TimeNames {
		if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, t) }); i >= 0 {
			return i
		}
	}
	return -1
}

// Names returns the names of a reader's columns.
func Names(fields []Field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.Name
	}
	return out
}

// NamesOf returns the names of a table's columns.
func NamesOf(f *frame.Frame) []string {
	out := make([]string, len(f.Columns))
	for i := range f.Columns {
		out[i] = f.Columns[i].Name
	}
	return out
}

// Column finds a column of a table as Find does. The error lists those there are.
func Column(f *frame.Frame, name string) (*frame.Column, error) {
	names := NamesOf(f)
	if i := Find(names, name); i >= 0 {
		return &f.Columns[i], nil
	}
	return nil, fmt.Errorf("there is no column %q: there are %s", name, strings.Join(names, ", "))
}

// FewClasses is how many different whole numbers of a target are taken for classes at most, unless
// they are declared as such.
const FewClasses = 10

// AreClasses reports whether a target without a declared kind holds classes: text, or few whole
// numbers.
func AreClasses(c *frame.Column) bool {
	if c.Type == frame.Category {
		return true
	}
	n := len(whole(c, FewClasses))
	return n > 0
}

// Classes returns the names of a target's classes, in the order of the names, or of the numbers
// for whole numbers; nil when it holds fractions, times, nothing or more than most.
func Classes(c *frame.Column, most int) []string {
	if c.Type == frame.Category {
		if len(c.Categories) > most {
			return nil
		}
		return slices.Sorted(slices.Values(c.Categories))
	}
	var names []string
	for _, v := range whole(c, most) {
		names = append(names, ClassName(v))
	}
	return names
}

// ClassName is the name of a class that is a number, or of a category that a column of numbers
// holds.
func ClassName(v float64) string { return fmt.Sprintf("%g", v) }

// whole returns the different whole numbers of a column, in order; nil when it holds other values
// or more than most.
func whole(c *frame.Column, most int) (out []float64) {
	if c.Type != frame.Number {
		return nil
	}
	seen := map[float64]bool{}
	for _, v := range c.Values {
		if math.IsNaN(v) || seen[v] {
			continue
		}
		if seen[v] = true; v != math.Trunc(v) || len(seen) > most {
			return nil
		}
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}

// Codes returns the values of a column by row. With names they are indices into these, as of
// classes or of the categories of an artifact, NaN for any other; without names the column must
// hold numbers.
func Codes(c *frame.Column, names []string) (func(row int) float64, error) {
	known := make(map[string]int, len(names))
	for k, s := range names {
		known[s] = k
		if t := strings.TrimSpace(s); t != s { // of artifacts made when spaces counted
			if _, ok := known[t]; !ok {
				known[t] = k
			}
		}
	}
	index := func(s string) float64 {
		if k, ok := known[s]; ok {
			return float64(k)
		}
		return math.NaN()
	}
	switch {
	case c.Type == frame.Time:
		return nil, fmt.Errorf("column %q holds times, numbers or categories were expected", c.Name)
	case names == nil && c.Type == frame.Category && len(c.Categories) > 0:
		return nil, notNumeric(c)
	case names == nil:
		return func(i int) float64 { return c.Values[i] }, nil
	case c.Type == frame.Category:
		to := make([]float64, len(c.Categories))
		for k, s := range c.Categories {
			to[k] = index(s)
		}
		return func(i int) float64 {
			if v := c.Values[i]; !math.IsNaN(v) {
				return to[int(v)]
			}
			return math.NaN()
		}, nil
	}
	return func(i int) float64 {
		if v := c.Values[i]; !math.IsNaN(v) {
			return index(ClassName(v))
		}
		return math.NaN()
	}, nil
}

// notNumeric names the first cell of a column that made it one of categories.
func notNumeric(c *frame.Column) error {
	for i, v := range c.Values {
		if math.IsNaN(v) {
			continue
		}
		text := c.Categories[int(v)]
		cell := Text(text)
		if _, err := cell.Number(); err != nil {
			return fmt.Errorf("column %q, row %d: %q is no number", c.Name, i+1, clip(text))
		}
	}
	return fmt.Errorf("column %q holds categories, numbers were expected", c.Name)
}

// Times returns the times of a column, frame.NoTime where there is none; numbers are seconds or
// milliseconds since 1970, see Epoch.
func Times(c *frame.Column) ([]int64, error) {
	switch c.Type {
	case frame.Time:
		return c.Times, nil
	case frame.Category:
		return nil, fmt.Errorf("column %q holds %q, which is not a time such as 2006-01-02T15:04:05Z", c.Name, c.Categories[0])
	}
	out := make([]int64, len(c.Values))
	for i, v := range c.Values {
		out[i] = Epoch(v)
	}
	return out, nil
}
