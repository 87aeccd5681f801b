package source

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FileOptions says how to read a file of readings.
type FileOptions struct {
	// Time names the column of the event time, or several numeric columns
	// "year,month,day,hour,minute,second" (the later ones may be left out). Default: the column
	// "ts", "time", "timestamp" or "date", else year, month, day, hour.
	Time string
	// Format of a single time column: rfc3339, unix, unix_ms, unix_us or a Go layout such as
	// "2006-01-02 15:04:05". Default: rfc3339, else common layouts without a zone, read as UTC.
	Format string
	// Arrival names the column that says when the device received the message of a line, as rfc3339
	// or common layouts in UTC. A recorded day is replayed with it as it was live: silences, late
	// readings and those of the future. Default: none was recorded, lines came in time.
	Arrival string
	// Columns maps a column to the series it holds. Default: the series whose name equals the
	// column's when only letters and digits count, without their case ("PM2.5" is pm25).
	Columns map[string]string
}

// File reads a CSV file with a header line, optionally compressed with gzip, and hands one
// message per line to the sink, in the file's order. Empty cells, NA and NaN are missing. A cell
// that is no number and no category is an error that names line and column. Ack of its messages
// does nothing. It returns the number of messages.
func File(ctx context.Context, path string, plan *Plan, opts FileOptions, sink Sink) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("open readings: %w", err)
	}
	defer f.Close()
	n, err := ReadCSV(ctx, path, f, plan, opts, sink)
	if err != nil {
		return n, fmt.Errorf("read readings %s: %w", path, err)
	}
	return n, nil
}

// ReadCSV is File for an open reader; name becomes the messages' topic.
func ReadCSV(ctx context.Context, name string, r io.Reader, plan *Plan, opts FileOptions, sink Sink) (int, error) {
	br := bufio.NewReaderSize(r, 64<<10)
	if head, _ := br.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(br)
		if err != nil {
			return 0, err
		}
		br = bufio.NewReaderSize(z, 64<<10)
	}
	cr := csv.NewReader(br)
	cr.ReuseRecord = true
	header, err := cr.Read()
	if err != nil {
		return 0, fmt.Errorf("header: %w", err)
	}
	cols, err := newColumns(header, plan, opts)
	if err != nil {
		return 0, err
	}
	m := Message{Plan: plan, Topic: name, Ack: func() {}}
	for n := 0; ; {
		rec, err := cr.Read()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if err := ctx.Err(); err != nil {
			return n, err
		}
		line, _ := cr.FieldPos(0)
		m.Readings, err = cols.read(m.Readings[:0], rec)
		if err != nil {
			return n, fmt.Errorf("line %d: %w", line, err)
		}
		if len(m.Readings) == 0 {
			continue
		}
		m.Arrival = m.Readings[0].Time
		if m.ClockOK = cols.arrival >= 0; m.ClockOK {
			t, err := common(rec[cols.arrival])
			if err != nil {
				return n, fmt.Errorf("line %d: arrival: %w", line, err)
			}
			m.Arrival = t.UnixMicro()
		}
		if err := sink.Message(ctx, m); err != nil {
			return n, fmt.Errorf("line %d: %w", line, err)
		}
		n++
	}
}

type csvColumns struct {
	names  []string
	series []int // by column, -1 when it holds none
	plan   *Plan
	time   []int
	// column of the arrival, -1 when there is none
	arrival int
	parse   func(rec []string) (time.Time, error)
}

