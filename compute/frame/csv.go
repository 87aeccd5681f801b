package frame

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Options of ReadCSV. The zero value is a sensible default.
type Options struct {
	Comma         rune            // default ','
	MaxBytes      int64           // of unpacked text; default 1 GiB
	MaxColumns    int             // default 4096
	MaxCategories int             // of a column; default 65536
	Types         map[string]Type // columns whose type is not to be inferred
	Missing       []string        // beside the empty field; default NA, NaN, nan, null, ?
}

// Error is a problem at a place of the text. Line and Column count from 1; Column is the field's number.
type Error struct {
	Line, Column int
	Name         string // of the column, "" when unknown
	Err          error
}

func (e *Error) Error() string {
	if e.Name != "" {
		return fmt.Sprintf("line %d, column %d %q: %v", e.Line, e.Column, e.Name, e.Err)
	}
	return fmt.Sprintf("line %d, column %d: %v", e.Line, e.Column, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrTooLarge says that the text exceeds a limit of Options.
var ErrTooLarge = errors.New("too large")

// timeLayouts are tried in order; a time without a zone is UTC.
var timeLayouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04", "2006-01-02"}

// ReadCSV reads a table with a header line. Gzip is recognised by its first bytes. A column is numbers when every present field is one, times when every one
// is a time in a common ISO form, else categories. A column without any present field is numbers. Errors are *Error where a place in the text is to
// blame. Memory stays below a small multiple of MaxBytes.
func ReadCSV(r io.Reader, o Options) (*Frame, error) {
	o.defaults()
	in := bufio.NewReader(r)
	var src io.Reader = in
	if head, _ := in.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("read csv: %w", err)
		}
		src = z
	}
	limited := &limit{r: src, left: o.MaxBytes}
	c := csv.NewReader(limited)
	c.Comma, c.ReuseRecord = o.Comma, true
	header, err := c.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("no header line")
		}
		return nil, fmt.Errorf("read csv: %w", err)
	}
	if len(header) > o.MaxColumns {
		return nil, fmt.Errorf("read csv: %w", &Error{Line: 1, Column: o.MaxColumns + 1, Err: fmt.Errorf("%d columns, at most %d: %w", len(header), o.MaxColumns, ErrTooLarge)})
	}
	builders := make([]builder, len(header))
	seen := map[string]bool{}
	for j, name := range header {
		name = strings.Clone(strings.TrimPrefix(name, "\ufeff"))
		if name == "" || seen[name] {
			return nil, fmt.Errorf("read csv: %w", &Error{Line: 1, Column: j + 1, Name: name, Err: errors.New("a column needs a name of its own")})
		}
		seen[name] = true
		builders[j] = builder{name: name, o: &o, index: map[string]int{}}
		if t, ok := o.Types[name]; ok {
			builders[j].fixed, builders[j].want = true, t
		}
	}
	f := &Frame{}
	for {
		record, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read csv: %w", place(c, err))
		}
		for j, field := range record {
			if err := builders[j].add(field); err != nil {
				line, _ := c.FieldPos(j)
				return nil, fmt.Errorf("read csv: %w", &Error{Line: line, Column: j + 1, Name: builders[j].name, Err: err})
			}
		}
		f.Rows++
	}
	for j := range builders {
		col, row, err := builders[j].column()
		if err != nil {
			return nil, fmt.Errorf("read csv: %w", &Error{Line: row + 2, Column: j + 1, Name: builders[j].name, Err: err})
		}
		f.Columns = append(f.Columns, col)
	}
	return f, nil
}

func (o *Options) defaults() {
	if o.Comma == 0 {
		o.Comma = ','
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 30
	}
	if o.MaxColumns == 0 {
		o.MaxColumns = 4096
	}
	if o.MaxCategories == 0 {
		o.MaxCategories = 1 << 16
	}
	if o.Missing == nil {
		o.Missing = []string{"NA", "NaN", "nan", "null", "?"}
	}
}

// place turns the csv reader's own errors into ours.
func place(c *csv.Reader, err error) error {
	if p, ok := errors.AsType[*csv.ParseError](err); ok {
		return &Error{Line: p.Line, Column: max(p.Column, 1), Err: p.Err}
	}
	return err
}

// limit fails when more than left bytes come: a small gzip file may unpack to any size.
type limit struct {
	r    io.Reader
	left int64
}

func (l *limit) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, ErrTooLarge
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}

// builder collects a column's distinct texts and decides its type at the end: fields repeat, so an index is smaller than the text.
type builder struct {
	name  string
	o     *Options
	fixed bool
	want  Type
	index map[string]int
	texts []string
	at    []int32 // by row; -1 is missing
}

func (b *builder) add(field string) error {
	if b.missing(field) {
		b.at = append(b.at, -1)
		return nil
	}
	k, ok := b.index[field]
	if !ok {
		if len(b.texts) == math.MaxInt32 {
			return ErrTooLarge
		}
		field = strings.Clone(field) // the record is reused
		k = len(b.texts)
		b.index[field], b.texts = k, append(b.texts, field)
	}
	b.at = append(b.at, int32(k))
	return nil
}

func (b *builder) missing(field string) bool {
	if field == "" {
		return true
	}
	for _, m := range b.o.Missing {
		if field == m {
			return true
		}
	}
	return false
}

// column returns the finished column, or the first row (from 0) that does not fit its type. A quoted field with line breaks shifts the line by as many.
func (b *builder) column() (c Column, row int, err error) {
	b.index = nil
	types := []Type{Number, Time, Category}
	if b.fixed {
		types = []Type{b.want}
	}
	for _, t := range types {
		c = Column{Name: b.name, Type: t}
		var bad int
		if bad, err = b.fill(&c); err == nil {
			return c, 0, nil
		}
		for row = range b.at {
			if int(b.at[row]) == bad {
				break
			}
		}
	}
	return c, row, err
}

// fill parses every distinct text once. It returns the first that does not parse.
func (b *builder) fill(c *Column) (bad int, err error) {
	if c.Type == Time {
		parsed := make([]int64, len(b.texts))
		for k, s := range b.texts {
			if parsed[k], err = parseTime(s); err != nil {
				return k, err
			}
		}
		c.Times = make([]int64, len(b.at))
		for i, k := range b.at {
			if c.Times[i] = NoTime; k >= 0 {
				c.Times[i] = parsed[k]
			}
		}
		return 0, nil
	}
	parsed := make([]float64, len(b.texts))
	if c.Type == Category {
		if len(b.texts) > b.o.MaxCategories {
			return b.o.MaxCategories, fmt.Errorf("more than %d categories: %w", b.o.MaxCategories, ErrTooLarge)
		}
		c.Categories = b.texts
	}
	for k, s := range b.texts {
		if parsed[k] = float64(k); c.Type == Number {
			if parsed[k], err = strconv.ParseFloat(strings.TrimSpace(s), 64); err != nil || math.IsNaN(parsed[k]) {
				return k, fmt.Errorf("%q is not a number", s)
			}
		}
	}
	c.Values = make([]float64, len(b.at))
	for i, k := range b.at {
		if c.Values[i] = math.NaN(); k >= 0 {
			c.Values[i] = parsed[k]
		}
	}
	return 0, nil
}

func parseTime(s string) (int64, error) {
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixMicro(), nil
		}
	}
	return 0, fmt.Errorf("%q is not a time such as 2006-01-02T15:04:05Z", s)
}
