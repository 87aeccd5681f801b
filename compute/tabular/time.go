package tabular

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"skerry.dev/compute/frame"
)

// dateOrder is what stands first in the dates with slashes of a column.
type dateOrder uint8

const (
	noOrder dateOrder = iota // not known: a date with two meanings is none
	dayFirst
	monthFirst
)

func noTime(s string) error {
	return fmt.Errorf("%q is not a time such as 2006-01-02T15:04:05Z", clip(s))
}

// ParseTime reads a time in one of the common forms, which a number is not; without a zone it is
// UTC. The forms are ISO 8601 and its relatives (a space for the T, lower case, slashes between
// year, month and day, no seconds, no time of day, a fraction, a zone as Z, UTC, +01, +0100 or
// +01:00 with or without a space before it), the same with the date as 31.12.2006, and with
// 12/31/2006 or 31/12/2006 where only one of them is a date.
func ParseTime(s string) (int64, error) { return parseTime(s, noOrder) }

func parseTime(s string, order dateOrder) (int64, error) {
	us, _, err := parseZoned(s, order)
	return us, err
}

// parseZoned is parseTime, and reports whether the text says a zone.
func parseZoned(s string, order dateOrder) (us int64, zoned bool, err error) {
	s = strings.TrimSpace(s)
	p := timeParser{s: s}
	if len(s) < len("2/1/2006") || len(s) > 64 || s[0] < '0' || s[0] > '9' {
		return 0, false, noTime(s)
	}
	a, n := p.number(4)
	sep := p.byte()
	b, m := p.number(2)
	again := p.byte()
	if n == 0 || m == 0 || sep != again || sep != '-' && sep != '/' && sep != '.' {
		return 0, false, noTime(s)
	}
	var year, month, day int
	if n == 4 {
		year, month = a, b
		if day, n = p.number(2); n == 0 {
			return 0, false, noTime(s)
		}
	} else {
		if year, m = p.number(4); m != 4 {
			return 0, false, noTime(s)
		}
		switch {
		case sep == '.' || order == dayFirst || order == noOrder && a > 12:
			day, month = a, b
		case order == monthFirst || order == noOrder && b > 12 || a == b:
			month, day = a, b
		default:
			return 0, false, fmt.Errorf("%q has two meanings, day first or month first: name the layout, for example %%d/%%m/%%Y", clip(s))
		}
	}
	t, ok := p.clock(year, month, day)
	if !ok {
		return 0, false, noTime(s)
	}
	return t, p.zoned, nil
}

// timeParser reads a text from its beginning.
type timeParser struct {
	s     string
	i     int
	zoned bool // a zone was read
}

// number reads up to most digits and returns how many there were.
func (p *timeParser) number(most int) (v, n int) {
	for ; n < most && p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9'; n++ {
		v, p.i = 10*v+int(p.s[p.i]-'0'), p.i+1
	}
	return v, n
}

// byte takes the next byte, 0 at the end.
func (p *timeParser) byte() byte {
	if p.i == len(p.s) {
		return 0
	}
	p.i++
	return p.s[p.i-1]
}

// next reports whether the next byte is one of a set, and takes it.
func (p *timeParser) next(set string) bool {
	if p.i == len(p.s) || strings.IndexByte(set, p.s[p.i]) < 0 {
		return false
	}
	p.i++
	return true
}

// clock reads the time of day and the zone, as far as there are any, to the end.
func (p *timeParser) clock(year, month, day int) (us int64, ok bool) {
	if month < 1 || month > 12 || day < 1 || day > time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day() {
		return 0, false
	}
	var hour, minute, second, nano int
	zone := 0
	if p.next("Tt ") {
		p.spaces()
		var n int
		if hour, n = p.number(2); n == 0 || !p.next(":") {
			return 0, false
		}
		if minute, n = p.number(2); n != 2 {
			return 0, false
		}
		if p.next(":") {
			if second, n = p.number(2); n != 2 {
				return 0, false
			}
			if p.next(".,") {
				if nano, ok = p.fraction(); !ok {
					return 0, false
				}
			}
		}
		p.spaces()
		if hour, ok = p.half(hour); !ok {
			return 0, false
		}
		if zone, ok = p.zone(); !ok {
			return 0, false
		}
	}
	midnight := hour == 24 && minute == 0 && second == 0 && nano == 0 // the end of the day
	leap := minute == 59 && second == 60
	if p.i != len(p.s) || hour > 23 && !midnight || minute > 59 || second > 59 && !leap {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nano, time.UTC)
	return t.UnixMicro() - int64(zone)*int64(time.Minute/time.Microsecond), true
}

