package tabular

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"skerry.dev/compute/frame"
)

// Read reads a whole table. A column is numbers when nearly every present cell is one, times when
// nearly every one is a time in a common form, else categories; a column without any present cell
// is numbers. Nearly means that a share of Unreadable of the cells may be something else: these
// count as missing, as infinite numbers do, and Options.Note receives how many they are and the
// first. Columns need names of their own. Errors are *Error where a place in the table is to blame,
// and wrap ErrTooLarge where a limit is exceeded.
//
// With Options.Types a column that is listed is of that type, whatever its cells are: any number of
// them may be missing for that reason, but an error results where most are.
//
// Cells become numbers as they are read, so memory is that of the table and of the distinct
// categories. Where the cells show that a column is no numbers (or no times) after all, the text is
// read again: at most four times, from its start when r can seek, else from a copy of its packed
// bytes.
func Read(r io.Reader, o Options) (*frame.Frame, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	o.defaults()
	src, ok := r.(io.ReadSeeker)
	start := int64(0)
	if ok {
		var err error
		if start, err = src.Seek(0, io.SeekCurrent); err != nil {
			ok = false // a pipe
		}
	}
	if !ok {
		b, err := io.ReadAll(&limit{r: r, left: o.MaxBytes})
		if err != nil {
			return nil, fmt.Errorf("read table: %w", err)
		}
		src = bytes.NewReader(b)
	}
	types, told := map[string]frame.Type{}, map[string]string{}
	plain, orders := map[string]bool{}, map[string]dateOrder{}
	for {
		p := pass{o: &o, types: types, told: told, plain: plain, orders: orders}
		f, err := p.read(src)
		if err != nil {
			return nil, fmt.Errorf("read table: %w", err)
		}
		if !p.again {
			for _, n := range p.notes {
				o.note(n)
			}
			return f, nil
		}
		if _, err := src.Seek(start, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read table: %w", err)
		}
	}
}

// pass is one reading of the table. types are what earlier passes found out, told why a column is
// text, orders what stands first in the dates of a column, where only some of them show it.
type pass struct {
	o      *Options
	types  map[string]frame.Type
	told   map[string]string
	orders map[string]dateOrder
	plain  map[string]bool // columns in which few numbers have a unit, the first among them
	notes  []string
	again  bool // a column turned out to be of another type
}

func (p *pass) read(src io.Reader) (*frame.Frame, error) {
	o := *p.o
	o.Note = func(s string) { p.notes = append(p.notes, s) }
	r, err := Open(src, o)
	if err != nil {
		return nil, err
	}
	builders, err := p.builders(r.Fields())
	if err != nil {
		return nil, err
	}
	f := &frame.Frame{}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if f.Rows++; int64(f.Rows)*int64(len(builders)) > p.o.MaxCells {
			return nil, &Error{
				Line:   r.Line(),
				Column: 1,
				Name:   builders[0].c.Name,
				Err:    fmt.Errorf("more than %d cells (%d columns): %w", p.o.MaxCells, len(builders), ErrTooLarge),
			}
		}
		at := PlaceOf(r)
		for j := range row {
			if builders[j].skip {
				continue
			}
			if err := builders[j].add(&row[j], at); err != nil {
				return nil, &Error{Line: r.Line(), Column: j + 1, Name: builders[j].c.Name, Err: err}
			}
		}
	}
	for j := range builders {
		b := &builders[j]
		if b.skip {
			f.Left = append(f.Left, b.c.Name)
			continue
		}
		name := b.c.Name
		if b.c.Type == frame.Number && b.tally.unit != "" && 2*b.tally.plain > b.tally.Present {
			p.plain[name], p.again = true, true
			continue
		}
		if t := &b.tally; b.c.Type == frame.Time && t.twoWays.n > 0 && b.order == noOrder && (t.dayFirst > 0) != (t.monthFirst > 0) {
			if p.orders[name], p.again = dayFirst, true; t.monthFirst > 0 {
				p.orders[name] = monthFirst
			}
			continue
		}
		if err := b.end(); err != nil {
			return nil, err
		}
		switch {
		case b.wrong:
			if p.types[name], p.again = b.next, true; b.c.Type == frame.Number {
				p.told[name] = b.tally.instead()
			} else if s := b.tally.twoMeanings(); s != "" {
				p.told[name] = fmt.Sprintf("column %q is read as text: %s", name, s)
			}
		case b.c.Type != frame.Category:
			p.notes = append(p.notes, b.tally.Notes(b.c.Type)...)
		case p.told[name] != "":
			p.notes = append(p.notes, p.told[name])
		case !b.asked:
			if s := b.figures(); s != "" {
				p.notes = append(p.notes, s)
			}
		}
		if s := b.alike(); s != "" {
			p.notes = append(p.notes, s)
		}
		f.Columns = append(f.Columns, b.c)
	}
	return f, nil
}

