package source

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"
)

// timeForm is where and how the event times of a series are written.
type timeForm struct {
	path, format, zone string
	maxPast            int64          // microseconds behind the clock, 0: back to firstTime
	loc                *time.Location // of times that say no zone; nil: they are refused
	id                 bool           // an id stands there, which says of which row's time it is
}

func (f *timeForm) same(o *timeForm) bool {
	return f.path == o.path && f.id == o.id && f.format == o.format && f.zone == o.zone && f.maxPast == o.maxPast
}

const (
	// minTime and maxTime bound event times to the years 1970 to 9999.
	minTime = 0
	maxTime = 253402300799999999

	// firstTime, 2000-01-02, bounds the times of live senders unless a task says max_past: clocks
	// that are not set begin in 1970, in 1980 or at 2000-01-01.
	firstTime = 946771200_000000
)

const rfc3339Form = "must be a time such as 2026-05-01T12:00:00Z or 2026-05-01 14:00:00.5 +02:00 (RFC 3339)"

// microseconds of the units of an epoch; unix_ns divides.
var epochs = []struct {
	format string
	unit   int64
}{{"unix", 1e6}, {"unix_ms", 1e3}, {"unix_us", 1}, {"unix_ns", -1e3}}

// parse reads an event time in microseconds. now is the device's clock, 0 when it is not known: it
// tells which of two equal local times is meant, and how old a time may be.
func (f *timeForm) parse(kind valueKind, raw []byte, now int64) (us int64, fg Forgiven, err *DecodeError) {
	bad := func(allowed string) (int64, Forgiven, *DecodeError) {
		return 0, 0, &DecodeError{Kind: ErrTime, Value: excerpt(raw), Allowed: allowed}
	}
	if kind != valueString && kind != valueNumber && kind != valueBare {
		return bad("must be a time, not " + kind.String())
	}
	b := trim(raw)
	number := isNumber(b)
	if len(b) > 1 && b[0] == '+' && isNumber(b[1:]) {
		b, number, fg = b[1:], true, ForgivenTime
	}
	if number && kind == valueString {
		fg |= ForgivenQuotes
	}
	switch f.format {
	case "", "auto":
		if us, ok := compact(b, f.loc); ok && number {
			if f.loc == nil {
				return bad(noZone)
			}
			return f.plausible(us, fg, raw, now, "")
		}
		if number {
			var format string
			if us, format, err = epochBySize(b); err != nil {
				err.Value = excerpt(raw)
				return 0, 0, err
			}
			return f.plausible(us, fg, raw, now, format)
		}
		if us, fg, err = f.text(b, raw, now); err != nil && err.Allowed == rfc3339Form {
			err.Allowed += "; for another form give its layout, as the sender writes the 2nd of January 2006, 15:04:05, such as time.format: \"02/01/2006 15:04:05\""
		}
		return us, fg, err
	case "rfc3339":
		if number {
			return bad("time.format is rfc3339, so it must be a text such as \"2026-05-01T12:00:00Z\", not a number" + hint(b, "rfc3339"))
		}
		return f.text(b, raw, now)
	case "unix", "unix_ms", "unix_us", "unix_ns":
		if !number {
			what := kind.String()
			if kind == valueString {
				what = "a string; without a format both are read"
			}
			return bad("time.format is " + f.format + ", so it must be a number, not " + what)
		}
		var ok bool
		if us, ok = epoch(b, f.format); !ok {
			return bad("as " + f.format + " it lies outside the years 1970 to 9999: check time.format" + hint(b, f.format))
		}
		return f.plausible(us, fg, raw, now, f.format)
	}
	in := time.UTC
	if f.loc != nil && strings.Contains(f.format, "MST") {
		in = f.loc // which knows the names that are used there
	}
	t, perr := time.ParseInLocation(f.format, string(b), in)
	if name, off := t.Zone(); perr == nil && off == 0 && name != "UTC" && name != "GMT" && t.Location() != in {
		return bad("names a zone, " + name + ", that many places have, and time.zone does not: send UTC or an offset, or name the zone of the sender's clock by time.zone")
	}
	if perr != nil {
		return bad("must be a time as in time.format, " + time.Date(2026, 11, 29, 14, 5, 0, 0, time.UTC).Format(f.format))
	}
	if t.Location() == time.UTC && f.loc != nil && !zoned(f.format) {
		us, fg = wall(t, f.loc, now)
		return f.plausible(us, fg, raw, now, "")
	}
	if f.loc == nil && !zoned(f.format) {
		return bad(noZone)
	}
	return f.plausible(t.UnixMicro(), fg, raw, now, "")
}

