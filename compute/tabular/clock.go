package tabular

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"skerry.dev/compute/frame"
)

// Clock finds the event time of a row: in one column, or in several that hold year, month, day and
// what follows.
type Clock struct {
	names   []string
	columns []int
	format  string
	wall    func(us int64) int64 // nil: clocks show UTC
	tally   Tally
}

// ErrNoClock means that no column holds the event time.
var ErrNoClock = errors.New("no column of the event time")

// NewClock returns the clock of a table. named is the column, in any case, or several as
// "year,month,day,hour,minute,second", of which the later ones may be left out; "" means the first
// of TimeNames, else year, month, day and so on, among the columns that are not in use as something
// else. format is that of a single column, see CheckTimeFormat. The error is ErrNoClock when none is
// named and none found.
func NewClock(names []string, named, format string, used func(column int) bool) (*Clock, error) {
	if err := CheckTimeFormat(format); err != nil {
		return nil, err
	}
	find := func(name string) int {
		if i := slices.Index(names, name); i >= 0 {
			return i
		}
		return slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
	}
	c := &Clock{names: names, format: format}
	if named == "" {
		for _, t := range TimeNames {
			if i := find(t); i >= 0 && !used(i) {
				c.columns = []int{i}
				c.tally.Name = names[i]
				return c, nil
			}
		}
		for _, t := range [...]string{"year", "month", "day", "hour", "minute", "second"} {
			i := find(t)
			if i < 0 {
				break
			}
			c.columns = append(c.columns, i)
		}
		if len(c.columns) < 3 {
			return nil, ErrNoClock
		}
		return c, nil
	}
	for name := range strings.SplitSeq(named, ",") {
		i := find(strings.TrimSpace(name))
		if i < 0 {
			return nil, fmt.Errorf("time: %w", NoColumn(names, name))
		}
		c.columns = append(c.columns, i)
	}
	if n := len(c.columns); n == 2 || n > 6 {
		return nil, fmt.Errorf("time columns %s: must be one, or year,month,day and optionally hour,minute,second", named)
	}
	c.tally.Name = names[c.columns[0]]
	return c, nil
}

// Local makes times that say no zone those at which clocks of a place show them: wall returns the
// time at which they show one that is given as if it were UTC.
func (c *Clock) Local(wall func(us int64) int64) { c.wall = wall }

// Name returns the column of the time, or several, separated by commas.
func (c *Clock) Name() string {
	var list []string
	for _, i := range c.columns {
		list = append(list, c.names[i])
	}
	return strings.Join(list, ",")
}

// Time returns the event time of a row in microseconds since 1970, frame.NoTime when it is missing
// or cannot be read; the latter is counted.
func (c *Clock) Time(cells []Cell, p Place) int64 {
	if len(c.columns) == 1 {
		cell := &cells[c.columns[0]]
		us := c.tally.Time(cell, p, c.format)
		if c.wall != nil && us != frame.NoTime && cell.local(c.format) {
			return c.wall(us)
		}
		return us
	}
	var v [6]int
	for i, col := range c.columns {
		cell := &cells[col]
		if cell.Missing() {
			return frame.NoTime
		}
		x, err := cell.Number()
		if v[i] = int(x); err != nil || float64(v[i]) != x {
			c.tally.Present++
			c.tally.bad.add(p, cell.String())
			return frame.NoTime
		}
	}
	c.tally.Present++
	us := time.Date(v[0], time.Month(v[1]), v[2], v[3], v[4], v[5], 0, time.UTC).UnixMicro()
	if c.wall != nil {
		return c.wall(us)
	}
	return us
}

// End returns what was counted: notes, and an error when most rows have no time.
func (c *Clock) End() ([]string, error) {
	return c.tally.Notes(frame.Time), c.tally.Wrong(frame.Time)
}