func (p *pass) builders(fields []Field) ([]builder, error) {
	clock := -1
	if p.o.Time != "" {
		names := Names(fields)
		var err error
		if clock, err = Find(names, p.o.Time); err != nil {
			return nil, fmt.Errorf("time: %w", err)
		}
		if clock < 0 {
			return nil, fmt.Errorf("time: %w", NoColumn(names, p.o.Time))
		}
	}
	types, err := typesOf(Names(fields), p.o.Types)
	if err != nil {
		return nil, err
	}
	asText, err := textOf(Names(fields), p.o.Text)
	if err != nil {
		return nil, err
	}
	builders := make([]builder, len(fields))
	for j, field := range fields {
		b := builder{most: p.o.MaxCategories, c: frame.Column{Name: field.Name}, tally: Tally{Name: field.Name, noUnits: p.plain[field.Name]}, order: p.orders[field.Name]}
		given, ok := types[j]
		b.skip = p.o.Only && !ok && j != clock
		switch {
		case j == clock:
			b.fixed, b.c.Type, b.format = true, frame.Time, p.o.TimeFormat
		case ok:
			b.fixed, b.asked, b.c.Type = true, true, given
		case asText[j]:
			b.fixed, b.asked, b.c.Type = true, true, frame.Category
		case !field.Inferred:
			b.fixed, b.c.Type = true, field.Type
		default:
			b.c.Type = p.types[field.Name]
		}
		builders[j] = b
	}
	return builders, nil
}

// typesOf finds the columns whose types are given.
func typesOf(names []string, given map[string]frame.Type) (map[int]frame.Type, error) {
	wanted := slices.Sorted(maps.Keys(given))
	at, err := Match(names, wanted)
	if err != nil {
		return nil, err
	}
	types := map[int]frame.Type{}
	for k, i := range at {
		if i >= 0 {
			types[i] = given[wanted[k]]
		}
	}
	return types, nil
}

// textOf finds the columns that are to be read as text.
func textOf(names, wanted []string) (map[int]bool, error) {
	at, err := Match(names, wanted)
	if err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	out := map[int]bool{}
	for k, i := range at {
		if i < 0 {
			return nil, fmt.Errorf("text: %w", NoColumn(names, wanted[k]))
		}
		out[i] = true
	}
	return out, nil
}

// builder collects a column.
type builder struct {
	skip   bool
	most   int // categories
	c      frame.Column
	fixed  bool      // its type was given
	asked  bool      // by an option
	format string    // of times
	order  dateOrder // of the dates, where the whole column shows it
	wrong  bool      // its type is not what it seemed: next is tried in another pass
	next   frame.Type
	tally  Tally
	index  map[string]int
	words  int // forms looked at for c.Words; beyond mostWords they are dropped
}

const (
	mostWords = 1 << 12
	// hopeless is how many cells a column has at least when most of them decide its type before the
	// end of the table.
	hopeless = 64
)

// add takes the cell of a row, or returns why the column cannot hold it.
func (b *builder) add(cell *Cell, at Place) error {
	if b.wrong {
		return nil
	}
	bad := b.tally.bad.n
	switch b.c.Type {
	case frame.Number:
		v := b.tally.Number(cell, at)
		b.c.Values = append(b.c.Values, v)
		b.word(cell, v)
	case frame.Time:
		if b.order != noOrder {
			cell.form.dates = b.order
		}
		b.c.Times = append(b.c.Times, b.instant(cell, at))
	default:
		return b.category(cell)
	}
	if b.fixed || b.tally.bad.n == bad {
		return nil
	}
	if b.tally.bad.n == 1 { // the first decides what is tried next
		b.next = frame.Category
		if b.c.Type == frame.Number {
			day, month := orders(cell.text)
			if _, err := cell.Instant(); err == nil || day || month {
				b.next = frame.Time
			}
		}
	}
	if b.tally.Present >= hopeless && 2*(b.tally.bad.n-b.tally.twoWays.n) > b.tally.Present {
		b.reject()
	}
	return nil
}

