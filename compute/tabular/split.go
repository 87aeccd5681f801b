package tabular

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// splitter takes a text apart into records of fields, by the rules of RFC 4180 where they hold. A
// field that begins with a quote ends with one, before a separator or the end of a line, and may
// have separators, line breaks and doubled quotes between. A quote is text where it cannot be that:
// inside a field, or where the record would otherwise not have as many fields as the header. So a
// lone quote, of inches for example, costs no rows. Memory is a few times that of the longest
// record, which has at most max bytes, however many lines these are.
type splitter struct {
	in    *bufio.Reader
	comma byte
	max   int64
	want  int // fields of a record, as the first has; 0 before it

	line int  // the number of the newest line
	cut  bool // it is the last, and no line break stands behind it
	// the lines read in search of the end of a quoted field, each with a line break behind it;
	// those from at on come again
	held       []byte
	at         int
	record     []string // reused
	start, end int      // lines of the newest record

	proper bool // fields in quotes were seen that end in their line: quotes have a meaning here
	text   flaw // records whose quotes are text
	long   flaw // quoted fields that may have taken in whole records
	first  int  // lines of the first of them
	most   int  // and of the longest
}

// longField is how many lines a quoted field has at least to be reported, since few texts have
// them.
const longField = 20

var (
	errOpen  = errors.New(`the quote that opens in this line is never closed: close it, or remove it`)
	errQuote = errors.New(`a quote closes a field and something else follows: double the quotes inside of a quoted field (""), or remove them`)
)

func newSplitter(r io.Reader, comma rune, max int64) *splitter {
	return &splitter{in: bufio.NewReaderSize(r, 1<<16), comma: byte(comma), max: max}
}

// next returns the fields of the next record, which are valid until the call after. Empty lines are
// no records. The number of fields is for the caller to check.
func (s *splitter) next() ([]string, error) {
	s.settle()
	var line string
	for line == "" {
		var err error
		if line, err = s.read(false); err != nil {
			return nil, err
		}
	}
	s.start, s.end = s.line, s.line
	if strings.IndexByte(line, '"') < 0 {
		return s.accept(s.plain(line)), nil
	}
	mark := s.at
	lines, proper, err := s.quoted(line)
	right := err == nil && (s.want == 0 || len(s.record) == s.want)
	if right && lines == 1 {
		s.proper = s.proper || proper
		return s.accept(s.record), nil
	}
	if right {
		rows, figures := s.rows(line, s.held[mark:s.at])
		if !rows || !figures || (lines-1)*(s.want-1) < s.evidence() {
			if rows || lines >= longField {
				if s.long.add(Place{Line: s.start}, line); s.long.n == 1 {
					s.first = lines
				}
				s.most = max(s.most, lines)
			}
			s.end = s.line
			return s.accept(s.record), nil
		}
	}
	given := len(s.record)
	record := s.standing(line)
	if s.want > 0 && len(record) != s.want {
		record = s.plain(line)
	}
	switch {
	case s.want == 0 || len(record) == s.want:
		s.at, s.line = mark, s.start // what was looked at comes again
		s.text.add(Place{Line: s.start}, line)
		return s.accept(record), nil
	case err != nil:
		return nil, &Error{Line: s.start, Column: 1, Err: err}
	case lines > 1:
		return nil, &Error{Line: s.start, Column: 1, Err: fmt.Errorf("the record has %d fields up to line %d, where the quote that opens in line %d is closed, and must have %d: close the quote, or remove it", given, s.line, s.start, s.want)}
	}
	_, _, _ = s.quoted(line)
	return s.record, nil
}

// evidence is how many separators have to stand where those of rows would, in lines that a quoted
// field takes in, for them to be rows: more where quotes have a meaning in the text.
func (s *splitter) evidence() int {
	if s.proper {
		return 6
	}
	return 2
}

func (s *splitter) accept(record []string) []string {
	if s.record = record; s.want == 0 {
		s.want = len(record)
	}
	return record
}

