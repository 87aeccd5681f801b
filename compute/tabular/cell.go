package tabular

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"skerry.dev/compute/frame"
)

// Cell is a field of a row: a text that defines its type, as in CSV, or a number, a truth value, a
// time or nothing, as a file with types has it. The zero Cell is missing.
type Cell struct {
	kind   kind
	form   form   // of a text
	text   string // or the digits of a whole number that its float64 may not have
	number float64
	time   int64
}

type kind uint8

const (
	absent kind = iota
	text
	number
	truth
	instant
)

// form is how the texts of a column are to be understood.
type form struct {
	comma  bool      // the decimal sign is a comma
	dates  dateOrder // of dates with slashes
	marked bool      // what means "missing" is decided already
}

// Text returns a cell of text.
func Text(s string) Cell { return Cell{kind: text, text: s} }

// Number returns a cell of a number; NaN is missing.
func Number(v float64) Cell { return Cell{kind: number, number: v} }

// Whole returns a cell of a whole number: Number, which keeps its digits where they are too many
// for a float64.
func Whole[T int64 | uint64](v T) Cell {
	c := Number(float64(v))
	if math.Abs(c.number) >= 1<<53 {
		c.text = fmt.Sprint(v)
	}
	return c
}

// Truth returns a cell of a truth value: the number 1 or 0, as a category true or false.
func Truth(v bool) Cell {
	if v {
		return Cell{kind: truth, number: 1}
	}
	return Cell{kind: truth}
}

// Instant returns a cell of a time in microseconds since 1970, UTC.
func Instant(us int64) Cell { return Cell{kind: instant, time: us} }

// marks are the texts, in lower case, that mean "missing" wherever they stand; longestMark is the
// length of the longest.
var marks = map[string]bool{
	"": true, "na": true, "n/a": true, "#n/a": true, "#n/a n/a": true, "#na": true, "<na>": true,
	"nan": true, "nat": true, "null": true, "<null>": true, "?": true, `\n`: true,
}

const longestMark = 8

// weak are texts, in lower case, that mean "missing" where numbers or times stand. Among texts
// they are a value like others: "none" and "-" are names of classes, too.
var weak = map[string]bool{
	"none": true, "nil": true, "-": true, "--": true, "---": true, "–": true, "—": true, ".": true, "*": true, "missing": true, "unknown": true,
	"unavailable": true, "n.a.": true, "k.a.": true, "nd": true, "n/d": true, "-nan": true, "+nan": true, "-nan(ind)": true, "nan(ind)": true,
	"1.#ind": true, "-1.#ind": true, "1.#qnan": true, "-1.#qnan": true,
	"#value!": true, "#div/0!": true, "#ref!": true, "#num!": true, "#name?": true, "#null!": true,
}

// Missing reports whether the cell holds nothing.
func (c *Cell) Missing() bool {
	switch c.kind {
	case text:
		if c.text == "" || c.form.marked {
			return c.text == ""
		}
		if n := len(c.text); n > longestMark && c.text[0] > ' ' && c.text[n-1] > ' ' {
			return false // nearly always
		}
		if b := c.text[0]; b >= '+' && b <= '9' {
			return false // a number
		}
		s := strings.TrimSpace(c.text)
		return len(s) <= longestMark && marks[strings.ToLower(s)]
	case number:
		return math.IsNaN(c.number)
	}
	return c.kind == absent
}

// vague reports whether the text means "missing" where a number or a time is wanted.
func (c *Cell) vague() bool {
	return c.kind == text && !c.form.marked && len(c.text) < 32 && weak[strings.ToLower(strings.TrimSpace(c.text))]
}

// Number returns the number of a cell that is not missing. It may be infinite, and is NaN for a
// text that means "missing" among numbers, such as "-"; true and false are 1 and 0.
func (c *Cell) Number() (float64, error) {
	switch c.kind {
	case number, truth:
		return c.number, nil
	case text:
		s := strings.TrimSpace(c.text)
		if v, ok := parseNumber(s, c.form.comma); ok {
			return v, nil
		}
		switch {
		case strings.EqualFold(s, "true"):
			return 1, nil
		case strings.EqualFold(s, "false"):
			return 0, nil
		case c.vague():
			return math.NaN(), nil
		}
	}
	return 0, fmt.Errorf("%q is not a number", clip(c.String()))
}