// zoned reports whether a layout writes a zone.
func zoned(layout string) bool {
	for _, z := range [...]string{"Z07", "-07", "MST"} {
		if bytes.Contains([]byte(layout), []byte(z)) {
			return true
		}
	}
	return false
}

const noZone = "says no zone: name the one the sender's clock shows, time: {zone: Europe/Berlin} or {zone: \"+02:00\"}"

// plausible refuses times that only a clock that is not set, or a wrong format, can show.
func (f *timeForm) plausible(us int64, fg Forgiven, raw []byte, now int64, format string) (int64, Forgiven, *DecodeError) {
	bad := func(allowed string) (int64, Forgiven, *DecodeError) {
		return 0, 0, &DecodeError{Kind: ErrTime, Value: excerpt(raw), Allowed: allowed}
	}
	switch {
	case us < minTime || us > maxTime:
		return bad("must be in the years 1970 to 9999")
	case f.maxPast == 0 && us < firstTime:
		msg := "is " + time.UnixMicro(us).UTC().Format(time.RFC3339) + ", which only a clock that is not set can show"
		if h := hint(trim(raw), format); h != "" {
			return bad("as " + format + " it " + msg + h)
		}
		return bad(msg + ": set the sender's clock, or time.max_past when times so old are right")
	case f.maxPast > 0 && now > 0 && us < now-f.maxPast:
		return bad("is " + time.UnixMicro(us).UTC().Format(time.RFC3339) + ", more than time.max_past behind this device's clock")
	}
	return us, fg, nil
}

// hint names the unit in which a number is a time of our days, "" when it is none in any other
// than format.
func hint(b []byte, format string) string {
	for _, e := range epochs {
		if us, ok := epoch(b, e.format); ok && e.format != format && us > firstTime && us < 4102444800_000000 {
			return fmt.Sprintf("; as %s it would be %s: set time.format to that, or leave it out", e.format, time.UnixMicro(us).UTC().Format(time.RFC3339))
		}
	}
	return ""
}

// epochBySize reads an epoch whose unit its size shows: those of seconds, milliseconds,
// microseconds and nanoseconds lie far apart from 1973 to 5138.
func epochBySize(b []byte) (us int64, format string, err *DecodeError) {
	v, ok := parseNumber(b)
	switch {
	case !ok:
	case v < 1e11:
		format = "unix"
	case v < 1e14:
		format = "unix_ms"
	case v < 1e17:
		format = "unix_us"
	default:
		format = "unix_ns"
	}
	if ok {
		us, ok = epoch(b, format)
	}
	if !ok {
		return 0, "", &DecodeError{Kind: ErrTime, Allowed: "is no time: an epoch counts seconds, milliseconds, microseconds or nanoseconds in the years 1970 to 9999"}
	}
	return us, format, nil
}

