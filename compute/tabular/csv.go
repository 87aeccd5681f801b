package tabular

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// csvReader reads CSV with a header line, also packed with gzip.
type csvReader struct {
	s      *splitter
	fields []Field
	cells  []Cell
	line   int // of the newest row

	pending bool // a record is read and not returned
	at      int  // its line
	// Of a table of one column, an empty line is a row whose cell is missing. Elsewhere they are
	// nothing; blank counts those before the record that are still to be returned, and after is the
	// line behind the record before.
	blank, after int
	none         [1]Cell
	forms        []form // by column, of the dialect
	notes        []string
	note         func(string) // at the end of the text; nil: none
}

const mark = "\xef\xbb\xbf" // byte order mark

// foreign says what a file is that is neither text nor Parquet, by its first bytes, and what to do;
// "" for none that is known.
func foreign(head []byte) string {
	for _, k := range []struct{ magic, what string }{
		{"PK\x03\x04", "this is a workbook (.xlsx, .ods) or a zip file: save the sheet as CSV, or unpack the file"},
		{"PK\x05\x06", "this is an empty zip file"},
		{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "this is an old workbook (.xls): save the sheet as CSV"},
		{"\xfd7zXZ\x00", "this is compressed by xz, which cannot be read: unpack it (xz -d), or compress it by gzip"},
		{"BZh", "this is compressed by bzip2, which cannot be read: unpack it (bzip2 -d), or compress it by gzip"},
		{"\x28\xb5\x2f\xfd", "this is compressed by zstd, which cannot be read: unpack it (zstd -d), or compress it by gzip"},
		{"7z\xbc\xaf\x27\x1c", "this is a 7z archive: unpack it"},
		{"Rar!\x1a\x07", "this is a rar archive: unpack it"},
		{"ARROW1\x00\x00", "this is a Feather file (Arrow): write it as Parquet or CSV"},
		{"SQLite format 3\x00", "this is an SQLite database: write the table as CSV"},
		{"%PDF-", "this is a PDF: save the table as CSV"},
	} {
		if bytes.HasPrefix(head, []byte(k.magic)) && (k.magic != "BZh" || bytes.HasPrefix(head[len("BZh9"):], []byte("1AY&SY"))) {
			return k.what
		}
	}
	return ""
}

func newCSV(r io.Reader, o *Options) (*csvReader, error) {
	in := bufio.NewReaderSize(r, sampleBytes)
	if head, _ := in.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, gzipError(err)
		}
		in = bufio.NewReaderSize(unpacked{z}, sampleBytes)
	}
	head, _ := in.Peek(sampleBytes)
	if what := foreign(head); what != "" {
		return nil, errors.New(what)
	}
	if bytes.IndexByte(head[:min(len(head), 1<<12)], 0) >= 0 {
		return nil, errors.New("the text has zero bytes, as UTF-16 has: convert the file, for example by iconv -f UTF-16 -t UTF-8")
	}
	if n := bytes.Count(head, []byte("\n")); bytes.Count(head, []byte("\r"))-bytes.Count(head, []byte("\r\n")) > n {
		in = bufio.NewReaderSize(&returns{r: in}, sampleBytes)
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
	if lines, n := comments(head); n > 0 {
		if _, err := in.Discard(n); err != nil {
			return nil, err
		}
		head, skipped = head[n:], skipped+lines
		if o.Note != nil {
			what := "line 1 begins with # and is taken for a comment"
			if lines > 1 {
				what = fmt.Sprintf("%d lines before the header begin with # and are taken for comments", lines)
			}
			o.Note(what)
		}
	}
	whole := err != nil
	if i := bytes.LastIndexByte(head, '\n'); !whole && i > 0 {
		head = head[:i+1] // the last line may be cut off
	}
	if err := preamble(head, o.Comma, skipped); err != nil {
		return nil, err
	}
	d := sniff(head, o)
	c := newSplitter(&limit{r: in, left: o.MaxBytes}, d.comma, o.MaxLine)
	c.line, c.proper = skipped, d.quotes
	header, err := c.next() // the error of Peek comes again
	if errors.Is(err, io.EOF) {
		return nil, errors.New("no header line")
	}
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if len(header) > o.MaxColumns {
		return nil, &Error{
			Line:   c.start,
			Column: o.MaxColumns + 1,
			Err:    fmt.Errorf("%d columns, at most %d: %w", len(header), o.MaxColumns, ErrTooLarge),
		}
	}
	t := &csvReader{s: c, cells: make([]Cell, len(header)), forms: make([]form, len(header)), notes: d.notes, note: o.Note}
	copy(t.forms, d.forms)
	t.after = c.end + 1
	for j, name := range header {
		if !utf8.ValidString(name) {
			return nil, &Error{Line: c.start, Column: j + 1, Err: fmt.Errorf("%q: %w", clip(name), errEncoding)}
		}
		t.fields = append(t.fields, Field{Name: strings.Clone(name), Inferred: true})
	}
	return t, nil
}