// parseNumber reads a number as people and programs write it: with a decimal point or comma, and
// with thousands in groups; 5 % is 5. Go's own forms 1_0 and 0x1p4 are identifiers.
func parseNumber(s string, comma bool) (float64, bool) {
	if !comma || strings.IndexByte(s, '.') < 0 && strings.IndexByte(s, ',') < 0 {
		if v, err := strconv.ParseFloat(s, 64); err == nil || errors.Is(err, strconv.ErrRange) {
			return v, !math.IsNaN(v) && !strings.ContainsAny(s, "_xXpP")
		}
	}
	if len(s) > 64 {
		return 0, false
	}
	if s, ok := strings.CutSuffix(s, "%"); ok { // of a share the hundredths, as people count them
		if s = strings.TrimRight(s, " \u00a0\u202f"); s == "" || s[len(s)-1] < '0' || s[len(s)-1] > '9' {
			return 0, false
		}
		return parseNumber(s, comma)
	}
	if s, ok := negative(s); ok {
		return parseNumber(s, comma)
	}
	if s, ok := strings.CutPrefix(s, "−"); ok { // U+2212
		v, ok := parseNumber(s, comma)
		return -v, ok && !strings.HasPrefix(s, "-") && !strings.HasPrefix(s, "+")
	}
	decimal := "."
	if comma {
		decimal = ","
	}
	whole, rest, _ := strings.Cut(s, decimal)
	if whole, ok := ungroup(whole, comma); ok {
		if rest != "" && (rest[0] < '0' || rest[0] > '9') && rest[0] != 'e' && rest[0] != 'E' {
			return 0, false
		}
		v, err := strconv.ParseFloat(whole+"."+rest, 64)
		return v, err == nil && !strings.ContainsAny(rest, "_xXpP")
	}
	return 0, false
}

// negative returns an amount with its minus in front where the text has it behind, as mainframes
// write it (728.34-), or stands in brackets, as bookkeepers do; ok is false for any other text.
func negative(s string) (amount string, ok bool) {
	if in, ok := strings.CutPrefix(s, "("); ok {
		if in, ok = strings.CutSuffix(in, ")"); !ok {
			return "", false
		}
		in = strings.Trim(in, blanks)
		return "-" + in, in != "" && (in[0] >= '0' && in[0] <= '9' || currency(in) > 0)
	}
	for _, minus := range []string{"-", "−"} {
		if n, ok := strings.CutSuffix(s, minus); ok {
			n = strings.TrimRight(n, blanks)
			return "-" + n, n != "" && n[0] >= '0' && n[0] <= '9' && n[len(n)-1] >= '0' && n[len(n)-1] <= '9'
		}
	}
	return "", false
}

// blanks may stand between a number and what is beside it.
const blanks = " \u00a0\u202f"

// ungroup takes the separators out of a whole number whose digits stand in groups of three, or, as
// in India, of two before the last three. The separators are all the same: spaces, apostrophes, or
// the decimal sign that is not in use; commas alone in India.
func ungroup(s string, comma bool) (string, bool) {
	sign := ""
	if s != "" && (s[0] == '-' || s[0] == '+') {
		sign, s = s[:1], s[1:]
	}
	separators := []string{",", " ", "\u00a0", "\u202f", "'", "’"}
	if comma {
		separators[0] = "."
	}
	for _, sep := range separators {
		groups := strings.Split(s, sep)
		if len(groups) == 1 {
			continue
		}
		size := 3
		if sep == "," && len(groups) > 2 && len(groups[1]) == 2 {
			size = 2
		}
		for i, g := range groups {
			switch last := i == len(groups)-1; {
			case !digits(g), i == 0 && (len(g) > size || g[0] == '0'), i > 0 && !last && len(g) != size, last && len(g) != 3:
				return "", false
			}
		}
		return sign + strings.Join(groups, ""), true
	}
	return sign + s, digits(s)
}