// epoch reads a number of units since 1970, whole ones exactly; false outside 1970 to 9999.
func epoch(b []byte, format string) (int64, bool) {
	unit := int64(1)
	for _, e := range epochs {
		if e.format == format {
			unit = e.unit
		}
	}
	var n int64
	whole := len(b) > 0 && len(b) <= 18 || len(b) == 19 && b[0] == '1'
	for i := 0; whole && i < len(b); i++ {
		if whole = b[i] >= '0' && b[i] <= '9'; whole {
			n = n*10 + int64(b[i]-'0')
		}
	}
	switch {
	case whole && unit < 0:
		return n / -unit, true
	case whole && n <= maxTime/unit:
		return n * unit, true
	}
	v, ok := parseNumber(b)
	if unit < 0 {
		v = math.Round(v / float64(-unit))
	} else {
		v = math.Round(v * float64(unit))
	}
	// maxTime itself is no float64: as one it is the next year
	if !ok || !(v >= minTime && v < maxTime+1) {
		return 0, false
	}
	return int64(v), true
}

// compact reads 20261129100000, a local time; false for any other number.
func compact(b []byte, loc *time.Location) (us int64, ok bool) {
	if len(b) != 14 || (b[0] != '1' && b[0] != '2') || bytes.IndexFunc(b, func(r rune) bool { return r < '0' || r > '9' }) >= 0 {
		return 0, false
	}
	t, err := time.Parse("20060102150405", string(b))
	if err != nil || t.Year() < 1970 || t.Year() > 2200 {
		return 0, false
	}
	if loc == nil {
		return 0, true
	}
	us, _ = wall(t, loc, 0)
	return us, true
}

// odd are times as HTTP, mail, ctime and German devices write them, without a zone those from
// local on.
var odd = []string{
	time.RFC1123, time.RFC1123Z, "Mon, 2 Jan 2006 15:04:05 -0700", time.UnixDate,
	time.ANSIC, "2.1.2006 15:04:05", "2.1.2006 15:04", "2.1.2006, 15:04:05",
}

const oddLocal = 4

// text reads a time as RFC 3339 writes it, or nearly so.
func (f *timeForm) text(b, raw []byte, now int64) (int64, Forgiven, *DecodeError) {
	bad := func(allowed string) (int64, Forgiven, *DecodeError) {
		return 0, 0, &DecodeError{Kind: ErrTime, Value: excerpt(raw), Allowed: allowed}
	}
	s, fg, ok := readStamp(b)
	if !ok {
		if len(b) > 40 || f.format == "rfc3339" {
			return bad(rfc3339Form)
		}
		for i, layout := range odd {
			t, err := time.Parse(layout, string(b))
			if err != nil {
				continue
			}
			if name, off := t.Zone(); i < oddLocal && off == 0 && name != "UTC" && name != "GMT" && name != "" {
				return bad("names a zone that many places have: send UTC or an offset")
			}
			s = stamp{wall: t.UTC(), zoned: i < oddLocal}
			ok, fg = true, ForgivenTime
			break
		}
		if !ok {
			return bad(rfc3339Form)
		}
	}
	us := s.wall.UnixMicro()
	switch {
	case s.zoned:
		us -= int64(s.offset) * 1e6
	case f.loc == nil:
		return bad(noZone)
	default:
		var twice Forgiven
		us, twice = wall(s.wall, f.loc, now)
		fg |= twice
	}
	return f.plausible(us, fg, raw, now, "")
}

// wall is the instant at which clocks of a zone show t, a time written as UTC.
//
// Where daylight saving ends, an hour is shown twice. It is the second time when the device's clock
// says that the second time has come and is at most an hour ago, else the first. Where daylight
// saving begins, an hour is left out: a clock that shows it has not been put forward yet.
func wall(t time.Time, loc *time.Location, now int64) (int64, Forgiven) {
	offset := func(us int64) int64 {
		_, s := time.UnixMicro(us).In(loc).Zone()
		return int64(s) * 1e6
	}
	const day = 24 * hour
	u := t.UnixMicro()
	before, after := offset(u-day), offset(u+day)
	if before == after {
		return u - before, 0
	}
	first, second := u-before, u-after
	okFirst, okSecond := offset(first) == before, offset(second) == after
	switch {
	case okFirst && okSecond:
		if now >= second-minute && now <= second+hour {
			return second, ForgivenTwice
		}
		return first, ForgivenTwice
	case okFirst:
		return first, 0
	case okSecond:
		return second, 0
	}
	return first, ForgivenGap
}