// read returns the next line without its end; when keep is set the line can be given back by again.
func (s *splitter) read(keep bool) (string, error) {
	if s.at < len(s.held) {
		n := bytes.IndexByte(s.held[s.at:], '\n')
		line := string(s.held[s.at : s.at+n])
		s.line, s.at = s.line+1, s.at+n+1
		return line, nil
	}
	line, err := s.fetch()
	if err != nil {
		return "", err
	}
	if s.line++; keep {
		if n := len(line) + 1; len(s.held)+n > cap(s.held) {
			s.held = slices.Grow(s.held, max(n, len(s.held))) // doubled, as append would leave more behind
		}
		s.held = append(append(s.held, line...), '\n')
		s.at = len(s.held)
	}
	return line, nil
}

// settle forgets held lines that cannot be read again, so that they take no more memory than those
// that are still to come. It moves the others: no offset into held stays valid.
func (s *splitter) settle() {
	if s.at == len(s.held) || s.at > 1<<16 && s.at > len(s.held)/2 {
		n := copy(s.held, s.held[s.at:])
		s.held, s.at = s.held[:n], 0
	}
}

// fetch reads a line from the text.
func (s *splitter) fetch() (string, error) {
	b, err := s.in.ReadSlice('\n')
	if err == nil && int64(len(b)) <= s.max { // nearly always
		return trimBreak(b), nil
	}
	all := append([]byte(nil), b...)
	for errors.Is(err, bufio.ErrBufferFull) && int64(len(all)) <= s.max {
		b, err = s.in.ReadSlice('\n')
		all = append(all, b...)
	}
	switch {
	case int64(len(all)) > s.max:
		return "", &Error{Line: s.line + 1, Column: 1, Err: s.tooLong()}
	case err != nil && (!errors.Is(err, io.EOF) || len(all) == 0):
		return "", err
	}
	s.cut = err != nil
	return trimBreak(all), nil
}

func (s *splitter) tooLong() error {
	return fmt.Errorf("a line or quoted field of more than %d bytes: %w", s.max, ErrTooLarge)
}

func trimBreak(b []byte) string {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if n := len(b); n > 0 && b[n-1] == '\r' {
		b = b[:n-1]
	}
	return string(b)
}

// plain separates a line as if it had no quotes.
func (s *splitter) plain(line string) []string {
	record := s.record[:0]
	for {
		i := strings.IndexByte(line, s.comma)
		if i < 0 {
			return append(record, line)
		}
		record, line = append(record, line[:i]), line[i+1:]
	}
}

// quoted separates a record into s.record, and reads on where a quoted field does, which leaves the
// lines in held: lines is how many the record has, or, with an error, how many were looked at.
// proper is true when a quoted field begins and ends in a line.
func (s *splitter) quoted(line string) (lines int, proper bool, err error) {
	lines, s.record = 1, s.record[:0]
	size := int64(len(line))
	for rest := line; ; {
		if s.want > 0 && len(s.record) > s.want { // no more can make it right
			return lines, proper, nil
		}
		body, isQuoted := strings.CutPrefix(s.blanks(rest), `"`)
		if !isQuoted {
			i := strings.IndexByte(rest, s.comma)
			if i < 0 {
				s.record = append(s.record, rest)
				return lines, proper, nil
			}
			s.record, rest = append(s.record, rest[:i]), rest[i+1:]
			continue
		}
		field, end := body, closing(body)
		if end >= 0 {
			field, rest, proper = body[:end], body[end+1:], true
		}
		for from := s.at; end < 0; {
			next, err := s.read(true)
			switch {
			case errors.Is(err, io.EOF):
				return lines, proper, errOpen
			case err != nil:
				return lines, proper, err
			}
			lines++
			if size += int64(len(next)) + 1; size > s.max {
				return lines, proper, s.tooLong()
			}
			if end = closing(next); end >= 0 {
				rest = next[end+1:]
				field = body + "\n" + string(s.held[from:s.at-len(next)-1+end])
			}
		}
		s.record = append(s.record, unquoted(field))
		if rest = s.blanks(rest); rest == "" {
			return lines, proper, nil
		}
		if rest[0] != s.comma {
			return lines, proper, errQuote
		}
		rest = rest[1:]
	}
}

