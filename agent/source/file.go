package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
)

// FileOptions describes how to read a file of readings.
type FileOptions struct {
	// Time names the column of the event time, or several numeric columns
	// "year,month,day,hour,minute,second" (the later ones may be left out). Default: the first of
	// tabular.TimeNames that holds no series, else year, month, day, hour.
	Time string
	// Format of a single time column, see tabular.CheckTimeFormat. Default: what tabular takes for
	// a time.
	Format string
	// Arrival names the column that holds when the device received the message of a line. A
	// recorded day is replayed with it as it was live: silences, late readings and those of the
	// future. Default: none was recorded, lines came in time.
	Arrival string
	// Columns maps a column to the series it holds. Default: the column that tabular.Match finds
	// for a series.
	Columns map[string]string
	// Table is how the file is written; its Note receives what was not taken as it stands.
	Table tabular.Options
}

// File reads a table, see compute/tabular, and hands one message per row to the sink, in the
// file's order, without holding more than a row of it. A cell that is no finite number and no
// category is missing, as a row without a time is, and Table.Note receives how many there were. Ack
// of its messages does nothing. It returns the number of messages.
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
	t, err := tabular.Open(r, opts.Table)
	if err != nil {
		return 0, err
	}
	cols, err := newColumns(tabular.Names(t.Fields()), plan, opts)
	if err != nil {
		return 0, err
	}
	m := Message{Plan: plan, Topic: name, Ack: func() {}}
	for n := 0; ; {
		cells, err := t.Next()
		if errors.Is(err, io.EOF) {
			return n, cols.end(n, opts.Table.Note)
		}
		if err != nil {
			return n, err
		}
		if err := ctx.Err(); err != nil {
			return n, err
		}
		if cols.read(&m, cells, tabular.PlaceOf(t)); len(m.Readings) == 0 {
			continue
		}
		if err := sink.Message(ctx, m); err != nil {
			return n, fmt.Errorf("line %d: %w", t.Line(), err)
		}
		n++
	}
}

// words counts cells that are no number and were read as a device reads them, as the first was.
type words struct {
	n  int
	as string
}

// columns define what the columns of a file hold.
type columns struct {
	names   []string
	series  []int               // by column, -1 when it holds none
	books   []*tabular.Codebook // by column, of those that hold categories
	tallies []tabular.Tally     // by column
	words   []words             // by column
	plan    *Plan
	clock   *tabular.Clock
	arrival *tabular.Clock // nil when it is not recorded
	notes   []string       // that are known before the first row
	last    int64          // time of the row before
	rows    int
	back    int // rows that are older than the row before
}

func newColumns(names []string, plan *Plan, opts FileOptions) (*columns, error) {
	c := &columns{
		names:   names,
		series:  make([]int, len(names)),
		books:   make([]*tabular.Codebook, len(names)),
		tallies: make([]tabular.Tally, len(names)),
		words:   make([]words, len(names)),
		plan:    plan,
	}
	var free []string // columns that no option maps
	for i, name := range names {
		c.series[i], c.tallies[i].Name = -1, name
		mapped, ok := opts.Columns[name]
		if !ok {
			free = append(free, name)
			continue
		}
		s, ok := plan.Index(mapped)
		if !ok {
			return nil, fmt.Errorf("column %q: no task has a series %q", name, mapped)
		}
		c.series[i] = s
	}
	for name := range opts.Columns {
		if !slices.Contains(names, name) {
			return nil, tabular.NoColumn(names, name)
		}
	}
	var wanted []string // series that no option maps
	for s, of := range plan.Series() {
		if !slices.Contains(c.series, s) {
			wanted = append(wanted, of.Name)
		}
	}
	at, err := tabular.Match(free, wanted)
	if err != nil {
		return nil, err
	}
	for k, i := range at {
		if i >= 0 {
			c.series[slices.Index(names, free[i])], _ = plan.Index(wanted[k]) // it is from the plan
		}
	}
	for k, i := range at {
		if s := &plan.series[slices.IndexFunc(plan.series, func(s Series) bool { return s.Name == wanted[k] })]; i < 0 && !s.IDs {
			c.notes = append(c.notes, fmt.Sprintf("series %q has no column: it is missing in every row; --column-series COLUMN=%s names one", wanted[k], wanted[k]))
		}
	}
	if !slices.ContainsFunc(c.series, func(s int) bool { return s >= 0 }) {
		return nil, fmt.Errorf("none of the columns %s is a series of the tasks: map them with column=series", strings.Join(names, ", "))
	}
	for i, s := range c.series {
		if s >= 0 && len(plan.series[s].Categories) > 0 {
			c.books[i] = tabular.NewCodebook(plan.series[s].Categories)
		}
	}
	return c, c.clocks(opts)
}

