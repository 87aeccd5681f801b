package tabular

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"skerry.dev/compute/frame"
)

// Plain returns the letters, in lower case, and the digits of a name, of any script.
func Plain(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// Find returns the position of a column: that of the name, else of the only one with the same
// letters and digits ("PM2.5" is pm25); -1 when there is none. It is an error, which names them,
// when several are alike.
func Find(names []string, name string) (int, error) {
	at, err := Match(names, []string{name})
	if err != nil {
		return -1, err
	}
	return at[0], nil
}

// Match finds the column of every name that is wanted, -1 for none. Equal names come first, then
// those that are equal but for spaces around them; what is left is matched by letters and digits
// alone. No column is that of two names, and none is chosen among several: either is an error that
// names them.
func Match(names, wanted []string) ([]int, error) {
	at, taken := make([]int, len(wanted)), make([]bool, len(names))
	for k := range at {
		at[k] = -1
	}
	for _, reduce := range []func(string) string{strings.Clone, strings.TrimSpace, Plain} {
		alike := map[string][]int{}
		for i, n := range names {
			if p := reduce(n); p != "" && !taken[i] {
				alike[p] = append(alike[p], i)
			}
		}
		by := map[int]string{}
		for k, w := range wanted {
			found := alike[reduce(w)]
			switch {
			case at[k] >= 0 || len(found) == 0:
				continue
			case len(found) > 1:
				return nil, fmt.Errorf("%q may be column %q or column %q, which differ in punctuation, case or spaces alone: name one of them %q", w, names[found[0]], names[found[1]], w)
			}
			i := found[0]
			if other, ok := by[i]; ok {
				return nil, fmt.Errorf("column %q may be %q or %q, which differ in punctuation, case or spaces alone: name the column as the one that it holds", names[i], other, w)
			}
			at[k], by[i] = i, w
		}
		for i := range by {
			taken[i] = true
		}
	}
	return at, nil
}

// Names returns the names of a reader's columns.
func Names(fields []Field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.Name
	}
	return out
}

// NamesOf returns the names of a table's columns.
func NamesOf(f *frame.Frame) []string {
	out := make([]string, len(f.Columns))
	for i := range f.Columns {
		out[i] = f.Columns[i].Name
	}
	return out
}

// Column finds a column of a table as Find does. The error lists those there are.
func Column(f *frame.Frame, name string) (*frame.Column, error) {
	names := NamesOf(f)
	i, err := Find(names, name)
	if err != nil {
		return nil, err
	}
	if i < 0 {
		return nil, NoColumn(append(names, f.Left...), name)
	}
	return &f.Columns[i], nil
}

// NoColumn is the error of a name that none of the columns has.
func NoColumn(names []string, name string) error {
	const most = 40
	list, rest := names, ""
	if len(list) > most {
		list, rest = names[:most], fmt.Sprintf(" and %d more", len(names)-most)
	}
	return fmt.Errorf("there is no column %q: there are %s%s", name, cmp.Or(strings.Join(list, ", "), "none"), rest)
}

// FewClasses is how many different whole numbers of a target are taken for classes at most, unless
// they are declared as such.
const FewClasses = 10

// AreClasses reports whether a target without a declared kind holds classes: text, or few whole
// numbers.
func AreClasses(c *frame.Column) bool {
	if c.Type == frame.Category {
		return true
	}
	n := len(whole(c, FewClasses))
	return n > 0
}

// Classes returns the names of a target's classes, as the file has them: in the order of the
// numbers when all are whole numbers, else of the names. It is nil when the target holds fractions,
// times, nothing or more than most.
func Classes(c *frame.Column, most int) []string {
	if c.Type == frame.Category {
		if len(c.Categories) > most {
			return nil
		}
		return slices.SortedFunc(slices.Values(c.Categories), byNumber(c.Categories))
	}
	var names []string
	for _, v := range whole(c, most) {
		name, ok := c.Words[v]
		if !ok {
			name = ClassName(v)
		}
		names = append(names, name)
	}
	return names
}

// byNumber compares names as numbers when all of them are some.
func byNumber(names []string) func(a, b string) int {
	for _, n := range names {
		if _, ok := parseNumber(n, false); !ok {
			return strings.Compare
		}
	}
	return func(a, b string) int {
		x, _ := parseNumber(a, false)
		y, _ := parseNumber(b, false)
		return cmp.Or(cmp.Compare(x, y), strings.Compare(a, b))
	}
}

// whole returns the different whole numbers of a column, in order; nil when it holds other values
// or more than most.
func whole(c *frame.Column, most int) (out []float64) {
	if c.Type != frame.Number {
		return nil
	}
	seen := map[float64]bool{}
	for _, v := range c.Values {
		if math.IsNaN(v) || seen[v] {
			continue
		}
		if seen[v] = true; v != math.Trunc(v) || len(seen) > most {
			return nil
		}
		out = append(out, v)
	}
	slices.Sort(out)
	return out
}

// Codebook finds categories or classes by their names. A name that is none of them as it stands
// is looked up by what it means: 1, 01 and 1.0 are one number, true and 1 one truth value, unless
// two of the names mean it.
type Codebook struct {
	exact  map[string]int
	value  map[float64]int // -1: of several names
	folded map[string]int  // by names in lower case; -1: of several names
	names  []string
}

