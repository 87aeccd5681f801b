package tabular

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"skerry.dev/compute/frame"
)

// Place is where a cell stands: Line of a text file, from 1, or Row of a table that is held, from 1.
type Place struct{ Line, Row int }

// PlaceOf returns where the newest row of a reader stands.
func PlaceOf(r Reader) Place {
	if f := r.Fields(); len(f) > 0 && !f[0].Inferred { // not a text
		return Place{Row: r.Line()}
	}
	return Place{Line: r.Line()}
}

func (p Place) String() string {
	if p.Line > 0 {
		return fmt.Sprintf("line %d", p.Line)
	}
	return fmt.Sprintf("row %d", p.Row)
}

// flaw counts cells of one kind and remembers the first.
type flaw struct {
	n     int
	place Place
	text  string
}

func (f *flaw) add(p Place, text string) {
	if f.n++; f.n == 1 {
		f.place, f.text = p, strings.Clone(clip(text))
	}
}

// Tally counts the cells of a column that were not taken as they stand and count as missing.
type Tally struct {
	Name    string
	Present int // cells that are not missing
	bad     flaw
	inf     flaw
	unknown flaw
	weak    flaw   // texts that mean "missing" here and might be a value elsewhere
	truths  flaw   // numbers written as true or false
	behind  flaw   // negative numbers whose minus stands behind them, or that stand in brackets
	cased   flaw   // categories in another case
	meant   string // what the first of them is
	grouped flaw   // numbers read with a comma between thousands, of the form that a decimal comma has
	commas  flaw   // unreadable cells that a decimal comma would explain
	// what stands beside the first present number, % or a unit or currency, as it must beside all;
	// how that is written and read
	unit, written string
	value         float64
	noUnits       bool     // no unit is looked for
	plain         int      // present numbers without a unit
	other         flaw     // numbers with another unit than the first, or none; they are bad, too
	units         []string // the different ones of these, some
	twoWays       flaw     // dates that may have the day or the month first; they are bad, too
	dayFirst      int      // dates that can only have the day first
	monthFirst    int      // and the month
	zeros         flaw     // whole numbers with leading zeros, which the number has not
	huge          flaw     // whole numbers that a float64 may not hold
	serial        flaw     // times that would be days of our years as spreadsheets count them
}

// serialFrom and serialTo bound the days since 1899-12-30 that are dates of 1954 to 2119.
const serialFrom, serialTo = 20_000, 80_000

// someUnits is how many different units of a column are named, and taken for units at all.
const someUnits = 4

var nan = math.NaN()

// Unreadable is the share of the present cells that may be no numbers, or no times, in a column
// that is taken for one all the same.
const Unreadable = 0.05

// leastRows is how many present cells make a share.
const leastRows = 20

// Few reports whether few enough cells are unreadable for the column to be what it was taken for.
func (t *Tally) Few() bool {
	return t.bad.n == 0 || t.Present >= leastRows && float64(t.bad.n) <= Unreadable*float64(t.Present)
}

// Contradicts is an error when cells show that the column has decimal commas, and others were read
// as if commas stood between thousands: they would be wrong by a factor of a thousand.
func (t *Tally) Contradicts() error {
	if t.grouped.n == 0 || t.commas.n == 0 {
		return nil
	}
	return fmt.Errorf("column %q: %q in %s has a decimal comma, so %q in %s may be wrong by a factor of 1,000: say --decimal , where commas are decimal, else correct the first", t.Name, t.commas.text, t.commas.place, t.grouped.text, t.grouped.place)
}

// Wrong is an error when a column cannot be what it must be, since most of its cells are not: nil
// otherwise.
func (t *Tally) Wrong(want frame.Type) error {
	if err := t.Contradicts(); err != nil {
		return err
	}
	if t.Present < leastRows || 2*t.bad.n <= t.Present {
		return nil
	}
	if s := t.twoMeanings(); s != "" {
		return fmt.Errorf("column %q must hold a %s in each row: %s", t.Name, want, s)
	}
	then := ""
	if want == frame.Time {
		then = ": name the form of its times by --time-format, or another column by --time"
	}
	return fmt.Errorf("column %q must hold a %s in each row: %d of %d cells are none, the first is %s, %q%s", t.Name, want, t.bad.n, t.Present, t.bad.place, t.bad.text, then)
}

