package tabular

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// csvReader reads CSV with a header line, also packed with gzip.
type csvReader struct {
	r      *csv.Reader
	fields []Field
	cells  []Cell
	line   int // of the newest row

	pending bool // a record is read and not returned
	at      int  // its line
	// Of a table of one column, an empty line is a row whose cell is missing. The package csv skips
	// empty lines; blank counts those before the record that are still to be returned, and after is
	// the line behind the record before.
	blank, after int
	none         [1]Cell
	forms        []form // by column, of the dialect
	skipped      int    // lines before the header
	notes        []string
}

const mark = "\xef\xbb\xbf" // byte order mark

func newCSV(r io.Reader, o *Options) (*csvReader, error) {
	in := bufio.NewReaderSize(r, sampleBytes)
	if head, _ := in.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = bufio.NewReaderSize(z, sampleBytes)
	}
	head, _ := in.Peek(1 << 12)
	switch {
	case bytes.IndexByte(head, 0) >= 0:
		return nil, errors.New("the text has zero bytes, as UTF-16 has: convert the file, for example by iconv -f UTF-16 -t UTF-8")
	case bytes.IndexByte(head, '\r') >= 0 && bytes.IndexByte(head, '\n') < 0:
		return nil, errors.New(`the lines end with CR alone: convert the file, for example by tr '\r' '\n'`)
	}
	if bytes.HasPrefix(head, []byte(mark)) {
		if _, err := in.Discard(len(mark)); err != nil {
			return nil, err
		}
	}
	head, err := in.Peek(sampleBytes)
	skipped := 0
	if comma, n := declared(head); n > 0 {
		if o.Comma == 0 {
			o.Comma = comma
		}
		if _, err := in.Discard(n); err != nil {
			return nil, err
		}
		head, skipped = head[n:], 1
	}
	d := sniff(head, err != nil, o)
	c := csv.NewReader(&limit{r: in, left: o.MaxBytes, line: o.MaxLine, max: o.MaxLine})
	c.ReuseRecord, c.Comma = true, d.comma
	header, err := c.Read() // the error of Peek comes again
	if errors.Is(err, io.EOF) {
		return nil, errors.New("no header line")
	}
	if err != nil {
		return nil, fmt.Errorf("header: %w", place(err))
	}
	if len(header) > o.MaxColumns {
		return nil, &Error{
			Line:   1 + skipped,
			Column: o.MaxColumns + 1,
			Err:    fmt.Errorf("%d columns, at most %d: %w", len(header), o.MaxColumns, ErrTooLarge),
		}
	}
	t := &csvReader{r: c, cells: make([]Cell, len(header)), forms: make([]form, len(header)), skipped: skipped, notes: d.notes}
	copy(t.forms, d.forms)
	t.after = 2 + strings.Count(strings.Join(header, ""), "\n")
	for j, name := range header {
		if !utf8.ValidString(name) {
			return nil, &Error{Line: 1, Column: j + 1, Err: fmt.Errorf("%q: %w", clip(name), errEncoding)}
		}
		t.fields = append(t.fields, Field{Name: strings.Clone(name), Inferred: true})
	}
	return t, nil
}

func (t *csvReader) Fields() []Field { return t.fields }

func (t *csvReader) Line() int { return t.line + t.skipped }

// declared reads a first line that tells a spreadsheet the separator, such as sep=; and returns its
// length, 0 without one.
func declared(head []byte) (comma rune, length int) {
	i := bytes.IndexByte(head, '\n')
	if i < 0 || !bytes.HasPrefix(head, []byte("sep=")) && !bytes.HasPrefix(head, []byte(`"sep=`)) {
		return 0, 0
	}
	line := strings.Trim(strings.TrimRight(string(head[:i]), "\r"), `"`)
	if s := line[len("sep="):]; len(s) == 1 && strings.Contains(Separators, s) {
		return rune(s[0]), i + 1
	}
	return 0, 0
}

func (t *csvReader) Next() ([]Cell, error) {
	if !t.pending {
		if err := t.read(); err != nil {
			return nil, err
		}
	}
	if t.blank > 0 {
		t.line, t.blank = t.at-t.blank, t.blank-1
		return t.none[:], nil
	}
	t.line, t.pending = t.at, false
	return t.cells, nil
}

// read takes the next record from the file.
func (t *csvReader) read() error {
	record, err := t.r.Read()
	if err != nil {
		return t.place(err)
	}
	for j, s := range record {
		if !utf8.ValidString(s) {
			line, _ := t.r.FieldPos(j)
			return &Error{Line: line + t.skipped, Column: j + 1, Name: t.fields[j].Name, Err: fmt.Errorf("%q: %w", clip(s), errEncoding)}
		}
		t.cells[j] = Cell{kind: text, text: s, form: t.forms[j]}
	}
	t.at, _ = t.r.FieldPos(0)
	if len(record) == 1 {
		t.blank, t.after = t.at-t.after, t.at+1+strings.Count(record[0], "\n")
	}
	t.pending = true
	return nil
}

// errEncoding is the cause of every text that is not UTF-8: read on, its categories would match
// nothing later.
var errEncoding = errors.New("not UTF-8: convert the file, for example by iconv -f WINDOWS-1252 -t UTF-8")

// place is the function of that name, with the lines that were skipped.
func (t *csvReader) place(err error) error {
	err = place(err)
	if e, ok := errors.AsType[*Error](err); ok {
		e.Line += t.skipped
		if errors.Is(e.Err, csv.ErrFieldCount) {
			e.Err = fmt.Errorf("%w (the header has %d, separated by %s)", e.Err, len(t.fields), separatorName(t.r.Comma))
		}
	}
	return err
}

// place turns the csv reader's own errors into ours.
func place(err error) error {
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
