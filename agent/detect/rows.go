package detect

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"skerry.dev/compute/anomaly"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
)

// anomalyRows are the rows of a table that are scored.
type anomalyRows struct {
	names  []string
	values [][]float64 // by column, all rows of the file
	index  []int       // of the rows that are scored
	clock  string      // the column of the time, "" for none
	times  []int64     // of all rows, in microseconds
	labels []float64   // of the rows that are scored: 0, 1 or NaN

	by      *frame.Column // names the stream of each row, nil for one stream
	lane    []int         // stream of each row that is scored
	place   []int         // number of the row within its stream
	streams []int         // rows of each
}

// divide separates the streams.
func (r *anomalyRows) divide() {
	r.streams = make([]int, 1)
	if r.by != nil {
		r.streams = make([]int, len(r.by.Categories)+1) // the last is that of rows that name none
	}
	for _, i := range r.index {
		k := 0
		if r.by != nil {
			if k = len(r.by.Categories); !math.IsNaN(r.by.Values[i]) {
				k = int(r.by.Values[i])
			}
		}
		r.lane, r.place = append(r.lane, k), append(r.place, r.streams[k])
		r.streams[k]++
	}
}

// count returns how many streams have rows.
func (r *anomalyRows) count() (n int) {
	for _, rows := range r.streams {
		n += min(rows, 1)
	}
	return n
}

func (r *anomalyRows) schema() anomaly.Schema {
	return anomaly.Schema{Columns: r.names, Timed: r.clock != ""}
}

func (r *anomalyRows) row(x []float64, i int) []float64 {
	for j, v := range r.values {
		x[j] = v[r.index[i]]
	}
	return x
}

func (r *anomalyRows) at(i int) int64 {
	if r.clock == "" {
		return int64(r.place[i])
	}
	return r.times[r.index[i]]
}

func (r *anomalyRows) stamp(i int) string {
	if r.clock == "" || r.at(i) == frame.NoTime {
		return ""
	}
	return time.UnixMicro(r.at(i)).UTC().Format(time.RFC3339Nano)
}

// rows picks the columns and rows that are requested.
func (f *AnomalyOptions) rows(t *frame.Frame) (*anomalyRows, error) {
	column := func(flag, name string) (*frame.Column, error) {
		c, err := tabular.Column(t, name)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", flag, err)
		}
		return c, nil
	}
	r := &anomalyRows{}
	key, value, filtered := strings.Cut(f.Where, "=")
	keep := func(int) bool { return true }
	if f.Where != "" {
		if !filtered {
			return nil, fmt.Errorf("--where %q: must be column=value", f.Where)
		}
		c, err := column("where", key)
		if err != nil {
			return nil, err
		}
		if keep, err = equals(c, value); err != nil {
			return nil, err
		}
	}
	for i := range t.Rows {
		if keep(i) {
			r.index = append(r.index, i)
		}
	}
	if len(r.index) == 0 {
		return nil, errors.New("no rows to score")
	}
	if err := f.timeOf(t, r, column); err != nil {
		return nil, err
	}
	names, flag := f.Columns, "columns"
	if f.Series != "" {
		c, err := column("series", f.Series)
		if err != nil {
			return nil, err
		}
		switch {
		case c.Type == frame.Category && manyNames(c, t.Rows):
			return nil, fmt.Errorf("--series: column %q holds %d different texts in %d rows, for example %q: it is neither numbers to watch nor names of streams", c.Name, len(c.Categories), t.Rows, c.Categories[0])
		case c.Type == frame.Category:
			r.by = c
		case names != nil:
			return nil, fmt.Errorf("--series %s and --columns: the one watches a single column, the other several together; both go together only where --series names the streams of a file", f.Series)
		default:
			names, flag = []string{f.Series}, "series"
		}
	}
	r.divide()
	if names == nil {
		for _, c := range t.Columns {
			if c.Type == frame.Number && c.Name != r.clock && c.Name != f.Labels && c.Name != key {
				names = append(names, c.Name)
			}
		}
		if names == nil {
			return nil, errors.New("no column of numbers to watch")
		}
	}
	for _, n := range names {
		n = strings.TrimSpace(n)
		c, err := column(flag, n)
		if err != nil {
			return nil, err
		}
		switch {
		case c.Type != frame.Number:
			return nil, fmt.Errorf("--%s: column %q holds a %s, not numbers", flag, n, c.Type)
		case slices.Contains(r.names, c.Name):
			return nil, fmt.Errorf("--%s: column %q twice", flag, n)
		case c.Name == f.Labels:
			return nil, fmt.Errorf("--%s: column %q holds the labels", flag, n)
		}
		r.names, r.values = append(r.names, c.Name), append(r.values, c.Values)
	}
	if f.Labels == "" {
		return r, nil
	}
	c, err := column("labels", f.Labels)
	if err != nil {
		return nil, err
	}
	if c.Type == frame.Time {
		return nil, fmt.Errorf("--labels: column %q holds times", f.Labels)
	}
	for _, i := range r.index {
		y := c.Values[i]
		switch {
		case math.IsNaN(y):
		case c.Type == frame.Category:
			y = map[bool]float64{true: 1}[slices.Contains([]string{"1", "true", "yes", "y", "anomaly", "anomalous", "outlier"}, strings.ToLower(c.Categories[int(y)]))]
		case y != 0:
			y = 1
		}
		r.labels = append(r.labels, y)
	}
	return r, nil
}