// Must is an error when too many cells are unreadable for the column to be what it was named for.
func (t *Tally) Must(want frame.Type) error {
	if t.Few() {
		return nil
	}
	if s := t.twoMeanings(); s != "" {
		return fmt.Errorf("column %q must hold a %s in each row: %s", t.Name, want, s)
	}
	return fmt.Errorf("column %q must hold a %s in each row: %s none, the first is %s, %q; where such cells mean \"missing\", name them by --missing", t.Name, want, are(t.bad.n, t.Present), t.bad.place, t.bad.text)
}

// Unit returns the unit, currency or percent sign that stands beside the numbers, "" without.
func (t *Tally) Unit() string { return t.unit }

// CheckUnit is an error when the numbers of a column have another unit than those that a model has
// learned from. A side that names no unit is taken at its word.
func CheckUnit(column, unit, learned string) error {
	if unit == "" || learned == "" || unit == learned {
		return nil
	}
	return fmt.Errorf("column %q holds numbers with the unit %s, the model has learned from numbers with %s: write them so, or without a unit where it is the same by another name", column, unit, learned)
}

// Notes describes what was counted, nothing when all was taken as it stands. want is the type that
// the column was read as.
func (t *Tally) Notes(want frame.Type) []string {
	var out []string
	if t.bad.n > 0 {
		of := ""
		if t.unit != "" && t.other.n == t.bad.n {
			of = " with the unit " + t.unit
		}
		out = append(out, fmt.Sprintf("column %q: %s no %s%s and %s as missing: the first is %s, %q", t.Name, are(t.bad.n, t.Present), want, of, counts(t.bad.n), t.bad.place, t.bad.text))
	}
	if t.inf.n > 0 {
		out = append(out, fmt.Sprintf("column %q: %s infinite and %s as missing: the first is %s", t.Name, are(t.inf.n, t.Present), counts(t.inf.n), t.inf.place))
	}
	if t.grouped.n > 0 && t.grouped.place.Line > sampleRows {
		out = append(out, fmt.Sprintf("column %q: %s read with a comma between thousands, the first is %s, %q; say --decimal , where it is decimal", t.Name, are(t.grouped.n, t.Present), t.grouped.place, t.grouped.text))
	}
	switch t.unit {
	case "":
	case "%":
		out = append(out, fmt.Sprintf("column %q holds percentages: %s is read as the number before the sign", t.Name, t.written))
	default:
		out = append(out, fmt.Sprintf("column %q holds numbers with the unit %s: %s is read as %s", t.Name, t.unit, t.written, ClassName(t.value)))
	}
	if f := &t.serial; f.n > 0 && f.n == t.Present {
		out = append(out, fmt.Sprintf("column %q: all times lie on 1970-01-01, as seconds since then, the first is %s, %q: where they are days as spreadsheets count them, format the column as a date and time there", t.Name, f.place, f.text))
	}
	switch f := &t.weak; f.n {
	case 0:
	case 1:
		out = append(out, fmt.Sprintf("column %q: 1 cell counts as missing for its word: %s, %q", t.Name, f.place, f.text))
	default:
		out = append(out, fmt.Sprintf("column %q: %d cells count as missing for their words: the first is %s, %q", t.Name, f.n, f.place, f.text))
	}
	if f := &t.truths; f.n > 0 && f.n < t.Present {
		out = append(out, fmt.Sprintf("column %q: %s true or false and read as 1 or 0, the first is %s, %q", t.Name, are(f.n, t.Present), f.place, f.text))
	}
	if f := &t.behind; f.n > 0 {
		out = append(out, fmt.Sprintf("column %q: %s read as negative, for the minus behind or the brackets: the first is %s, %q", t.Name, are(f.n, t.Present), f.place, f.text))
	}
	if f := &t.zeros; f.n > 0 {
		out = append(out, fmt.Sprintf("column %q: %s read without leading zeros, the first is %s, %q; where they are names such as postal codes, fit with --text %s", t.Name, are(f.n, t.Present), f.place, f.text, t.Name))
	}
	if f := &t.huge; f.n > 0 {
		out = append(out, fmt.Sprintf("column %q: %s whole numbers beyond 2^53, of which neighbours become one: the first is %s, %q; where they are names, fit with --text %s", t.Name, are(f.n, t.Present), f.place, f.text, t.Name))
	}
	return append(out, t.categoryNotes()...)
}

