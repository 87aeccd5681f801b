package tabular

import (
	"bytes"
	"fmt"
	"strings"
)

// preambleLines bounds how far down a header is looked for.
const preambleLines = 100

// preamble is an error when the first line of a text is no header, and a later one looks like it:
// the first that has as many fields as the lines after it have, all of them words, and a figure in
// the line after. comma 0 is any; before are the lines in front of head.
func preamble(head []byte, comma rune, before int) error {
	var found error
	for _, c := range Separators {
		if comma != 0 && c != comma {
			continue
		}
		rows, at := firstRows(head, c)
		if regular(rows) { // separated by this, from the first line on
			return nil
		}
		if k := headerBehind(rows); k > 0 && found == nil {
			found = fmt.Errorf("line %d looks like the header, not line %d: it has %d fields separated by %s, as the line after it; delete the lines before it", at[k]+before, at[0]+before, len(rows[k]), separatorName(c))
		}
	}
	return found
}

// firstRows separates the first lines of a text, each by itself, and returns their numbers.
func firstRows(head []byte, comma rune) (rows [][]string, at []int) {
	s := newSplitter(bytes.NewReader(head), comma, sampleBytes)
	for len(rows) < preambleLines {
		line, err := s.read(false)
		if err != nil {
			break
		}
		if strings.TrimSpace(line) != "" {
			s.record = nil
			rows, at = append(rows, s.standing(line)), append(at, s.line)
		}
	}
	return rows, at
}

// regular reports whether all rows have as many fields as the first, which has several and no gaps.
func regular(rows [][]string) bool {
	for _, row := range rows {
		if len(row) < 2 || len(row) != len(rows[0]) {
			return false
		}
	}
	return len(rows) > 0 && !gaps(rows[0])
}

// headerBehind returns the row that looks like the header where the first does not, 0 for none.
func headerBehind(rows [][]string) int {
	for k := 1; k+1 < len(rows); k++ {
		n := len(rows[k])
		if n < 2 || len(rows[k+1]) != n || !words(rows[k]) || words(rows[k+1]) {
			continue
		}
		for _, row := range rows[:k] {
			if len(row) == n && !gaps(row) {
				return 0
			}
		}
		figure := false
		for j := range rows[k+1] {
			c := Text(rows[k+1][j])
			figure = figure || isFigureCell(&c)
		}
		for _, row := range rows[k+1:] {
			figure = figure && len(row) == n
		}
		if figure {
			return k
		}
		return 0
	}
	return 0
}

// words reports whether every field holds something, and no figure.
func words(row []string) bool {
	for _, s := range row {
		if c := Text(s); strings.TrimSpace(s) == "" || isFigureCell(&c) {
			return false
		}
	}
	return true
}

// gaps reports whether a field other than the first is empty.
func gaps(row []string) bool {
	for _, s := range row[1:] {
		if strings.TrimSpace(s) == "" {
			return true
		}
	}
	return false
}