// blanks removes the spaces that may stand around a quoted field.
func (s *splitter) blanks(text string) string { return strings.TrimLeft(text, " ") }

// closing returns where the quote stands that closes the field at the beginning of text, -1 without
// one.
func closing(text string) int {
	for at := 0; ; at += 2 {
		i := strings.IndexByte(text[at:], '"')
		if i < 0 {
			return -1
		}
		if at += i; !strings.HasPrefix(text[at+1:], `"`) {
			return at
		}
	}
}

// unquoted is the text of a quoted field, whose quotes stand doubled in the file.
func unquoted(field string) string { return strings.ReplaceAll(field, `""`, `"`) }

// standing separates a line by itself: quotes hold where they close in it, and are text elsewhere.
func (s *splitter) standing(line string) []string {
	record := s.record[:0]
	for {
		if body, isQuoted := strings.CutPrefix(s.blanks(line), `"`); isQuoted {
			if end := closing(body); end >= 0 {
				field, rest := body[:end], s.blanks(body[end+1:])
				if rest == "" {
					return append(record, unquoted(field))
				} else if rest[0] == s.comma {
					record, line = append(record, unquoted(field)), rest[1:]
					continue
				}
			}
		}
		i := strings.IndexByte(line, s.comma)
		if i < 0 {
			return append(record, line)
		}
		record, line = append(record, line[:i]), line[i+1:]
	}
}

// rows reports whether every line of a record, the first and those held of it, would be one by
// itself, of the right number of fields, and whether figures say so too: the columns in which the
// first line has numbers or times have them in the others, and there is such a column.
func (s *splitter) rows(first string, held []byte) (rows, figures bool) {
	if s.want < 2 {
		return false, false
	}
	own := s.record // s.standing must not touch it
	defer func() { s.record = own }()
	var isFigure []bool
	for k, line := 0, first; ; k++ {
		s.record = nil
		record := s.standing(line)
		if len(record) != s.want {
			return false, false
		}
		for j, field := range record {
			c := Text(field)
			figure := isFigureCell(&c)
			if k == 0 {
				isFigure = append(isFigure, figure && !c.Missing())
				figures = figures || isFigure[j]
			} else if isFigure[j] && !figure && !c.Missing() {
				return true, false
			}
		}
		if len(held) == 0 {
			return true, figures
		}
		end := bytes.IndexByte(held, '\n')
		line, held = string(held[:end]), held[end+1:]
	}
}

func isFigureCell(c *Cell) bool {
	s := strings.TrimSpace(c.text)
	if _, ok := parseNumber(s, false); ok {
		return true
	}
	if _, ok := parseNumber(s, true); ok {
		return true
	}
	if _, err := parseTime(s, dayFirst); err == nil {
		return true
	}
	_, err := parseTime(s, monthFirst)
	return err == nil
}

// quoteNotes describes what was made of quotes that may be stray.
func (s *splitter) quoteNotes() (out []string) {
	if f := &s.text; f.n > 0 {
		what := "1 line has a quote that is read as text, since it opens or closes no field: it is"
		if f.n > 1 {
			what = fmt.Sprintf("%d lines have a quote that is read as text, since it opens or closes no field: the first is", f.n)
		}
		out = append(out, fmt.Sprintf("%s %s, %s; a field that has quotes stands in quotes, with those inside doubled", what, f.place, f.text))
	}
	if f := &s.long; f.n > 0 {
		more := ""
		if f.n > 1 {
			more = fmt.Sprintf(", the first of %d that have up to %d lines", f.n, s.most)
		}
		out = append(out, fmt.Sprintf("the quote that opens in %s, %s, makes one field of %d lines%s: where that is not one text but rows, close the quote in its line, or remove it", f.place, f.text, s.first, more))
	}
	return out
}
