package tabular

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"skerry.dev/compute/frame"
)

// Read reads a whole table. A column is numbers when every present cell is one, times when every
// one is a time in a common form, else categories; a column without any present cell is numbers.
// Columns need names of their own. Errors are *Error where a place in the table is to blame, and
// wrap ErrTooLarge where a limit is exceeded.
//
// Cells become numbers as they are read, so memory is that of the table and of the distinct
// categories. Where a cell shows that a column is no numbers (or no times) after all, the text is
// read again: at most twice, from its start when r can seek, else from a copy of its packed bytes.
func Read(r io.Reader, o Options) (*frame.Frame, error) {
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
		b, err := io.ReadAll(&limit{r: r, left: o.MaxBytes, line: math.MaxInt64, max: math.MaxInt64})
		if err != nil {
			return nil, fmt.Errorf("read table: %w", err)
		}
		src = bytes.NewReader(b)
	}
	types := map[string]frame.Type{}
	for {
		p := pass{o: &o, types: types}
		f, err := p.read(src)
		if err != nil {
			return nil, fmt.Errorf("read table: %w", err)
		}
		if !p.again {
			return f, nil
		}
		if _, err := src.Seek(start, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read table: %w", err)
		}
	}
}

// pass is one reading of the table. types are what earlier passes found out.
type pass struct {
	o     *Options
	types map[string]frame.Type
	again bool // a column turned out to be of another type
}

func (p *pass) read(src io.Reader) (*frame.Frame, error) {
	r, err := Open(src, *p.o)
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
		for j := range row {
			if err := builders[j].add(&row[j], f.Rows-1); err != nil {
				return nil, &Error{Line: r.Line(), Column: j + 1, Name: builders[j].c.Name, Err: err}
			}
		}
	}
	for j := range builders {
		b := &builders[j]
		if b.wrong {
			p.types[b.c.Name], p.again = b.next, true
		}
		f.Columns = append(f.Columns, b.c)
	}
	return f, nil
}

func (p *pass) builders(fields []Field) ([]builder, error) {
	builders := make([]builder, len(fields))
	for j, field := range fields {
		b := builder{most: p.o.MaxCategories, c: frame.Column{Name: field.Name}}
		given, ok := p.o.Types[field.Name]
		switch {
		case !field.Inferred && ok && given != field.Type:
			return nil, fmt.Errorf("column %q holds a %s, a %s is wanted", field.Name, field.Type, given)
		case !field.Inferred:
			b.fixed, b.c.Type = true, field.Type
		case ok:
			b.fixed, b.c.Type = true, given
		default:
			b.c.Type = p.types[field.Name]
		}
		builders[j] = b
	}
	return builders, nil
}

// builder collects a column.
type builder struct {
	most  int // categories
	c     frame.Column
	fixed bool // its type was given
	some  bool // a cell was present
	wrong bool // its type is not what it seemed: next is tried in another pass
	next  frame.Type
	index map[string]int
}

// add takes the cell of a row, or returns why it does not fit a type that was given.
func (b *builder) add(cell *Cell, row int) error {
	if b.wrong {
		return nil
	}
	if cell.Missing() {
		b.put(math.NaN(), frame.NoTime)
		return nil
	}
	for {
		err := b.parse(cell)
		if err == nil || b.fixed || errors.Is(err, ErrTooLarge) {
			b.some = true
			return err
		}
		next := frame.Category // tried after numbers and times
		if b.c.Type == frame.Number {
			next = frame.Time
		}
		if b.some {
			b.wrong, b.next, b.c.Values, b.c.Times = true, next, nil, nil
			return nil
		}
		b.c.Type, b.c.Values, b.c.Times = next, nil, nil
		for range row { // all missing so far
			b.put(math.NaN(), frame.NoTime)
		}
	}
}

func (b *builder) put(v float64, t int64) {
	if b.c.Type == frame.Time {
		b.c.Times = append(b.c.Times, t)
	} else {
		b.c.Values = append(b.c.Values, v)
	}
}

func (b *builder) parse(cell *Cell) error {
	switch b.c.Type {
	case frame.Number:
		v, err := cell.Number()
		if err != nil {
			return err
		}
		b.put(v, 0)
	case frame.Time:
		t, err := b.instant(cell)
		if err != nil {
			return err
		}
		b.put(0, t)
	default:
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
		b.put(float64(k), 0)
	}
	return nil
}

// instant reads a time: of a column that holds times, or, where it is inferred, in a form that is
// no number. A column with both holds categories.
func (b *builder) instant(cell *Cell) (int64, error) {
	if cell.kind == text && !b.fixed {
		return ParseTime(cell.text)
	}
	return cell.Instant()
}