// categoryNotes describes the cells that are no category as it is known.
func (t *Tally) categoryNotes() (out []string) {
	if f := &t.cased; f.n > 0 {
		out = append(out, fmt.Sprintf("column %q: %s written in another case than the category is: the first is %s, %q, read as %q", t.Name, are(f.n, t.Present), f.place, f.text, t.meant))
	}
	switch f := &t.unknown; f.n {
	case 0:
	case 1:
		out = append(out, fmt.Sprintf("column %q: 1 cell is a category that the model does not know and counts as missing: %s, %q", t.Name, f.place, f.text))
	default:
		out = append(out, fmt.Sprintf("column %q: %d cells are categories that the model does not know and count as missing: the first is %s, %q", t.Name, f.n, f.place, f.text))
	}
	return out
}

// sawCase counts a category that is written in another case than it is known.
func (t *Tally) sawCase(p Place, text, meant string) {
	if t.cased.add(p, text); t.cased.n == 1 {
		t.meant = strings.Clone(meant)
	}
}

// instead describes a column that was not taken for numbers although most of its cells are some; ""
// where few are.
func (t *Tally) instead() string {
	if t.unit != "" && t.other.n == t.bad.n && len(t.units) < someUnits {
		return fmt.Sprintf("column %q is read as text: its numbers have different units, the first %s as in %s, and %s as in %s, %q; write all with one to have numbers", t.Name, t.unit, t.written, strings.Join(t.units, ", "), t.other.place, t.other.text)
	}
	if t.Present == 0 || t.bad.n == 0 || 2*t.bad.n >= t.Present {
		return ""
	}
	return fmt.Sprintf("column %q is read as text: %s no number, the first is %s, %q; where such cells mean \"missing\", name them by --missing", t.Name, are(t.bad.n, t.Present), t.bad.place, t.bad.text)
}

func are(n, of int) string {
	if n == 1 {
		return fmt.Sprintf("1 of %d cells is", of)
	}
	return fmt.Sprintf("%d of %d cells are", n, of)
}

func counts(n int) string {
	if n == 1 {
		return "counts"
	}
	return "count"
}

// Number reads a cell of a column of numbers: NaN when it is missing, unreadable or infinite, which
// is counted. All have one unit, currency or percent sign, beside which the number is read, or none
// has.
func (t *Tally) Number(c *Cell, p Place) (v float64) {
	if c.Missing() {
		return nan
	}
	v, err := c.Number()
	digits, unit := c.text, ""
	if c.kind == text {
		digits = strings.TrimSpace(c.text)
		if err != nil && !t.noUnits {
			if number, of, ok := amount(digits); ok {
				if w, ok := parseNumber(number, c.form.comma); ok {
					v, err, digits, unit = w, nil, number, of
				}
			}
		} else if strings.HasSuffix(digits, "%") {
			unit = "%"
		}
	}
	switch {
	case err != nil:
		t.Present++
		t.bad.add(p, c.String())
		if number, _, ok := amount(digits); ok {
			digits = number
		}
		if _, ok := parseNumber(digits, true); ok && strings.Contains(digits, ",") {
			t.commas.add(p, c.text)
		}
		return nan
	case math.IsNaN(v):
		if c.vague() {
			t.weak.add(p, c.text)
		}
		return nan
	case math.IsInf(v, 0):
		t.Present++
		t.inf.add(p, c.String())
		return nan
	}
	if c.kind == text && (strings.EqualFold(digits, "true") || strings.EqualFold(digits, "false")) {
		t.truths.add(p, c.text)
	}
	if c.kind == text && !c.form.comma && strings.Count(digits, ",") == 1 && !strings.Contains(digits, ".") {
		t.grouped.add(p, c.text)
	}
	if t.Present++; t.Present == 1 && unit != "" {
		t.unit, t.written, t.value = strings.Clone(unit), strings.Clone(clip(c.String())), v
	}
	if unit == "" {
		t.plain++
	}
	if unit != t.unit { // nobody knows which of 5% and 5 is meant in hundredths, nor how many g a kg has
		t.bad.add(p, c.String())
		t.other.add(p, c.String())
		if unit == "" {
			unit = "none"
		}
		if len(t.units) < someUnits && !slices.Contains(t.units, unit) {
			t.units = append(t.units, strings.Clone(unit))
		}
		return nan
	}
	if v < 0 && c.kind == text {
		if _, ok := negative(strings.TrimSpace(c.text)); ok {
			t.behind.add(p, c.text)
		}
	}
	t.digits(strings.TrimLeft(digits, "+-"), v, p)
	return v
}

