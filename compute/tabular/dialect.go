package tabular

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Separators are what may stand between the fields of a text, the most usual first.
const Separators = ",;\t|"

// dialect is how a text is written.
type dialect struct {
	comma  rune
	forms  []form   // by column
	quotes bool     // fields in quotes were seen
	notes  []string // what was found that is not usual
}

// sampleBytes and sampleRows are how much of a text decides its dialect.
const (
	sampleBytes = 1 << 18
	sampleRows  = 2000
)

// sniff finds the dialect of a text from its first lines. What the options say is not looked for.
func sniff(head []byte, o *Options) dialect {
	d := dialect{comma: o.Comma}
	var rows [][]string
	if d.comma == 0 {
		d.comma, rows = separator(head)
		if d.comma != ',' {
			d.notes = append(d.notes, fmt.Sprintf("fields are separated by %s", separatorName(d.comma)))
		}
	} else {
		rows = records(head, d.comma)
	}
	if len(rows) == 0 {
		return d
	}
	_, d.quotes = split(head, d.comma)
	signs := make([]signs, len(rows[0]))
	var all signsOf
	for j := range signs {
		for _, row := range rows[1:] {
			if j < len(row) {
				signs[j].see(strings.TrimSpace(row[j]))
			}
		}
		all.add(&signs[j])
	}
	d.forms = make([]form, len(signs))
	var commas, unsure []string
	for j := range signs {
		s := &signs[j]
		switch {
		case o.Decimal != 0:
			d.forms[j].comma = o.Decimal == ','
		case s.comma != s.point:
			d.forms[j].comma = s.comma > s.point
		default:
			d.forms[j].comma = all.comma > all.point || all.comma == all.point && d.comma == ';'
			if s.grouped != "" && (d.forms[j].comma || strings.Contains(s.grouped, ",")) {
				v, _ := parseNumber(s.grouped, d.forms[j].comma)
				unsure = append(unsure, fmt.Sprintf("column %q: %q is read as %s; say --decimal if it is not", rows[0][j], s.grouped, ClassName(v)))
			}
		}
		if d.forms[j].comma && s.comma > 0 && o.Decimal == 0 {
			commas = append(commas, rows[0][j])
		}
		switch {
		case s.day > 0 && s.month == 0:
			d.forms[j].dates = dayFirst
		case s.month > 0 && s.day == 0:
			d.forms[j].dates = monthFirst
		}
	}
	if len(commas) > 0 {
		list := strings.Join(commas[:min(len(commas), 5)], ", ")
		if len(commas) > 5 {
			list += ", …"
		}
		d.notes = append(d.notes, "numbers have a decimal comma in "+list)
	}
	d.notes = append(d.notes, unsure...)
	return d
}

func separatorName(r rune) string {
	switch r {
	case ';':
		return "semicolons"
	case '\t':
		return "tabs"
	case ',':
		return "commas"
	}
	return strconv.QuoteRune(r)
}

// separator finds what separates the fields: what gives the most lines as many fields as the
// header has, and of equals the most fields.
func separator(head []byte) (rune, [][]string) {
	best, bestRows, bestShare := rune(0), [][]string(nil), 0.0
	for _, c := range Separators {
		rows := records(head, c)
		if len(rows) == 0 || len(rows[0]) < 2 {
			continue
		}
		n := 0
		for _, r := range rows {
			if len(r) == len(rows[0]) {
				n++
			}
		}
		share := float64(n) / float64(len(rows))
		if best == 0 || share > bestShare || share == bestShare && len(rows[0]) > len(bestRows[0]) {
			best, bestRows, bestShare = c, rows, share
		}
	}
	if best != 0 && (best == ',' || bestShare > 0.5) {
		return best, bestRows
	}
	// One column. Commas in its lines are decimal signs, if all of them can be.
	rows := records(head, ',')
	if len(rows) > 1 && len(rows[0]) == 1 && slices.ContainsFunc(rows, func(r []string) bool { return len(r) > 1 }) {
		if only := records(head, ';'); !slices.ContainsFunc(only[1:], func(r []string) bool {
			c := Text(r[0])
			_, ok := parseNumber(strings.TrimSpace(r[0]), true)
			return len(r) != 1 || !ok && !c.Missing()
		}) {
			return ';', only
		}
	}
	return ',', rows
}

// records splits the lines of a text. What cannot be read is a row of too many fields.
func records(head []byte, comma rune) [][]string {
	rows, _ := split(head, comma)
	return rows
}

// split is records, and reports whether fields in quotes were seen.
func split(head []byte, comma rune) (rows [][]string, quotes bool) {
	s := newSplitter(bytes.NewReader(head), comma, sampleBytes)
	for len(rows) < sampleRows {
		row, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			row = make([]string, s.want+1)
		}
		rows = append(rows, slices.Clone(row))
	}
	return rows, s.proper
}

// signs counts what the cells of a column show.
type signs struct {
	comma, point int    // numbers that have this decimal sign
	grouped      string // the first number that has three digits behind its only sign
	day, month   int    // dates that have this first
}

// signsOf is the same of all columns.
type signsOf struct{ comma, point int }

func (s *signsOf) add(of *signs) { s.comma, s.point = s.comma+of.comma, s.point+of.point }

func (s *signs) see(cell string) {
	if cell == "" || len(cell) > 64 {
		return
	}
	if strings.ContainsAny(cell, ",.") {
		if number, _, ok := amount(cell); ok {
			cell = number
		}
		_, comma := parseNumber(cell, true)
		_, point := parseNumber(cell, false)
		switch {
		case comma && point:
			// "1,234" and "1.234": either a decimal sign or thousands
			if strings.Count(cell, ",")+strings.Count(cell, ".") == 1 && s.grouped == "" {
				s.grouped = cell
			}
		case comma:
			s.comma++
		case point:
			s.point++
		}
		return
	}
	if i := strings.IndexByte(cell, '/'); i < 1 || i > 2 {
		if i = strings.IndexByte(cell, '-'); i < 1 || i > 2 {
			return
		}
	}
	if _, err := parseTime(cell, dayFirst); err == nil {
		if _, err := parseTime(cell, monthFirst); err != nil {
			s.day++
		}
	} else if _, err := parseTime(cell, monthFirst); err == nil {
		s.month++
	}
}