// NewCodebook returns the codebook of names.
func NewCodebook(names []string) *Codebook {
	b := &Codebook{exact: make(map[string]int, len(names)), value: map[float64]int{}, folded: map[string]int{}, names: names}
	for k, s := range names {
		b.exact[s] = k
		low := strings.ToLower(s)
		if _, twice := b.folded[low]; twice {
			b.folded[low] = -1
		} else {
			b.folded[low] = k
		}
		if v, ok := meaning(s); ok {
			if _, twice := b.value[v]; twice {
				k = -1
			}
			b.value[v] = k
		}
	}
	for k, s := range names { // of artifacts made when spaces counted
		if t := strings.TrimSpace(s); t != s {
			if _, ok := b.exact[t]; !ok {
				b.exact[t] = k
			}
		}
	}
	return b
}

// meaning is the number or truth value that a name is.
func meaning(s string) (float64, bool) {
	c := Text(s)
	if c.Missing() || c.vague() {
		return 0, false
	}
	v, err := c.Number()
	return v, err == nil
}

// Index returns the number of a name, -1 for one that is unknown. A name that is written in another
// case is known, where that is one name alone.
func (b *Codebook) Index(name string) int {
	k, _ := b.index(name)
	return k
}

// index is Index, and reports whether the name is written in another case.
func (b *Codebook) index(name string) (k int, cased bool) {
	if k, ok := b.exact[name]; ok {
		return k, false
	}
	if v, ok := meaning(name); ok {
		if k := b.number(v); k >= 0 {
			return k, false
		}
	}
	if k, ok := b.folded[strings.ToLower(name)]; ok && k >= 0 {
		return k, true
	}
	return -1, false
}

// number returns the number of the name that means a number.
func (b *Codebook) number(v float64) int {
	if k, ok := b.value[v]; ok {
		return k
	}
	return -1
}

// Codes returns the values of a column by row. With names they are indices into these, as of
// classes or of the categories of an artifact, NaN for any other; without names the column must
// hold numbers.
func Codes(c *frame.Column, names []string) (func(row int) float64, error) {
	switch {
	case c.Type == frame.Time:
		return nil, fmt.Errorf("column %q holds times, numbers or categories were expected", c.Name)
	case names == nil && c.Type == frame.Category && len(c.Categories) > 0:
		return nil, notNumeric(c)
	case names == nil:
		return func(i int) float64 { return c.Values[i] }, nil
	}
	book := NewCodebook(names)
	code := func(k int) float64 {
		if k < 0 {
			return math.NaN()
		}
		return float64(k)
	}
	if c.Type == frame.Category {
		to := make([]float64, len(c.Categories))
		for k, s := range c.Categories {
			to[k] = code(book.Index(s))
		}
		return func(i int) float64 {
			if v := c.Values[i]; !math.IsNaN(v) {
				return to[int(v)]
			}
			return math.NaN()
		}, nil
	}
	return func(i int) float64 {
		if v := c.Values[i]; !math.IsNaN(v) {
			if k, ok := book.exact[c.Words[v]]; ok { // as the file has it, with its unit
				return code(k)
			}
			return code(book.number(v))
		}
		return math.NaN()
	}, nil
}

// Unknown counts the cells of a column that hold none of the names, or one in another case, and
// returns a note about them, "" for none.
func Unknown(c *frame.Column, names []string) string {
	get, err := Codes(c, names)
	if err != nil || names == nil {
		return ""
	}
	t, book := Tally{Name: c.Name}, NewCodebook(names)
	other := make([]int, len(c.Categories)) // the name that is meant, and one more; 0 for the same
	for k, s := range c.Categories {
		if i, cased := book.index(s); cased {
			other[k] = i + 1
		}
	}
	for i, v := range c.Values {
		if math.IsNaN(v) {
			continue
		}
		t.Present++
		word, place := ClassName(v), Place{Row: i + 1}
		if c.Type == frame.Category {
			word = c.Categories[int(v)]
			if k := other[int(v)]; k > 0 {
				t.sawCase(place, word, names[k-1])
			}
		}
		if math.IsNaN(get(i)) {
			t.unknown.add(place, word)
		}
	}
	return strings.Join(t.categoryNotes(), "; ")
}

// notNumeric names the first cell of a column that made it one of categories.
func notNumeric(c *frame.Column) error {
	for i, v := range c.Values {
		if math.IsNaN(v) {
			continue
		}
		text := c.Categories[int(v)]
		cell := Text(text)
		if _, err := cell.Number(); err != nil {
			return fmt.Errorf("column %q, row %d: %q is no number", c.Name, i+1, clip(text))
		}
	}
	return fmt.Errorf("column %q holds categories, numbers were expected", c.Name)
}

// Times returns the times of a column, frame.NoTime where there is none; numbers are seconds or
// milliseconds since 1970, see Epoch.
func Times(c *frame.Column) ([]int64, error) {
	switch c.Type {
	case frame.Time:
		return c.Times, nil
	case frame.Category:
		return nil, fmt.Errorf("column %q holds %q, which is not a time such as 2006-01-02T15:04:05Z", c.Name, c.Categories[0])
	}
	out := make([]int64, len(c.Values))
	for i, v := range c.Values {
		out[i] = Epoch(v)
	}
	return out, nil
}
