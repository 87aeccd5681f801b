package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"skerry.dev/compute/tabular"
)

// FileOptions describes how to read a file of readings.
type FileOptions struct {
	// Time names the column of the event time, or several numeric columns
	// "year,month,day,hour,minute,second" (the later ones may be left out). Default: the first of
	// tabular.TimeNames, else year, month, day, hour.
	Time string
	// Format of a single time column: rfc3339, unix, unix_ms, unix_us, unix_ns or a Go layout such as
	// "2006-01-02 15:04:05". Default: what tabular takes for a time.
	Format string
	// Numbered rows need no time: without a column that is named or found for it, the time of a row
	// is the second since 1970 that is its number.
	Numbered bool
	// Arrival names the column that holds when the device received the message of a line. A
	// recorded day is replayed with it as it was live: silences, late readings and those of the
	// future. Default: none was recorded, lines came in time.
	Arrival string
	// Columns maps a column to the series it holds. Default: the column that tabular.Find finds for
	// a series.
	Columns map[string]string
}

// File reads a table, see compute/tabular, and hands one message per row to the sink, in the
// file's order, without holding more than a row of it. A cell that is no finite number and no
// category is an error that names line and column. Ack of its messages does nothing. It returns
// the number of messages.
func File(ctx context.Context, path string, plan *Plan, opts FileOptions, sink Sink) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("open readings: %w", err)
	}
	defer f.Close()
	n, err := ReadTable(ctx, path, f, plan, opts, sink)
	if err != nil {
		return n, fmt.Errorf("read readings %s: %w", path, err)
	}
	return n, nil
}

// ReadTable is File for an open reader; name becomes the messages' topic.
func ReadTable(ctx context.Context, name string, r io.Reader, plan *Plan, opts FileOptions, sink Sink) (int, error) {
	t, err := tabular.Open(r, tabular.Options{})
	if err != nil {
		return 0, err
	}
	cols, err := newColumns(tabular.Names(t.Fields()), plan, opts)
	if err != nil {
		return 0, err
	}
	m := Message{Plan: plan, Topic: name, Ack: func() {}}
	for n, row := 0, int64(0); ; row++ {
		cells, err := t.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if err := ctx.Err(); err != nil {
			return n, err
		}
		if err := cols.read(&m, cells, row); err != nil {
			return n, fmt.Errorf("line %d: %w", t.Line(), err)
		}
		if len(m.Readings) == 0 {
			continue
		}
		if err := sink.Message(ctx, m); err != nil {
			return n, fmt.Errorf("line %d: %w", t.Line(), err)
		}
		n++
	}
}

// columns define what the columns of a file hold.
type columns struct {
	names   []string
	series  []int // by column, -1 when it holds none
	plan    *Plan
	time    []int
	arrival int // column, -1 when there is none
	// the event time of a row in microseconds
	parse func(cells []tabular.Cell, row int64) (int64, error)
}

func newColumns(names []string, plan *Plan, opts FileOptions) (*columns, error) {
	c := &columns{names: names, series: make([]int, len(names)), plan: plan, arrival: -1}
	if opts.Arrival != "" {
		if c.arrival = slices.Index(names, opts.Arrival); c.arrival < 0 {
			return nil, fmt.Errorf("no arrival column %q among %s", opts.Arrival, strings.Join(names, ", "))
		}
	}
	for i, name := range names {
		c.series[i] = -1
		if mapped, ok := opts.Columns[name]; ok {
			s, ok := plan.Index(mapped)
			if !ok {
				return nil, fmt.Errorf("column %q: no task has a series %q", name, mapped)
			}
			c.series[i] = s
		}
	}
	for s, of := range plan.Series() {
		if slices.Contains(c.series, s) {
			continue
		}
		if i := tabular.Find(names, of.Name); i >= 0 && (c.series[i] < 0 || names[i] == of.Name) {
			if _, mapped := opts.Columns[names[i]]; !mapped {
				c.series[i] = s
			}
		}
	}
	if !slices.ContainsFunc(c.series, func(s int) bool { return s >= 0 }) {
		return nil, fmt.Errorf("none of the columns %s is a series of the tasks: map them with column=series", strings.Join(names, ", "))
	}
	return c, c.timeColumns(opts)
}