func newColumns(header []string, plan *Plan, opts FileOptions) (*csvColumns, error) {
	c := &csvColumns{names: append([]string(nil), header...), series: make([]int, len(header)), plan: plan, arrival: -1}
	if len(c.names) > 0 {
		c.names[0] = strings.TrimPrefix(c.names[0], "\ufeff")
	}
	byName := map[string]int{}
	for i, s := range plan.Series() {
		byName[plainName(s.Name)] = i
	}
	if opts.Arrival != "" {
		if c.arrival = slices.Index(c.names, opts.Arrival); c.arrival < 0 {
			return nil, fmt.Errorf("no arrival column %q among %s", opts.Arrival, strings.Join(c.names, ", "))
		}
	}
	found := 0
	for i, name := range c.names {
		c.series[i] = -1
		if mapped, ok := opts.Columns[name]; ok {
			s, ok := plan.Index(mapped)
			if !ok {
				return nil, fmt.Errorf("column %q: no task has a series %q", name, mapped)
			}
			c.series[i] = s
		} else if s, ok := byName[plainName(name)]; ok {
			c.series[i] = s
		}
		if c.series[i] >= 0 {
			found++
		}
	}
	if found == 0 {
		return nil, fmt.Errorf("none of the columns %s is a series of the tasks: map them with column=series", strings.Join(c.names, ", "))
	}
	return c, c.timeColumns(opts)
}

func plainName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9'):
			return r
		}
		return -1
	}, s)
}

var layouts = [...]string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04", "2006-01-02", "02/01/2006 15:04"}

func (c *csvColumns) timeColumns(opts FileOptions) error {
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
		for _, name := range [...]string{"ts", "time", "timestamp", "date", "datetime"} {
			if find(name) >= 0 {
				want = []string{name}
				break
			}
		}
		if want[0] == "" {
			want = []string{"year", "month", "day"}
			for _, name := range [...]string{"hour", "minute", "second"} {
				if find(name) < 0 {
					break
				}
				want = append(want, name)
			}
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
	col := c.time[0]
	switch opts.Format {
	case "unix", "unix_ms", "unix_us":
		format := opts.Format
		c.parse = func(rec []string) (time.Time, error) {
			num := scanner{b: []byte(rec[col])}
			kind := valueString
			if len(rec[col]) > 0 && num.number() && num.i == len(num.b) {
				kind = valueNumber
			}
			us, err := parseTime(format, kind, num.b)
			if err != nil {
				return time.Time{}, fmt.Errorf("%q: %s", err.Value, err.Allowed)
			}
			return time.UnixMicro(us), nil
		}
	default:
		c.parse = func(rec []string) (time.Time, error) {
			if opts.Format != "" && opts.Format != "rfc3339" {
				return time.Parse(opts.Format, rec[col])
			}
			return common(rec[col])
		}
	}
	return nil
}

// common reads a time of one of the common layouts.
func common(cell string) (time.Time, error) {
	for _, l := range layouts {
		if t, err := time.Parse(l, cell); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time: name its format (rfc3339, unix, unix_ms, unix_us or a layout like %q)", cell, time.DateTime)
}

// parts builds the time from year, month, day and what follows.
func (c *csvColumns) parts(rec []string) (time.Time, error) {
	var v [6]int
	for i, col := range c.time {
		n, err := strconv.Atoi(strings.TrimSpace(rec[col]))
		if err != nil {
			return time.Time{}, fmt.Errorf("column %q: %q is not a whole number", c.names[col], rec[col])
		}
		v[i] = n
	}
	return time.Date(v[0], time.Month(v[1]), v[2], v[3], v[4], v[5], 0, time.UTC), nil
}

func (c *csvColumns) read(dst []Reading, rec []string) ([]Reading, error) {
	t, err := c.parse(rec)
	if err != nil {
		return dst, fmt.Errorf("time: %w", err)
	}
	us := t.UnixMicro()
	for i, s := range c.series {
		if s < 0 {
			continue
		}
		cell := strings.TrimSpace(rec[i])
		if cell == "" || cell == "NA" || strings.EqualFold(cell, "nan") {
			continue
		}
		r := Reading{Series: s, Time: us, HasTime: true}
		if cats := c.plan.series[s].Categories; len(cats) > 0 {
			v, err := parseValue(&c.plan.series[s], valueString, []byte(cell))
			if err != nil {
				return dst, fmt.Errorf("column %q: %q: %s", c.names[i], err.Value, err.Allowed)
			}
			r.Value = v
		} else if r.Value, err = strconv.ParseFloat(cell, 64); err != nil || math.IsInf(r.Value, 0) {
			return dst, fmt.Errorf("column %q: %q is not a finite number", c.names[i], cell)
		}
		dst = append(dst, r)
	}
	return dst, nil
}
