package frame

import (
	"bufio"
	"bytes"
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
	Comma    rune  // default ','
	MaxBytes int64 // of unpacked text; default 16 GiB
	// bytes of one line, or of one record with line breaks in quotes; default 16 MiB
	MaxLine       int64
	MaxCells      int64           // rows times columns, 8 bytes each; default 2^28
	MaxColumns    int             // default 4096
	MaxCategories int             // of a column; default 2^20
	Types         map[string]Type // columns whose type is not to be inferred
	Missing       []string        // beside the empty field; default NA, NaN, nan, null, ?
}

// Error is a problem at a place of the text. Line and Column count from 1; Column is the field's
// number.
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

// ReadCSV reads a table with a header line. Gzip is recognised by its first bytes. A column is
// numbers when every present field is one, times when every one is a time in a common ISO form,
// else categories. A column without any present field is numbers. Errors are *Error where a place
// in the text is to blame, and wrap ErrTooLarge where a limit is exceeded.
//
// Fields become numbers as they are read, so memory is that of the table and of the distinct
// categories. Where a field shows that a column is no numbers (or no times) after all, the text
// is read again: at most twice, from its start when r can seek, else from a copy of its packed
// bytes.
func ReadCSV(r io.Reader, o Options) (*Frame, error) {
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
			return nil, fmt.Errorf("read csv: %w", err)
		}
		src = bytes.NewReader(b)
	}
	types := map[string]Type{}
	for {
		p := pass{o: &o, types: types}
		f, err := p.read(src)
		if err != nil {
			return nil, fmt.Errorf("read csv: %w", err)
		}
		if !p.again {
			return f, nil
		}
		if _, err := src.Seek(start, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read csv: %w", err)
		}
	}
}

// pass is one reading of the text. types are what earlier passes found out.
type pass struct {
	o     *Options
	types map[string]Type
	again bool // a column turned out to be of another type
}

func (p *pass) read(r io.Reader) (*Frame, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	var src io.Reader = in
	if head, _ := in.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		src = z
	}
	c := csv.NewReader(&limit{r: src, left: p.o.MaxBytes, line: p.o.MaxLine, max: p.o.MaxLine})
	c.Comma, c.ReuseRecord = p.o.Comma, true
	header, err := c.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("no header line")
		}
		return nil, err
	}
	builders, err := p.builders(header)
	if err != nil {
		return nil, err
	}
	f := &Frame{}
	for {
		record, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, place(c, err)
		}
		if f.Rows++; int64(f.Rows)*int64(len(builders)) > p.o.MaxCells {
			line, _ := c.FieldPos(0)
			return nil, &Error{
				Line:   line,
				Column: 1,
				Name:   builders[0].name,
				Err:    fmt.Errorf("more than %d cells (%d columns): %w", p.o.MaxCells, len(builders), ErrTooLarge),
			}
		}
		for j, field := range record {
			if err := builders[j].add(field, f.Rows-1); err != nil {
				line, _ := c.FieldPos(j)
				return nil, &Error{Line: line, Column: j + 1, Name: builders[j].name, Err: err}
			}
		}
	}
	for j := range builders {
		b := &builders[j]
		if b.wrong {
			p.types[b.name], p.again = b.next, true
		}
		f.Columns = append(f.Columns, b.c)
	}
	return f, nil
}

func (p *pass) builders(header []string) ([]builder, error) {
	if len(header) > p.o.MaxColumns {
		return nil, &Error{
			Line:   1,
			Column: p.o.MaxColumns + 1,
			Err:    fmt.Errorf("%d columns, at most %d: %w", len(header), p.o.MaxColumns, ErrTooLarge),
		}
	}
	builders := make([]builder, len(header))
	seen := map[string]bool{}
	for j, name := range header {
		name = strings.Clone(strings.TrimPrefix(name, "\ufeff"))
		if name == "" || seen[name] {
			return nil, &Error{
				Line:   1,
				Column: j + 1,
				Name:   name,
				Err:    errors.New("a column needs a name of its own"),
			}
		}
		seen[name] = true
		b := builder{o: p.o, name: name, c: Column{Name: name}}
		if t, ok := p.o.Types[name]; ok {
			b.fixed, b.c.Type = true, t
		} else {
			b.c.Type = p.types[name]
		}
		builders[j] = b
	}
	return builders, nil
}

