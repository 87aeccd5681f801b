package tabular

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"skerry.dev/compute/frame"
)

// Options bound what a table may make a program hold, and tell how it is written where that is not
// to be found out. The zero value is a sensible default.
type Options struct {
	Comma   rune // between the fields of a text, one of Separators; 0: found
	Decimal byte // of the numbers in a text: '.' or ','; 0: found by column
	// texts that mean "missing", besides the empty cell, as they stand; nil: the usual ones
	Missing []string
	// Read: the column that holds the event time is read as times, in this format (CheckTimeFormat);
	// "" for no such column, and for any common form
	Time, TimeFormat string
	// Note receives, sentence by sentence, what whoever owns the table should know: the dialect
	// where it is not plain CSV, and cells that were not taken as they stand. May be nil.
	Note func(string)

	// of unpacked text, or of a Parquet file that comes through a pipe; default 16 GiB
	MaxBytes int64
	// bytes of one line, or of one record with line breaks in quotes; default 16 MiB
	MaxLine int64
	// of a table held as a whole: rows times columns, 8 bytes each; default 2^28
	MaxCells      int64
	MaxColumns    int // default 4096
	MaxCategories int // of a column; default 2^20
	// columns whose type is not to be inferred, found as Match does; those that there are not are
	// left out
	Types map[string]frame.Type
	Only  bool // Read: no column but those of Types and Time
	// Read: columns whose cells are categories whatever they look like, such as postal codes, found as
	// Match does; Types goes before. A name that no column has is an error.
	Text []string
}

func (o *Options) note(s string) {
	if o.Note != nil && s != "" {
		o.Note(s)
	}
}

// Check refuses options that no table can have.
func (o *Options) Check() error {
	if o.Comma != 0 && !strings.ContainsRune(Separators, o.Comma) {
		return fmt.Errorf("delimiter %q: must be one of , ; | or a tab", o.Comma)
	}
	if o.Decimal != 0 && o.Decimal != '.' && o.Decimal != ',' {
		return fmt.Errorf("decimal %q: must be . or ,", o.Decimal)
	}
	return CheckTimeFormat(o.TimeFormat)
}

func (o *Options) defaults() {
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
}

// Field is a column as its file declares it.
type Field struct {
	Name string
	// the column's type by the file; Inferred: by its cells
	Type     frame.Type
	Inferred bool
}

// Reader reads a table row by row, holding no more of it than a file's format requires.
type Reader interface {
	// Fields returns the columns, in order. Each has a name of its own.
	Fields() []Field
	// Next returns the cells of the next row, one a field, which are valid until the call after; at
	// the end io.EOF. An error of the file is an *Error where a place in it is to blame.
	Next() ([]Cell, error)
	// Line returns where the newest row stands: its line in a text, else its number, from 1.
	Line() int
}

// Error is a problem at a place of a table. Line and Column count from 1; Column is the field's
// number.
type Error struct {
	Line, Column int
	Name         string // of the column, "" when unknown
	Err          error
}