// digits counts a number whose digits a float64 does not keep.
func (t *Tally) digits(s string, v float64, p Place) {
	if len(s) < 2 || s[0] != '0' && math.Abs(v) < 1<<53 || !digits(s) {
		return
	}
	if s[0] == '0' {
		t.zeros.add(p, s)
	}
	if math.Abs(v) >= 1<<53 {
		t.huge.add(p, s)
	}
}

// Time reads a cell of a column of times in a format, "" for any: frame.NoTime when it is missing
// or unreadable, which is counted.
func (t *Tally) Time(c *Cell, p Place, format string) int64 {
	if c.Missing() {
		return frame.NoTime
	}
	us, err := c.InstantIn(format)
	if format == "" {
		t.order(c, p)
	}
	if err != nil {
		t.Present++
		t.bad.add(p, c.String())
		return frame.NoTime
	}
	if us != frame.NoTime {
		t.Present++
		if us >= serialFrom*1e6 && us < serialTo*1e6 && format == "" && c.kind != instant {
			t.serial.add(p, c.String())
		}
	}
	return us
}

// order counts what a date without a known order shows.
func (t *Tally) order(c *Cell, p Place) {
	if c.kind != text || c.form.dates != noOrder {
		return
	}
	switch day, month := orders(c.text); {
	case day && month:
		t.twoWays.add(p, c.text)
	case day:
		t.dayFirst++
	case month:
		t.monthFirst++
	}
}

// orders reports in which orders a date with slashes or dashes is one, where these make a
// difference.
func orders(s string) (day, month bool) {
	s = strings.TrimSpace(s)
	if i := strings.IndexAny(s, "/-"); i < 1 || i > 2 {
		return false, false
	}
	a, derr := parseTime(s, dayFirst)
	b, merr := parseTime(s, monthFirst)
	if derr == nil && merr == nil && a == b {
		return false, false
	}
	return derr == nil, merr == nil
}

// twoMeanings describes dates that have two, "" without any.
func (t *Tally) twoMeanings() string {
	if t.twoWays.n == 0 {
		return ""
	}
	return fmt.Sprintf("%s two meanings, day first or month first, such as %q in %s: name the layout by --time-format, for example %%d/%%m/%%Y", have(t.twoWays.n, t.Present), t.twoWays.text, t.twoWays.place)
}

func have(n, of int) string {
	if n == 1 {
		return fmt.Sprintf("1 of %d cells has", of)
	}
	return fmt.Sprintf("%d of %d cells have", n, of)
}

// Code reads a cell of a column of categories: NaN when it is missing or none of the codebook's
// names, which is counted.
func (t *Tally) Code(c *Cell, p Place, b *Codebook) float64 {
	if c.Missing() {
		return nan
	}
	t.Present++
	s := c.String()
	k, cased := b.index(s)
	if cased {
		t.sawCase(p, s, b.names[k])
	}
	if k < 0 {
		if c.vague() { // no name of a category that there is
			t.weak.add(p, c.text)
			t.Present--
			return nan
		}
		t.unknown.add(p, s)
		return nan
	}
	return float64(k)
}