// digits reports whether a text is one digit or more, and nothing else.
func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// compactDate reads 20240701, 2024070110, 202407011030 and 20240701103000, in UTC; false for any
// other number. As counts since 1970 they would be of 1970, of the years from 2030 on, of 1976 and
// of ones that are far off.
func compactDate(v float64) (us int64, ok bool) {
	if v != math.Trunc(v) || v < 19000101 || v > 21991231235959 {
		return 0, false
	}
	s := strconv.FormatInt(int64(v), 10)
	switch len(s) {
	case 8, 10, 12, 14:
	default:
		return 0, false
	}
	t, err := time.Parse("20060102150405"[:len(s)], s)
	if err != nil || t.Year() < 1900 || t.Year() > 2199 {
		return 0, false
	}
	return t.UnixMicro(), true
}

// Instant returns the time of a cell that is not missing, in microseconds since 1970; a number is a
// date without separators, or a count since then, see [Epoch]. It is frame.NoTime for a text that
// means "missing" among times.
func (c *Cell) Instant() (int64, error) {
	switch c.kind {
	case instant:
		return c.time, nil
	case text:
		t, err := parseTime(c.text, c.form.dates)
		if err == nil {
			return t, nil
		}
		if v, nerr := c.Number(); nerr != nil || Epoch(v) == frame.NoTime && !math.IsNaN(v) {
			return 0, err
		}
	}
	v, err := c.Number()
	if err == nil {
		if t, ok := compactDate(v); ok {
			return t, nil
		}
		if t := Epoch(v); t != frame.NoTime || math.IsNaN(v) {
			return t, nil
		}
	}
	return 0, noTime(c.String())
}

// InstantIn is Instant for a column whose format is known, see [CheckTimeFormat]; "" is any.
func (c *Cell) InstantIn(format string) (int64, error) {
	if c.kind == instant || format == "" {
		return c.Instant()
	}
	if c.vague() {
		return frame.NoTime, nil
	}
	if unit := epochUnit(format); unit != 0 {
		v, err := c.Number()
		if err != nil {
			return 0, err
		}
		if us := v * unit; math.Abs(us) < latest {
			return int64(math.Floor(us)), nil
		}
		return 0, fmt.Errorf("%q is no time in the format %s", clip(c.String()), format)
	}
	if format == FormatRFC3339 {
		return parseTime(c.text, noOrder)
	}
	t, err := time.Parse(goLayout(format), c.String())
	if err != nil {
		return 0, fmt.Errorf("%q is no time in the format %q", clip(c.String()), format)
	}
	if name, off := t.Zone(); off == 0 && name != "UTC" && name != "GMT" && name != "" { // not one that Go knows
		return 0, fmt.Errorf("%q names a zone, %s, that many places have: write UTC or an offset", clip(c.String()), name)
	}
	return t.UnixMicro(), nil
}

// local reports whether a time that the cell holds, as InstantIn reads it, says no zone.
func (c *Cell) local(format string) bool {
	if c.kind == instant || epochUnit(format) != 0 {
		return false
	}
	if c.kind == text && format != "" && format != FormatRFC3339 {
		layout := goLayout(format)
		return !strings.Contains(layout, "Z07") && !strings.Contains(layout, "-07") && !strings.Contains(layout, "MST")
	}
	if c.kind == text {
		if _, zoned, err := parseZoned(c.text, c.form.dates); err == nil {
			return !zoned
		}
	}
	v, err := c.Number()
	_, ok := compactDate(v)
	return err == nil && ok
}

// String returns the cell as the name of a category, "" when it is missing. A number is written in
// full and with a decimal point, whatever the file's own way.
func (c *Cell) String() string {
	switch c.kind {
	case text:
		s := strings.TrimSpace(c.text)
		if c.form.comma && strings.IndexByte(s, ',') >= 0 {
			if _, ok := parseNumber(s, true); ok {
				return strings.Replace(s, ",", ".", 1)
			}
		}
		return s
	case number:
		if c.text != "" {
			return c.text
		}
		return ClassName(c.number)
	case truth:
		return strconv.FormatBool(c.number == 1)
	case instant:
		return time.UnixMicro(c.time).UTC().Format(time.RFC3339Nano)
	}
	return ""
}

// ClassName is the name of a class that is a number: in full where it is a whole one that a
// float64 holds exactly.
func ClassName(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// clip keeps a message readable.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