func (p *timeParser) spaces() {
	for p.next(" ") {
	}
}

// fraction reads the digits of a second, in nanoseconds.
func (p *timeParser) fraction() (nano int, ok bool) {
	nano, n := p.number(9)
	if n == 0 {
		return 0, false
	}
	for ; n < 9; n++ {
		nano *= 10
	}
	for p.next("0123456789") {
	}
	return nano, true
}

// half applies AM or PM, where it stands.
func (p *timeParser) half(hour int) (int, bool) {
	rest := strings.ToLower(p.s[p.i:])
	if !strings.HasPrefix(rest, "am") && !strings.HasPrefix(rest, "pm") {
		return hour, true
	}
	p.i += 2
	p.spaces()
	if hour < 1 || hour > 12 {
		return 0, false
	}
	hour %= 12
	if rest[0] == 'p' {
		hour += 12
	}
	return hour, true
}

// zone reads the offset from UTC in minutes.
func (p *timeParser) zone() (minutes int, ok bool) {
	rest := strings.ToUpper(p.s[p.i:])
	if rest == "Z" || rest == "UTC" || rest == "GMT" {
		p.i, p.zoned = len(p.s), true
		return 0, true
	}
	sign := 1
	switch {
	case p.next("-"):
		sign = -1
	case p.next("+"):
	default:
		return 0, true
	}
	h, n := p.number(2)
	if n != 2 {
		return 0, false
	}
	p.zoned = true
	colon := p.next(":")
	m, n := p.number(2)
	if n == 1 || colon && n == 0 || h > 14 || m > 59 {
		return 0, false
	}
	return sign * (60*h + m), true
}

// The formats of times with a name; any other is a layout.
const (
	FormatRFC3339 = "rfc3339"
	FormatUnix    = "unix"
	FormatUnixMS  = "unix_ms"
	FormatUnixUS  = "unix_us"
	FormatUnixNS  = "unix_ns"
)

// latest bounds the times that a count since 1970 may mean, in microseconds: the year 9999.
const latest = 253402300800e6

// epochUnit returns how many microseconds the unit of a format has, 0 for a format that does not
// count.
func epochUnit(format string) float64 {
	switch format {
	case FormatUnix:
		return 1e6
	case FormatUnixMS:
		return 1e3
	case FormatUnixUS:
		return 1
	case FormatUnixNS:
		return 1e-3
	}
	return 0
}

// Epoch returns the time of a number since 1970, in microseconds: of seconds, milliseconds,
// microseconds or nanoseconds, by its size. Seconds are up to the year 5138, milliseconds from
// 1973 to there, and so on. It is frame.NoTime for a number that is none of them.
func Epoch(v float64) int64 {
	us := v
	switch a := math.Abs(v); {
	case a < 1e11:
		us = v * 1e6
	case a < 1e14:
		us = v * 1e3
	case a < 1e17:
	case a < 1e20:
		us = v / 1e3
	default:
		return frame.NoTime
	}
	return int64(us)
}

// directives are those of strftime that a layout may have, as Go has them.
var directives = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'f': "999999", 'p': "PM",
	'z': "-0700", 'Z': "MST", 'b': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday", 'j': "002", 'T': "15:04:05", 'F': "2006-01-02", '%': "%",
}

// goLayout turns a layout of strftime into Go's; one without a percent sign is Go's already.
func goLayout(format string) string {
	layout, _ := strftime(format)
	return layout
}

// strftime is goLayout, and reports whether all directives are known.
func strftime(format string) (layout string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		if i++; i == len(format) || directives[format[i]] == "" {
			return "", false
		}
		b.WriteString(directives[format[i]])
	}
	return b.String(), true
}

// CheckTimeFormat refuses a format that no time can have: it must be a name (rfc3339, unix,
// unix_ms, unix_us, unix_ns), a layout of strftime such as "%d/%m/%Y %H:%M", or one of Go's such as
// "02/01/2006 15:04". Empty is any common form.
func CheckTimeFormat(format string) error {
	if format == "" || format == FormatRFC3339 || epochUnit(format) != 0 {
		return nil
	}
	layout, ok := strftime(format)
	a := time.Date(1987, 11, 23, 21, 32, 43, 0, time.UTC).Format(layout)
	b := time.Date(1999, 12, 31, 10, 51, 52, 0, time.UTC).Format(layout)
	if a == b || !ok {
		return fmt.Errorf("time format %q: must be rfc3339, unix, unix_ms, unix_us, unix_ns or a layout such as %q or %q", format, "%d/%m/%Y %H:%M", "02/01/2006 15:04")
	}
	return nil
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