func (t *csvReader) Fields() []Field { return t.fields }

func (t *csvReader) Line() int { return t.line }

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

// comments returns how many lines in front of the header begin with #, and their length. The last is
// the header itself, as numpy writes it, where it has as many separators as the line after it and
// that begins with a figure.
func comments(head []byte) (lines, length int) {
	var last []byte
	lastAt := 0
	for length < len(head) {
		line, _, more := bytes.Cut(head[length:], []byte("\n"))
		if !more {
			return 0, 0
		}
		if !bytes.HasPrefix(line, []byte("#")) {
			if lines > 0 && isHeader(last, line) {
				return lines - 1, lastAt
			}
			return lines, length
		}
		last, lastAt = line, length
		lines, length = lines+1, length+len(line)+1
	}
	return 0, 0
}

// isHeader reports whether a line that begins with # names the columns of the line after it.
func isHeader(line, after []byte) bool {
	first := bytes.TrimLeft(after, " \t\"+-.")
	if len(first) == 0 || first[0] < '0' || first[0] > '9' {
		return false
	}
	fields := 0
	for _, sep := range Separators {
		if n := bytes.Count(after, []byte(string(sep))); n > 0 {
			if n == bytes.Count(line, []byte(string(sep))) {
				return true
			}
			fields = n
		}
	}
	return fields == 0
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
	record, err := t.s.next()
	if err == nil && len(record) < len(t.fields) && t.s.cut && t.note != nil {
		t.note(fmt.Sprintf("line %d, the last one, is cut off and left out: it has %d of %d fields, and no line break behind it", t.s.start, len(record), len(t.fields)))
		record, err = nil, io.EOF
	}
	if errors.Is(err, io.EOF) && t.note != nil {
		for _, n := range t.s.quoteNotes() {
			t.note(n)
		}
		t.note = nil
	}
	if err != nil {
		return err
	}
	t.at = t.s.start
	if len(record) != len(t.fields) {
		return &Error{Line: t.at, Column: 1, Err: fmt.Errorf("wrong number of fields: %d (the header has %d, separated by %s)", len(record), len(t.fields), separatorName(rune(t.s.comma)))}
	}
	for j, s := range record {
		if !utf8.ValidString(s) {
			return &Error{Line: t.at, Column: j + 1, Name: t.fields[j].Name, Err: fmt.Errorf("%q: %w", clip(s), errEncoding)}
		}
		t.cells[j] = Cell{kind: text, text: s, form: t.forms[j]}
	}
	if len(record) == 1 {
		t.blank, t.after = t.at-t.after, t.s.end+1
	}
	t.pending = true
	return nil
}

// errEncoding is the cause of every text that is not UTF-8: read on, its categories would match
// nothing later.
var errEncoding = errors.New("not UTF-8: convert the file, for example by iconv -f WINDOWS-1252 -t UTF-8")

// unpacked reads a gzip file, and says what is wrong with it.
type unpacked struct{ z *gzip.Reader }

func (p unpacked) Read(b []byte) (int, error) {
	n, err := p.z.Read(b)
	return n, gzipError(err)
}

func gzipError(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the gzip file is cut off, or something else stands behind it: copy it again")
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		return fmt.Errorf("the gzip file is damaged (%w): copy it again", err)
	}
	return err
}

// limit fails when more than left bytes come, since a small gzip file may unpack to any size.
type limit struct {
	r    io.Reader
	left int64
}

func (l *limit) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, fmt.Errorf("the text: %w", ErrTooLarge)
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("the text: %w", ErrTooLarge)
	}
	return n, err
}

// returns reads a text whose lines end with CR alone, as those of old Macs do, as if they ended with
// LF. A pair of CR and LF is one end all the same.
type returns struct {
	r    io.Reader
	last byte
}

func (t *returns) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	k := 0
	for _, b := range p[:n] {
		if pair := b == '\n' && t.last == '\r'; !pair {
			if p[k] = b; b == '\r' {
				p[k] = '\n'
			}
			k++
		}
		t.last = b
	}
	return k, err
}