// manyNames reports whether a column has too many texts to be names of streams.
func manyNames(c *frame.Column, rows int) bool {
	return len(c.Categories) > 8 && 2*len(c.Categories) > rows
}

// timeOf finds the times.
func (f *AnomalyOptions) timeOf(t *frame.Frame, r *anomalyRows, column func(flag, name string) (*frame.Column, error)) error {
	name := f.Time
	if name == "" {
		i := slices.IndexFunc(t.Columns, func(c frame.Column) bool {
			return (c.Type == frame.Time || epochs(&c)) && slices.Contains(tabular.TimeNames, strings.ToLower(c.Name))
		})
		if i < 0 {
			return nil
		}
		if name = t.Columns[i].Name; t.Columns[i].Type == frame.Number && f.Table.Note != nil {
			f.Table.Note(fmt.Sprintf("column %q holds counts since 1970 and is taken for the time", name))
		}
	}
	c, err := column("time", name)
	if err != nil {
		return err
	}
	r.clock = c.Name
	if r.times, err = tabular.Times(c); err != nil {
		return fmt.Errorf("--time: %w", err)
	}
	return nil
}

// epochs reports whether a column of numbers holds times of our days, counted since 1970.
func epochs(c *frame.Column) bool {
	var from, to = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	return c.Type == frame.Number && c.Missing() == 0 && !slices.ContainsFunc(c.Values, func(v float64) bool {
		us := tabular.Epoch(v)
		return us < from || us > to
	})
}

// equals tests the cells of a column.
func equals(c *frame.Column, value string) (func(i int) bool, error) {
	switch c.Type {
	case frame.Category:
		k := slices.Index(c.Categories, value)
		if k < 0 {
			return nil, fmt.Errorf("--where: column %q never is %q: it is %s", c.Name, value, strings.Join(c.Frequent(10), ", "))
		}
		return func(i int) bool { return c.Values[i] == float64(k) }, nil
	case frame.Number:
		cell := tabular.Text(value)
		v, err := cell.Number()
		if err != nil {
			return nil, fmt.Errorf("--where: column %q holds numbers, and %q is none", c.Name, value)
		}
		return func(i int) bool { return c.Values[i] == v }, nil
	}
	return nil, fmt.Errorf("--where: column %q holds times", c.Name)
}