func (o *Options) defaults() {
	if o.Comma == 0 {
		o.Comma = ','
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 16 << 30
	}
	if o.MaxLine == 0 {
		o.MaxLine = 16 << 20
	}
	if o.MaxCells == 0 {
		o.MaxCells = 1 << 28
	}
	if o.MaxColumns == 0 {
		o.MaxColumns = 4096
	}
	if o.MaxCategories == 0 {
		o.MaxCategories = 1 << 20
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

// limit fails when more than left bytes come, since a small gzip file may unpack to any size, or
// more than max of them without a line break outside quotes, since a record is held in memory.
type limit struct {
	r         io.Reader
	left      int64
	line, max int64 // bytes that the record may still have, and that any may have
	quoted    bool
}

func (l *limit) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, fmt.Errorf("the text: %w", ErrTooLarge)
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("the text: %w", ErrTooLarge)
	}
	for rest := p[:n]; len(rest) > 0; {
		i := bytes.IndexAny(rest, "\"\n")
		if i < 0 {
			l.line -= int64(len(rest))
			break
		}
		if l.line -= int64(i + 1); rest[i] == '"' {
			l.quoted = !l.quoted
		} else if !l.quoted {
			l.line = l.max
		}
		rest = rest[i+1:]
	}
	if l.line < 0 {
		return 0, fmt.Errorf("a line or quoted field of more than %d bytes: %w", l.max, ErrTooLarge)
	}
	return n, err
}

// builder collects a column.
type builder struct {
	o     *Options
	name  string
	c     Column
	fixed bool // its type was given
	some  bool // a field was present
	wrong bool // its type is not what it seemed: next is tried in another pass
	next  Type
	index map[string]int
}

// add takes the field of a row, or says why it does not fit a type that was given.
func (b *builder) add(field string, row int) error {
	if b.wrong {
		return nil
	}
	if b.missing(field) {
		b.put(math.NaN(), NoTime)
		return nil
	}
	for {
		err := b.parse(field)
		if err == nil || b.fixed || errors.Is(err, ErrTooLarge) {
			b.some = true
			return err
		}
		next := Category // tried after numbers and times
		if b.c.Type == Number {
			next = Time
		}
		if b.some {
			b.wrong, b.next, b.c.Values, b.c.Times = true, next, nil, nil
			return nil
		}
		b.c.Type, b.c.Values, b.c.Times = next, nil, nil
		for range row { // all missing so far
			b.put(math.NaN(), NoTime)
		}
	}
}

func (b *builder) put(v float64, t int64) {
	if b.c.Type == Time {
		b.c.Times = append(b.c.Times, t)
	} else {
		b.c.Values = append(b.c.Values, v)
	}
}

func (b *builder) parse(field string) error {
	switch b.c.Type {
	case Number:
		v, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
		if err != nil || math.IsNaN(v) {
			return fmt.Errorf("%q is not a number", clip(field))
		}
		b.put(v, 0)
	case Time:
		t, err := parseTime(field)
		if err != nil {
			return err
		}
		b.put(0, t)
	default:
		k, ok := b.index[field]
		if !ok {
			if k = len(b.c.Categories); k >= b.o.MaxCategories {
				return fmt.Errorf("more than %d categories: %w", b.o.MaxCategories, ErrTooLarge)
			}
			if b.index == nil {
				b.index = map[string]int{}
			}
			field = strings.Clone(field) // the record is reused
			b.index[field], b.c.Categories = k, append(b.c.Categories, field)
		}
		b.put(float64(k), 0)
	}
	return nil
}

// clip keeps a message readable.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
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

func parseTime(s string) (int64, error) {
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixMicro(), nil
		}
	}
	return 0, fmt.Errorf("%q is not a time such as 2006-01-02T15:04:05Z", clip(s))
}