func (c *columns) timeColumns(opts FileOptions) error {
	find := func(name string) int {
		for i, n := range c.names {
			if strings.EqualFold(n, name) {
				return i
			}
		}
		return -1
	}
	want := strings.Split(opts.Time, ",")
	if opts.Time == "" {
		if i := tabular.FindTime(c.names); i >= 0 {
			want[0] = c.names[i]
		} else if want = []string{"year", "month", "day"}; opts.Numbered && (find("year") < 0 || find("month") < 0 || find("day") < 0) {
			c.parse = func(_ []tabular.Cell, row int64) (int64, error) { return row * time.Second.Microseconds(), nil }
			return nil
		}
		for _, name := range [...]string{"hour", "minute", "second"} {
			if len(want) < 3 || find(name) < 0 {
				break
			}
			want = append(want, name)
		}
	}
	for _, name := range want {
		i := find(strings.TrimSpace(name))
		if i < 0 {
			return fmt.Errorf("no time column %q among %s: name the column that holds the event time", name, strings.Join(c.names, ", "))
		}
		c.time = append(c.time, i)
	}
	if len(c.time) > 1 {
		if len(c.time) < 3 || len(c.time) > 6 {
			return fmt.Errorf("time columns %s: must be year,month,day and optionally hour,minute,second", opts.Time)
		}
		c.parse = c.parts
		return nil
	}
	c.parse = func(cells []tabular.Cell, _ int64) (int64, error) { return instant(&cells[c.time[0]], opts.Format) }
	return nil
}

// instant reads a time in a format; a cell of a file that has times is one.
func instant(cell *tabular.Cell, format string) (int64, error) {
	if t, ok := cell.Time(); ok {
		return t, nil
	}
	switch format {
	case "":
		t, err := cell.Instant()
		if err != nil {
			err = fmt.Errorf("%w: name its format (rfc3339, unix, unix_ms, unix_us, unix_ns or a layout like %q)", err, time.DateTime)
		}
		return t, err
	case "rfc3339":
		return tabular.ParseTime(cell.String())
	case "unix", "unix_ms", "unix_us", "unix_ns":
		// files hold times of any age, recorded or made up
		f := timeForm{format: format, maxPast: math.MaxInt64}
		us, _, err := f.parse(valueBare, []byte(cell.String()), 0)
		if err != nil {
			return 0, fmt.Errorf("%q: %s", err.Value, err.Allowed)
		}
		return us, nil
	}
	t, err := time.Parse(format, cell.String())
	if err != nil {
		return 0, err
	}
	return t.UnixMicro(), nil
}

// parts builds the time from year, month, day and what follows.
func (c *columns) parts(cells []tabular.Cell, _ int64) (int64, error) {
	var v [6]int
	for i, col := range c.time {
		s := cells[col].String()
		n, err := strconv.Atoi(s)
		if err != nil {
			return 0, fmt.Errorf("column %q: %q is not a whole number", c.names[col], s)
		}
		v[i] = n
	}
	return time.Date(v[0], time.Month(v[1]), v[2], v[3], v[4], v[5], 0, time.UTC).UnixMicro(), nil
}

// read fills a message with the readings of a row.
func (c *columns) read(m *Message, cells []tabular.Cell, row int64) error {
	m.Readings = m.Readings[:0]
	us, err := c.parse(cells, row)
	if err != nil {
		return fmt.Errorf("time: %w", err)
	}
	m.Arrival = us
	if m.ClockOK = c.arrival >= 0; m.ClockOK {
		if m.Arrival, err = cells[c.arrival].Instant(); err != nil {
			return fmt.Errorf("arrival: %w", err)
		}
	}
	for i, s := range c.series {
		if s < 0 || cells[i].Missing() {
			continue
		}
		r := Reading{Series: s, Time: us, HasTime: true}
		if of := &c.plan.series[s]; len(of.Categories) > 0 || !number(&cells[i], &r) {
			v, err := of.value(valueBare, []byte(cells[i].String()))
			if err != nil {
				return fmt.Errorf("column %q: %q: %s", c.names[i], err.Value, err.Allowed)
			}
			if v.missing {
				continue
			}
			r.Value, r.Forgiven = v.value, v.forgiven
		}
		m.Readings = append(m.Readings, r)
	}
	return nil
}

// number takes the value of a cell that is a plain number; any other is read as a message's is.
func number(c *tabular.Cell, r *Reading) bool {
	v, err := c.Number()
	if r.Value = v; err != nil || math.IsInf(v, 0) {
		return false
	}
	return true
}