// stamp is a time as it was written.
type stamp struct {
	wall   time.Time // date and clock, as if they were UTC
	zoned  bool
	offset int // seconds east of UTC
}

// readStamp reads date, clock and zone: RFC 3339, and what differs from it in the sign between
// date and clock, in missing seconds, in the sign of a fraction, in how the zone is written or that
// there is none. forgiven is what differs.
func readStamp(b []byte) (s stamp, fg Forgiven, ok bool) {
	i := 0
	num := func(n int) int {
		if i+n > len(b) {
			return -1
		}
		v := 0
		for _, c := range b[i : i+n] {
			if c < '0' || c > '9' {
				return -1
			}
			v = v*10 + int(c-'0')
		}
		i += n
		return v
	}
	is := func(signs string) bool {
		if i < len(b) && bytes.IndexByte([]byte(signs), b[i]) >= 0 {
			i++
			return true
		}
		return false
	}
	year := num(4)
	dashed := is("-")
	if !dashed && is("/") {
		fg |= ForgivenTime
	}
	month := num(2)
	switch {
	case dashed:
		ok = is("-")
	case i > 6:
		ok = is("/")
	default:
		ok = true // 20261129T100000Z
		fg |= ForgivenTime
	}
	day := num(2)
	if !ok || year < 0 || month < 1 || day < 1 {
		return s, 0, false
	}
	if !is("T") {
		if !is("t _") {
			return s, 0, false
		}
		fg |= ForgivenTime
		for is(" ") {
		}
	}
	hour := num(2)
	colons := is(":")
	min, sec, us := num(2), 0, 0
	if colons && is(":") || !colons && i < len(b) && b[i] >= '0' && b[i] <= '9' {
		sec = num(2)
	} else {
		fg |= ForgivenTime
	}
	if i < len(b) && (b[i] == '.' || b[i] == ',') {
		if b[i] == ',' {
			fg |= ForgivenTime
		}
		from := i + 1
		for i++; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
			if i-from < 6 {
				us = us*10 + int(b[i]-'0')
			}
		}
		if i == from {
			return s, 0, false
		}
		for n := i - from; n < 6; n++ {
			us *= 10
		}
	}
	switch {
	case hour == 24 && min == 0 && sec == 0 && us == 0: // the end of the day
		fg |= ForgivenTime
	case min == 59 && sec == 60: // a leap second
		fg |= ForgivenTime
	case hour < 0 || hour > 23 || min < 0 || min > 59 || sec < 0 || sec > 59:
		return s, 0, false
	}
	if d := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC); d.Day() != day || int(d.Month()) != month {
		return s, 0, false
	}
	s.wall = time.Date(year, time.Month(month), day, hour, min, sec, us*1000, time.UTC)
	for is(" ") {
		fg |= ForgivenTime
	}
	rest := b[i:]
	switch string(rest) {
	case "":
		return s, fg, true
	case "Z":
		s.zoned = true
		return s, fg, true
	case "z", "UTC", "GMT", "utc":
		s.zoned = true
		return s, fg | ForgivenTime, true
	}
	neg := rest[0] == '-'
	if !is("+-") {
		return s, 0, false
	}
	oh, om := num(2), 0
	if is(":") {
		om = num(2)
	} else {
		fg |= ForgivenTime
		if i < len(b) && b[i] != '[' {
			om = num(2)
		}
	}
	if oh < 0 || oh > 23 || om < 0 || om > 59 {
		return s, 0, false
	}
	if i < len(b) { // 2026-11-29T12:00:00+01:00[Europe/Berlin]
		if b[i] != '[' || b[len(b)-1] != ']' {
			return s, 0, false
		}
		fg |= ForgivenTime
	}
	s.zoned, s.offset = true, oh*3600+om*60
	if neg {
		s.offset = -s.offset
	}
	return s, fg, true
}
