package tabular

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"skerry.dev/compute/frame"
)

// Cell is a field of a row: a text that defines its type, as in CSV, or a number, a time or
// nothing, as a file with types has it. The zero Cell is missing.
type Cell struct {
	kind   kind
	text   string
	number float64
	time   int64
}

type kind uint8

const (
	absent kind = iota
	text
	number
	instant
)

// Text returns a cell of text.
func Text(s string) Cell { return Cell{kind: text, text: s} }

// Number returns a cell of a number; NaN is missing.
func Number(v float64) Cell { return Cell{kind: number, number: v} }

// Instant returns a cell of a time in microseconds since 1970, UTC.
func Instant(us int64) Cell { return Cell{kind: instant, time: us} }

// longestMark bounds the texts that may mean "missing".
const longestMark = 4

// Missing reports whether the cell holds nothing.
func (c *Cell) Missing() bool {
	switch c.kind {
	case text:
		if n := len(c.text); n > longestMark && c.text[0] > ' ' && c.text[n-1] > ' ' {
			return false // nearly always
		}
		s := strings.TrimSpace(c.text)
		return s == "" || s == "NA" || s == "null" || s == "?" || strings.EqualFold(s, "nan")
	case number:
		return math.IsNaN(c.number)
	}
	return c.kind == absent
}

// Number returns the number of a cell that is not missing; it may be infinite.
func (c *Cell) Number() (float64, error) {
	switch c.kind {
	case number:
		return c.number, nil
	case text:
		s := strings.TrimSpace(c.text)
		v, err := strconv.ParseFloat(s, 64)
		if err == nil && !math.IsNaN(v) && !strings.ContainsAny(s, "_xXpP") { // Go's own forms: 1_0, 0x1p4
			return v, nil
		}
	}
	return 0, fmt.Errorf("%q is not a number", clip(c.String()))
}

// Time returns the time of a cell of a file that has times; false for any other cell.
func (c *Cell) Time() (us int64, ok bool) { return c.time, c.kind == instant }

// layouts are tried in order; a time without a zone is UTC.
var layouts = [...]string{
	time.RFC3339Nano,
	"2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04",
	"2006-01-02",
	"02/01/2006 15:04",
}

// Instant returns the time of a cell that is not missing, in microseconds since 1970; a number is
// seconds or milliseconds, see [Epoch].
func (c *Cell) Instant() (int64, error) {
	switch c.kind {
	case instant:
		return c.time, nil
	case text:
		if t, err := ParseTime(c.text); err == nil {
			return t, nil
		}
	}
	if v, err := c.Number(); err == nil {
		if t := Epoch(v); t != frame.NoTime {
			return t, nil
		}
	}
	return 0, fmt.Errorf("%q is not a time such as 2006-01-02T15:04:05Z", clip(c.String()))
}

// ParseTime reads a time in one of the common forms, which a number is not.
func ParseTime(s string) (int64, error) {
	s = strings.TrimSpace(s)
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixMicro(), nil
		}
	}
	return 0, fmt.Errorf("%q is not a time such as 2006-01-02T15:04:05Z", clip(s))
}

// Epoch returns the time of a number since 1970, in microseconds: of seconds, or of milliseconds
// when seconds would lie in the year 5138 or later. It is frame.NoTime for a number that is
// neither.
func Epoch(v float64) int64 {
	switch {
	case !(math.Abs(v) < 1e14):
		return frame.NoTime
	case math.Abs(v) < 1e11:
		return int64(v * 1e6)
	}
	return int64(v * 1e3)
}

// String returns the cell as the name of a category, "" when it is missing.
func (c *Cell) String() string {
	switch c.kind {
	case text:
		return strings.TrimSpace(c.text)
	case number:
		return strconv.FormatFloat(c.number, 'g', -1, 64)
	case instant:
		return time.UnixMicro(c.time).UTC().Format(time.RFC3339Nano)
	}
	return ""
}

// clip keeps a message readable.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