// clocks finds the columns of the times.
func (c *columns) clocks(opts FileOptions) (err error) {
	c.clock, err = tabular.NewClock(c.names, opts.Time, opts.Format, func(i int) bool { return c.series[i] >= 0 })
	if errors.Is(err, tabular.ErrNoClock) {
		return fmt.Errorf("%w among %s: name it by --time", err, strings.Join(c.names, ", "))
	}
	if i := slices.IndexFunc(c.plan.series, func(s Series) bool { return s.time.loc != nil }); err == nil && i >= 0 && c.plan.series[i].time.loc != time.UTC {
		loc := c.plan.series[i].time.loc
		c.clock.Local(func(us int64) int64 { us, _ = wall(time.UnixMicro(us).UTC(), loc, 0); return us })
		c.notes = append(c.notes, fmt.Sprintf("times that say no zone are those that clocks of %s show (time.zone)", loc))
	}
	if err == nil && opts.Arrival != "" {
		c.arrival, err = tabular.NewClock(c.names, opts.Arrival, "", nil)
	}
	return err
}

// read fills a message with the readings of a row; without a time it has none.
func (c *columns) read(m *Message, cells []tabular.Cell, at tabular.Place) {
	m.Readings = m.Readings[:0]
	us := c.clock.Time(cells, at)
	if us == frame.NoTime {
		return
	}
	if c.rows++; us < c.last {
		c.back++
	}
	m.Arrival, c.last = us, us
	if m.ClockOK = c.arrival != nil; m.ClockOK {
		if m.Arrival = c.arrival.Time(cells, at); m.Arrival == frame.NoTime {
			return
		}
	}
	for i, s := range c.series {
		if s < 0 {
			continue
		}
		r := Reading{Series: s, Time: us, HasTime: true}
		switch of := &c.plan.series[s]; {
		case c.books[i] != nil:
			r.Value = c.tallies[i].Code(&cells[i], at, c.books[i])
		case of.wrote != "" && of.told(&cells[i], &r):
		case !readable(&cells[i]) && of.told(&cells[i], &r):
			if w := &c.words[i]; !math.IsNaN(r.Value) {
				if w.n++; w.n == 1 {
					w.as = fmt.Sprintf("%s, %q, read as %s", at, cells[i].String(), tabular.ClassName(r.Value))
				}
			}
		default:
			r.Value = c.tallies[i].Number(&cells[i], at)
		}
		if !math.IsNaN(r.Value) {
			m.Readings = append(m.Readings, r)
		}
	}
}

// readable reports whether a cell is a number as tables have them.
func readable(c *tabular.Cell) bool {
	_, err := c.Number()
	return err == nil
}

// told reads a cell as a device reads such a value of a message; false where it does not.
func (s *Series) told(c *tabular.Cell, r *Reading) bool {
	v, err := s.value(valueBare, []byte(c.String()))
	if err != nil {
		return false
	}
	if r.Value, r.Forgiven = v.value, v.forgiven; v.missing {
		r.Value = math.NaN()
	}
	return true
}

// end passes on what was counted. That no row became a message is an error where it was for that.
func (c *columns) end(messages int, note func(string)) error {
	var notes []string
	if 2*c.back > c.rows {
		c.notes = append(c.notes, fmt.Sprintf("%d of %d rows are older than the row before, so that their readings come late, as they would on a device: sort the table by its time to replay it in order", c.back, c.rows))
	}
	for i, w := range c.words {
		if w.n > 0 {
			c.notes = append(c.notes, fmt.Sprintf("column %q: %s no number and read as a device reads such a value: the first is %s", c.names[i], cellsAre(w.n), w.as))
		}
	}
	for i := range c.tallies {
		if err := c.tallies[i].Wrong(frame.Number); err != nil {
			return err
		}
		notes = append(notes, c.tallies[i].Notes(frame.Number)...)
	}
	for _, clock := range []*tabular.Clock{c.clock, c.arrival} {
		if clock == nil {
			continue
		}
		list, err := clock.End()
		if err != nil {
			return err
		}
		notes = append(notes, list...)
	}
	if messages == 0 && len(notes) > 0 {
		return fmt.Errorf("no row holds a reading: %s", strings.Join(notes, "; "))
	}
	for _, n := range append(c.notes, notes...) {
		if note != nil {
			note(n)
		}
	}
	return nil
}

func cellsAre(n int) string {
	if n == 1 {
		return "1 cell is"
	}
	return fmt.Sprintf("%d cells are", n)
}