func (b *builder) reject() { b.wrong, b.c.Values, b.c.Times = true, nil, nil }

// end decides whether the column is what it was taken for.
func (b *builder) end() error {
	if err := b.tally.Contradicts(); err != nil && !b.wrong {
		return err
	}
	if b.c.Type == frame.Number && !b.wrong {
		b.c.Unit = b.tally.unit
	}
	switch {
	case b.fixed && b.c.Type != frame.Category:
		return b.tally.Wrong(b.c.Type)
	case !b.fixed && !b.wrong && !b.tally.Few():
		b.reject()
	}
	return nil
}

// manyFigures is how many different texts that begin as numbers do look like a column of numbers.
const manyFigures = 20

// figures is a note about a column of text whose cells begin as numbers do, such as durations,
// fractions or hexadecimal numbers; "" for any other.
func (b *builder) figures() string {
	n := 0
	for _, s := range b.c.Categories {
		if digits(s) {
			continue // of a file with types: a name
		}
		if s = strings.TrimLeft(s, "('+-−$€£"); s != "" && s[0] >= '0' && s[0] <= '9' {
			n++
		}
	}
	if all := len(b.c.Categories); all < manyFigures || 10*n < 9*all {
		return ""
	}
	return fmt.Sprintf("column %q is read as text of %d different forms, such as %q, which are no numbers here: write them as numbers (1:30 as seconds, 1/4 as 0.25) where they are some, or name the column by --text where they are names", b.c.Name, len(b.c.Categories), clip(b.c.Categories[0]))
}

// alike is a note about categories that differ in case or blanks alone, "" for none.
func (b *builder) alike() string {
	if b.c.Type != frame.Category {
		return ""
	}
	first, pairs := map[string]string{}, 0
	example := ""
	for _, s := range b.c.Categories {
		plain := strings.ToLower(strings.TrimSpace(s))
		other, twice := first[plain]
		if first[plain] = s; !twice {
			continue
		}
		if pairs++; pairs == 1 {
			example = fmt.Sprintf("%q and %q", clip(other), clip(s))
		}
	}
	if pairs == 0 {
		return ""
	}
	return fmt.Sprintf("column %q: %d of its categories differ from others in case or blanks alone, such as %s: write them alike where they mean one", b.c.Name, pairs, example)
}

// word keeps how a whole number is written, where that is not plainly.
func (b *builder) word(cell *Cell, v float64) {
	if b.words > mostWords || cell.kind == number || math.IsNaN(v) || v != math.Trunc(v) {
		return
	}
	var plain [24]byte
	s := cell.String()
	if math.Abs(v) < 1<<53 && s == string(strconv.AppendInt(plain[:0], int64(v), 10)) || b.c.Words[v] != "" {
		return
	}
	if b.words++; b.words > mostWords {
		b.c.Words = nil
		return
	}
	if b.c.Words == nil {
		b.c.Words = map[float64]string{}
	}
	b.c.Words[v] = strings.Clone(s)
}

func (b *builder) category(cell *Cell) error {
	if cell.Missing() {
		b.c.Values = append(b.c.Values, math.NaN())
		return nil
	}
	s := cell.String()
	k, ok := b.index[s]
	if !ok {
		if k = len(b.c.Categories); k >= b.most {
			return fmt.Errorf("more than %d categories: %w", b.most, ErrTooLarge)
		}
		if b.index == nil {
			b.index = map[string]int{}
		}
		s = strings.Clone(s) // the row is reused
		b.index[s], b.c.Categories = k, append(b.c.Categories, s)
	}
	b.c.Values = append(b.c.Values, float64(k))
	return nil
}

// instant reads a time: of a column that holds times, or, where it is inferred, in a form that is
// no number. A column with both holds categories.
func (b *builder) instant(cell *Cell, at Place) int64 {
	if cell.kind == text && !b.fixed && !cell.Missing() {
		if _, ok := parseNumber(strings.TrimSpace(cell.text), cell.form.comma); ok {
			b.tally.Present++
			b.tally.bad.add(at, cell.String())
			return frame.NoTime
		}
	}
	return b.tally.Time(cell, at, b.format)
}