// Error says where in the file and what is wrong.
func (e *Error) Error() string {
	if e.Name != "" {
		return fmt.Sprintf("line %d, column %d %q: %v", e.Line, e.Column, e.Name, e.Err)
	}
	return fmt.Sprintf("line %d, column %d: %v", e.Line, e.Column, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrTooLarge means that a table exceeds a limit of Options.
var ErrTooLarge = errors.New("too large")

// ErrNoParquet means that the program has no decoder for Parquet.
var ErrNoParquet = errors.New("a Parquet file, which this build does not read: use the full build of the program (skerry-agent-full), or save the table as CSV")

const parquetMagic = "PAR1"

// decodeParquet is what RegisterParquet was given.
var decodeParquet func(r io.ReaderAt, size int64, o Options) (Reader, error)

// RegisterParquet makes decode the reader of Parquet files. The package of a decoder calls it when
// it is initialised: a program reads Parquet when it imports one.
func RegisterParquet(decode func(r io.ReaderAt, size int64, o Options) (Reader, error)) {
	decodeParquet = decode
}

// Open begins to read a table. CSV, packed or not, and Parquet are distinguished by their first
// bytes. A Parquet file is read in place when r can seek and read anywhere, as a file can, else
// from memory.
func Open(r io.Reader, o Options) (Reader, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	o.defaults()
	src, whole, err := peek(r, o)
	if err != nil {
		return nil, err
	}
	if whole == nil {
		c, err := newCSV(src, &o)
		if err != nil {
			return nil, err
		}
		for _, n := range c.notes {
			o.note(n)
		}
		whole = c
	}
	if o.Missing != nil {
		whole = newMarked(whole, o.Missing)
	}
	whole = withoutNameless(whole, o)
	return whole, distinct(whole.Fields())
}

// namelessReader leaves columns out that are none of the table's own: the first where it has no
// name, and those that pandas names __index_level_0__, in which programs write the number of the
// row; and what stands behind the last name where lines end with a separator.
type namelessReader struct {
	Reader
	fields []Field
	keep   []int
	empty  int // columns from here on have no name and must be empty
	cells  []Cell
}

// withoutNameless returns r itself where nothing is to be left out.
func withoutNameless(r Reader, o Options) Reader {
	fields := r.Fields()
	n := &namelessReader{Reader: r, empty: len(fields)}
	for n.empty > 1 && fields[n.empty-1].Name == "" {
		n.empty--
	}
	for j, f := range fields[:n.empty] {
		switch {
		case j == 0 && f.Name == "" && n.empty > 1:
			o.note("column 1 has no name and is left out, as the numbers of rows are that programs write there: give it a name to use it")
		case strings.HasPrefix(f.Name, "__index_level_") && strings.HasSuffix(f.Name, "__"):
			o.note(fmt.Sprintf("column %q is left out: it is the index of a pandas table; give it a name to use it", f.Name))
		default:
			n.keep, n.fields = append(n.keep, j), append(n.fields, f)
		}
	}
	if len(n.keep) == len(fields) || len(n.keep) == 0 {
		return r
	}
	n.cells = make([]Cell, len(n.keep))
	return n
}

func (n *namelessReader) Fields() []Field { return n.fields }

func (n *namelessReader) Next() ([]Cell, error) {
	cells, err := n.Reader.Next()
	if err != nil {
		return nil, err
	}
	for j := n.empty; j < len(cells); j++ {
		if !cells[j].Missing() {
			return nil, &Error{Line: n.Line(), Column: j + 1, Err: fmt.Errorf("%q stands in a column without a name: give the column one in line 1, or leave it out", clip(cells[j].String()))}
		}
	}
	for k, j := range n.keep {
		n.cells[k] = cells[j]
	}
	return n.cells, nil
}

// markedReader is a reader whose marks for "missing" are given.
type markedReader struct {
	Reader
	marks map[string]bool
}

func newMarked(r Reader, marks []string) *markedReader {
	m := &markedReader{Reader: r, marks: map[string]bool{"": true}}
	for _, s := range marks {
		m.marks[strings.TrimSpace(s)] = true
	}
	return m
}

func (m *markedReader) Next() ([]Cell, error) {
	cells, err := m.Reader.Next()
	for j := range cells {
		if c := &cells[j]; c.kind == text {
			if c.form.marked = true; m.marks[strings.TrimSpace(c.text)] {
				*c = Cell{}
			}
		}
	}
	return cells, err
}

// distinct holds that every column has a name of its own: whoever names a column means one.
func distinct(fields []Field) error {
	at := make(map[string]int, len(fields))
	for j, f := range fields {
		problem := ""
		if first, ok := at[f.Name]; f.Name == "" {
			problem = "it has no name: give it one, or leave it out"
		} else if ok {
			problem = fmt.Sprintf("column %d has this name already: give it another, or leave one out", first)
		}
		if problem != "" {
			return &Error{Line: 1, Column: j + 1, Name: f.Name, Err: errors.New(problem)}
		}
		at[f.Name] = j + 1
	}
	return nil
}

// peek looks at the first bytes: it returns the reader of a Parquet file, or all of a text.
func peek(r io.Reader, o Options) (text io.Reader, parquet Reader, err error) {
	in := bufio.NewReaderSize(r, 1<<16)
	if head, _ := in.Peek(len(parquetMagic)); string(head) != parquetMagic {
		return in, nil, nil
	}
	if decodeParquet == nil {
		return nil, nil, ErrNoParquet
	}
	at, size, err := random(r, in, o)
	if err != nil {
		return nil, nil, fmt.Errorf("read parquet: %w", err)
	}
	parquet, err = decodeParquet(at, size, o)
	return nil, parquet, err
}

// random returns a table that can be read anywhere: r, of which in has taken the beginning, or a
// copy.
func random(r io.Reader, in io.Reader, o Options) (io.ReaderAt, int64, error) {
	if at, ok := r.(interface {
		io.ReaderAt
		io.Seeker
	}); ok {
		if size, err := at.Seek(0, io.SeekEnd); err == nil {
			return at, size, nil
		}
	}
	b, err := io.ReadAll(&limit{r: in, left: o.MaxBytes})
	return bytes.NewReader(b), int64(len(b)), err
}
