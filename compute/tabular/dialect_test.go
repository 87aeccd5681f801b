package tabular

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"skerry.dev/compute/frame"
)

func packed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDialects reads one table as spreadsheets, databases and loggers write it.
func TestDialects(t *testing.T) {
	for name, text := range map[string]string{
		"plain":                  "x,k\n1.5,a\n2,b\n",
		"no last line break":     "x,k\n1.5,a\n2,b",
		"of Windows":             "x,k\r\n1.5,a\r\n2,b\r\n",
		"with a byte order mark": "\xef\xbb\xbfx,k\n1.5,a\n2,b\n",
		"in quotes":              "\"x\",\"k\"\n\"1.5\",\"a\"\n\"2\",\"b\"\n",
		"with blanks about":      "x,k\n 1.5 , a\n2\t,b \n",
		"with empty lines":       "x,k\n\n1.5,a\n\n2,b\n\n",
		"with exponents":         "x,k\n15e-1,a\n+2.0E0,b\n",
		"packed":                 string(packed(t, "x,k\n1.5,a\n2,b\n")),
		"packed, with a mark":    string(packed(t, "\xef\xbb\xbfx,k\n1.5,a\n2,b\n")),
		"semicolons":             "x;k\n1,5;a\n2;b\n",
		"semicolons and points":  "x;k\n1.5;a\n2;b\n",
		"tabs":                   "x\tk\n1.5\ta\n2\tb\n",
		"bars":                   "x|k\n1.5|a\n2|b\n",
		"commas in quotes":       "x,k\n\"1,5\",a\n2,b\n",
		"all of it at once":      "\xef\xbb\xbf\"x\";\"k\"\r\n\"1,5\";\"a\"\r\n\"2\";\"b\"\r\n",
		"for a spreadsheet":      "sep=;\nx;k\n1,5;a\n2;b\n",
		"of old Macs":            "x,k\r1.5,a\r2,b\r",
		"of old Macs, then not":  "x,k\r1.5,a\r2,b\r\n",
		"blanks about quotes":    "x,k\n \"1.5\" , \"a\"\n2,b\n",
		"packed in two":          string(packed(t, "x,k\n1.5,a\n")) + string(packed(t, "2,b\n")),
	} {
		for how, r := range map[string]io.Reader{
			"at once":      strings.NewReader(text),
			"from a pipe":  io.MultiReader(strings.NewReader(text)),
			"byte by byte": iotest.OneByteReader(strings.NewReader(text)),
		} {
			f, err := Read(r, Options{})
			if err != nil {
				t.Errorf("%s, %s: Read = %v", name, how, err)
				continue
			}
			x, k := &f.Columns[0], &f.Columns[1]
			if f.Rows != 2 || x.Name != "x" || x.Type != frame.Number || x.Values[0] != 1.5 || x.Values[1] != 2 ||
				k.Name != "k" || k.Type != frame.Category || fmt.Sprint(k.Categories) != "[a b]" {
				t.Errorf("%s, %s: Read = %+v", name, how, f)
			}
		}
	}
}

// TestFilesThatAreRefused names the place of what is wrong, in the lines that an editor counts.
func TestFilesThatAreRefused(t *testing.T) {
	long := packed(t, "x,k\n"+strings.Repeat("1,a\n", 10_000))
	broken := bytes.Clone(long)
	broken[len(broken)-6] ^= 1 // of the checksum
	for name, tt := range map[string]struct {
		text string
		want string
	}{
		"nothing":               {"", "no header line"},
		"a mark alone":          {"\xef\xbb\xbf", "no header line"},
		"empty lines":           {"\n\n\n", "no header line"},
		"a cell too many":       {"x,k\n1,a\n1,a,b\n", "line 3"},
		"a cell too few":        {"x,k\n\n\n1\n", "line 4"},
		"after a quoted break":  {"x,k\n1,\"a\nb\"\n1\n", "line 4"},
		"a quote never closed":  {"x,k\n1,\"a,c\n2,b\n", "line 2, column 1: the quote that opens in this line is never closed"},
		"a quote closed amid":   {"x,k\n1,\"a\"b,c\n2,b\n", "line 2, column 1: a quote closes a field and something else follows"},
		"a quote over lines":    {"x,k\n1,\"a,c\n2\",b,c\n3,d\n", "the record has 3 fields up to line 3, where the quote that opens in line 2 is closed, and must have 2"},
		"one name twice":        {"x,k,x\n1,a,2\n", `line 1, column 3 "x"`},
		"a name that is empty":  {"x,,k\n1,2,a\n", "line 1, column 2"},
		"semicolons, two cells": {"x;k\n1;a\n2,5\n", "line 3"},
		"gzip cut off":          {string(long[:len(long)/2]), "the gzip file is cut off"},
		"gzip cut in its head":  {string(long[:5]), "the gzip file is cut off"},
		"gzip with an error":    {string(broken), "checksum"},
		"gzip, then something":  {string(long) + "x", "something else stands behind it"},
	} {
		_, err := Read(strings.NewReader(tt.text), Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Read = %v, want %q", name, err, tt.want)
		}
	}
	for name, text := range map[string]string{"text": "x,k\n1,a\n", "packed": string(long)} {
		fails := errors.New("the disk fails")
		if _, err := Read(io.MultiReader(strings.NewReader(text[:7]), iotest.ErrReader(fails)), Options{}); !errors.Is(err, fails) {
			t.Errorf("%s from a disk that fails: Read = %v, want its error", name, err)
		}
	}
}

// TestTypesThatAreGiven reads columns by the types of an artifact, where their cells would say
// another, and names the cell that is not of the type.
func TestTypesThatAreGiven(t *testing.T) {
	for _, tt := range []struct {
		cells string
		typ   frame.Type
		want  string // the error
	}{
		{"1 2 3", frame.Category, ""},
		{"1 2 3", frame.Time, ""},
		{"NA NA NA", frame.Category, ""},
		{"NA NA NA", frame.Time, ""},
		{"2026-01-01 2026-01-02 NA", frame.Category, ""},
		{"1 2 NAN", frame.Number, ""},
		{strings.Repeat("NA ", 30) + strings.Repeat("1 ", 19) + strings.Repeat("x ", 20) + "x", frame.Number, `21 of 40 cells are none, the first is line 51, "x"`},
		{strings.Repeat("2026-01-01 ", 19) + strings.Repeat("yesterday ", 20) + "yesterday", frame.Time, `"c" must hold a time in each row: 21 of 40 cells are none, the first is line 21, "yesterday": name the form of its times by --time-format`},
	} {
		text := "c\n" + strings.ReplaceAll(tt.cells, " ", "\n") + "\n"
		f, err := Read(strings.NewReader(text), Options{Types: map[string]frame.Type{"c": tt.typ}})
		switch {
		case tt.want != "":
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s as %s: Read = %v, want %q", tt.cells, tt.typ, err, tt.want)
			}
		case err != nil:
			t.Errorf("%s as %s: Read = %v", tt.cells, tt.typ, err)
		case f.Columns[0].Type != tt.typ || f.Columns[0].Missing() != strings.Count(tt.cells, "NA"):
			t.Errorf("%s as %s: Read = %+v", tt.cells, tt.typ, f.Columns[0])
		}
	}
}

// TestFewUnreadableCells: a column of numbers stays one with a few cells that are none. They are
// missing, and a note says how many, where and what; beyond the share the column is text, and a
// note says so.
func TestFewUnreadableCells(t *testing.T) {
	column := func(good int, bad ...string) string {
		var b strings.Builder
		b.WriteString("v,k\n")
		for i := range good {
			fmt.Fprintf(&b, "%d.5,a\n", i)
		}
		for _, s := range bad {
			fmt.Fprintf(&b, "%s,a\n", s)
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		text    string
		typ     frame.Type
		missing int
		notes   string
	}{
		"none":           {column(40), frame.Number, 0, ""},
		"marks":          {column(20, "N/A", "-", "None", "NULL", "?", "--", "#DIV/0!", "", "unknown"), frame.Number, 9, `column "v": 5 cells count as missing for their words: the first is line 23, "-"`},
		"one":            {column(40, "5%"), frame.Number, 1, `column "v": 1 of 41 cells is no number and counts as missing: the first is line 42, "5%"`},
		"percent":        {"v,k\n5%,a\n7.5 %,b\n,c\n-1%,d\n", frame.Number, 1, `column "v" holds percentages: 5% is read as the number before the sign`},
		"infinite":       {column(4, "inf", "-Infinity"), frame.Number, 2, `column "v": 2 of 6 cells are infinite and count as missing: the first is line 6`},
		"beyond":         {column(40, "a", "b", "c"), frame.Category, 0, `column "v" is read as text: 3 of 43 cells are no number, the first is line 42, "a"`},
		"of few rows":    {column(5, "x"), frame.Category, 0, `1 of 6 cells is no number`},
		"mostly text":    {column(5, "x", "y", "z", "u", "v", "w"), frame.Category, 0, ""},
		"text and marks": {column(0, "x", "none", "-", "NA"), frame.Category, 1, ""},
	} {
		var notes []string
		f, err := Read(strings.NewReader(c.text), Options{Note: func(s string) { notes = append(notes, s) }})
		if err != nil {
			t.Fatal(err)
		}
		v := &f.Columns[0]
		if v.Type != c.typ || v.Missing() != c.missing || f.Rows != v.Len() {
			t.Errorf("%s: %s, %d missing of %d, want %s, %d", name, v.Type, v.Missing(), v.Len(), c.typ, c.missing)
		}
		if got := strings.Join(notes, "\n"); c.notes == "" && got != "" || !strings.Contains(got, c.notes) {
			t.Errorf("%s: notes %q, want %q", name, got, c.notes)
		}
	}
	f, err := Read(strings.NewReader("v,k\n1,NA\n-9,x\n"), Options{Missing: []string{"-9"}})
	if err != nil || f.Columns[0].Missing() != 1 || f.Columns[1].Missing() != 0 || len(f.Columns[1].Categories) != 2 {
		t.Errorf("with marks of its own Read = %+v, %v", f, err)
	}
}

// TestDecimals reads numbers by the sign that the cells of their column show.
func TestDecimals(t *testing.T) {
	for text, want := range map[string]string{
		"a;b\n1,25;0.5\n2,5;1.75\n":     "1.25 2.5|0.5 1.75",
		"a;b\n1.234,5;1\n-2.000,25;2\n": "1234.5 -2000.25|1 2",
		"a;b\n1,234;7\n1,5;8\n":         "1.234 1.5|7 8",
		"a,b\n\"1,234\",1.5\n\"5\",2\n": "1234 5|1.5 2",
		"a,b\n\"1,5\",\"2,25\"\n3,4\n":  "1.5 3|2.25 4",
		"a\tb\n1'234.5\t1\n2\t2\n":      "1234.5 2|1 2",
		"a;b\n1 234,5;1\n2,5;2\n":       "1234.5 2.5|1 2",
	} {
		f, err := Read(strings.NewReader(text), Options{})
		if err != nil {
			t.Errorf("Read(%q) = %v", text, err)
			continue
		}
		var got []string
		for _, c := range f.Columns {
			got = append(got, strings.Trim(fmt.Sprint(c.Values), "[]"))
		}
		if s := strings.Join(got, "|"); s != want {
			t.Errorf("Read(%q) = %s, want %s", text, s, want)
		}
	}
	f, err := Read(strings.NewReader("a;b\n1.234;1\n"), Options{Comma: ';', Decimal: ','})
	if err != nil || f.Columns[0].Values[0] != 1234 {
		t.Errorf("with a decimal comma 1.234 = %+v, %v", f, err)
	}
	if _, err := Read(strings.NewReader("a\n1\n"), Options{Decimal: ';'}); err == nil {
		t.Error("a decimal sign of ; gave no error")
	}
}

// TestLateDecimalComma: a decimal comma behind the rows that decide the dialect makes numbers
// neither a thousand times too large in silence nor a column of text.
func TestLateDecimalComma(t *testing.T) {
	var b strings.Builder
	b.WriteString("x,y\n")
	for i := range 2100 {
		fmt.Fprintf(&b, "%d,%d\n", i, i%97)
	}
	head := b.String()
	var notes []string
	note := func(s string) { notes = append(notes, s) }
	f, err := Read(strings.NewReader(head+"1,\"63,500\"\n"), Options{Note: note})
	if err != nil || f.Columns[1].Values[2100] != 63500 || len(notes) != 1 || !strings.Contains(notes[0], `1 of 2101 cells is read with a comma between thousands, the first is line 2102, "63,500"; say --decimal ,`) {
		t.Errorf("one late group: %v, notes %q", err, notes)
	}
	for _, proof := range []string{"0,750", "12,5"} {
		_, err := Read(strings.NewReader(head+"1,\"63,500\"\n2,\""+proof+"\"\n"), Options{})
		if want := fmt.Sprintf("%q in line 2103 has a decimal comma, so %q in line 2102 may be wrong by a factor of 1,000", proof, "63,500"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %s: %v, want %s", proof, err, want)
		}
	}
}

// TestStrayQuotes: a quote that opens no field costs no rows, and quoted fields of several lines
// stay one. What may be wrong is said, with its line.
func TestStrayQuotes(t *testing.T) {
	long := strings.Repeat("a line of a letter, with \"\"quotes\"\"\n", 30)
	for name, tt := range map[string]struct {
		text string
		want string // the texts of column k
		note string
	}{
		"inches":                {"x,k\n1,12\" pipe\n2,b\n", `12" pipe|b`, ""},
		"an opening one":        {"x,k\n1,\"5 inch\n2,b\n3,c\n", `"5 inch|b|c`, `1 line has a quote that is read as text, since it opens or closes no field: it is line 2, 1,"5 inch`},
		"two opening ones":      {"x,k\n1,\"5 inch\n2,b\n3,\"6 inch\n4,d\n", `"5 inch|b|"6 inch|d`, `2 lines have a quote that is read as text, since it opens or closes no field: the first is line 2`},
		"opens, closes":         {"x,k\n1,\"a\n2,b\n3,c\"\n4,d\n", `"a|b|c"|d`, `it is line 2`},
		"in the first column":   {"k,x\n\"a,1\nb,2\nc\",3\nd,4\n", `"a|b|c"|d`, `it is line 2`},
		"beside a quoted field": {"x,k,l\n1,\"b, c\",\"5 inch\n2,d,e\n", `b, c|d`, `line 2`},
		"two in a line":         {"x,k,l\n1,\"5 inch,12\"\n2,d,e\n", `"5 inch|d`, `line 2`},
		"of two lines":          {"x,k\n1,\"a\nb\"\n2,c\n", "a\nb|c", ""},
		"of an address":         {"x,k\n1,\"Main St 5\nBerlin, Mitte\"\n2,c\n", "Main St 5\nBerlin, Mitte|c", `the quote that opens in line 2, 1,"Main St 5, makes one field of 2 lines: where that is not one text but rows, close the quote`},
		"where others quote":    {"x,k\n0,\"z, y\"\n1,\"a\n2,b\n3,c\"\n4,d\n", "z, y|a\n2,b\n3,c|d", `the quote that opens in line 3, 1,"a, makes one field of 3 lines`},
		"a letter":              {"x,k\n1,\"" + long + "\"\n2,c\n", strings.ReplaceAll(long, `""`, `"`) + "|c", `makes one field of 31 lines`},
		"of Windows":            {"x,k\r\n1,\"a\r\nb\"\r\n2,c\r\n", "a\nb|c", ""},
		"empty lines in it":     {"x,k\n1,\"a\n\n\nb\"\n2,c\n", "a\n\n\nb|c", ""},
		"one column":            {"k\n\"a\nb\"\n\"c\"\n", "a\nb|c", ""},
		"doubled":               {"x,k\n1,\"say \"\"a\"\"\"\n2,\"\"\"\"\n", `say "a"|"`, ""},
	} {
		for how, r := range map[string]io.Reader{"at once": strings.NewReader(tt.text), "byte by byte": iotest.OneByteReader(strings.NewReader(tt.text))} {
			var notes []string
			f, err := Read(r, Options{Note: func(s string) { notes = append(notes, s) }})
			if err != nil {
				t.Errorf("%s, %s: Read = %v", name, how, err)
				continue
			}
			c, err := Column(f, "k")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range c.Values {
				got = append(got, c.Categories[int(v)])
			}
			if s := strings.Join(got, "|"); s != tt.want && s != strings.TrimSpace(tt.want) && strings.ReplaceAll(s, "\n|", "|") != strings.ReplaceAll(tt.want, "\n|", "|") {
				t.Errorf("%s, %s: Read = %q, want %q", name, how, s, tt.want)
			}
			if s := strings.Join(notes, "\n"); tt.note == "" && s != "" || !strings.Contains(s, tt.note) {
				t.Errorf("%s, %s: notes %q, want %q", name, how, s, tt.note)
			}
		}
	}
}

// TestManyStrayQuotes: lines that are looked at again and again cost no time or memory to speak of,
// and the lines of an error are right behind them.
func TestManyStrayQuotes(t *testing.T) {
	var b strings.Builder
	b.WriteString("x,k\n")
	const n = 20_000
	for i := range n {
		fmt.Fprintf(&b, "%d,%s\n", i, []string{`"5 inch`, "b", `"c, d"`, "12\"\""}[i%4])
	}
	f, err := Read(strings.NewReader(b.String()), Options{})
	if err != nil || f.Rows != n {
		t.Errorf("Read = %v", err)
	}
	b.WriteString("1\n")
	_, err = Read(strings.NewReader(b.String()), Options{})
	if e, ok := errors.AsType[*Error](err); !ok || e.Line != n+2 {
		t.Errorf("Read = %v, want line %d", err, n+2)
	}
}

// TestUnits: numbers with one unit or currency beside them are numbers, and a note says so; with
// several they are text, and a note says why.
func TestUnits(t *testing.T) {
	for name, tt := range map[string]struct {
		cells string // separated by |
		want  string // the numbers, "" for categories
		note  string
	}{
		"a currency before":   {"$7.10|$1,234.50|-$3|$-4|NA", "7.1 1234.5 -3 -4 NaN", `column "v" holds numbers with the unit $: $7.10 is read as 7.1`},
		"with a space":        {"€ 5|€ 7.5", "5 7.5", "the unit €"},
		"minus behind":        {"7.5|728.34-|1,234.00-", "7.5 -728.34 -1234", `column "v": 2 of 3 cells are read as negative, for the minus behind or the brackets: the first is line 3, "728.34-"`},
		"in brackets":         {"$ 7.50|($ 1,234.50)|(3)|$ 5", "", `different units, the first $ as in $ 7.50, and none as in line 4, "(3)"`},
		"amounts in brackets": {"$ 7.50|($ 1,234.50)|$ 5", "7.5 -1234.5 5", `1 of 3 cells is read as negative`},
		"lakhs":               {"₹1,23,456.50|₹7|-₹1,00,000", "123456.5 7 -100000", "the unit ₹"},
		"of a country":        {"US$5|US$7", "5 7", "the unit US$"},
		"a code before":       {"EUR 5|EUR 7", "5 7", "the unit EUR"},
		"a code behind":       {"1,234.50 USD|7 USD", "1234.5 7", "the unit USD"},
		"a unit":              {"7.1 kg|8kg|−2 kg", "7.1 8 -2", `the unit kg: 7.1 kg is read as 7.1`},
		"degrees":             {"21.5 °C|20 °C", "21.5 20", "the unit °C"},
		"an exponent":         {"3 m3/h|4 m3/h", "3 4", "the unit m3/h"},
		"a decimal comma":     {"7,1 kg|8,25 kg", "7.1 8.25", "the unit kg"},
		"two units":           {"5 kg|700 g|6 kg", "", `column "v" is read as text: its numbers have different units, the first kg as in 5 kg, and g as in line 3, "700 g"`},
		"two currencies":      {"$5|€5", "", "different units"},
		"a unit and none":     {"5 kg|6 kg|7", "", "different units, the first kg as in 5 kg, and none as in line 4"},
		"mostly none":         {"5 kg" + strings.Repeat("|6", 30), "NaN" + strings.Repeat(" 6", 30), `1 of 31 cells is no number and counts as missing: the first is line 2, "5 kg"`},
		"names":               {"A 5|A 7", "", ""},
		"house numbers":       {"1a|2b|3c|4d|5e|6f|7g", "", ""},
		"names with a number": {"5 red apples|6 red apples", "", ""},
	} {
		var b strings.Builder
		b.WriteString("v;k\n")
		for _, c := range strings.Split(tt.cells, "|") {
			b.WriteString(c + ";x\n")
		}
		var notes []string
		f, err := Read(strings.NewReader(b.String()), Options{Comma: ';', Note: func(s string) { notes = append(notes, s) }})
		if err != nil {
			t.Errorf("%s: Read = %v", name, err)
			continue
		}
		v, got := &f.Columns[0], ""
		if v.Type == frame.Number {
			got = strings.Trim(fmt.Sprint(v.Values), "[]")
		}
		if s := strings.Join(notes, "\n"); got != tt.want || !strings.Contains(s, tt.note) || tt.note == "" && s != "" {
			t.Errorf("%s: Read = %s %q with notes %q, want %q and %q", name, v.Type, got, s, tt.want, tt.note)
		}
	}
	// by the type of an artifact; the classes of a target keep their names
	f, err := Read(strings.NewReader("v\n90°\n0°\n90°\n"), Options{Types: map[string]frame.Type{"v": frame.Number}})
	if err != nil || fmt.Sprint(f.Columns[0].Values) != "[90 0 90]" {
		t.Fatalf("by its type: %+v, %v", f, err)
	}
	names := Classes(&f.Columns[0], 10)
	code, err := Codes(&f.Columns[0], names)
	if err != nil || fmt.Sprint(names) != "[0° 90°]" || code(0) != 1 || code(1) != 0 {
		t.Errorf("classes %q, %v", names, err)
	}
}

// TestDigitsThatAreLost: leading zeros and numbers that a float64 cannot tell apart are said, and
// kept where the column is to be text.
func TestDigitsThatAreLost(t *testing.T) {
	table := "zip,id,n\n00713,9007199254740993,10\n713,9007199254740992,0.5\n01234,5,0\n"
	var notes []string
	o := Options{Note: func(s string) { notes = append(notes, s) }}
	if _, err := Read(strings.NewReader(table), o); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(notes, "\n")
	for _, want := range []string{
		`column "zip": 2 of 3 cells are read without leading zeros, the first is line 2, "00713"; where they are names such as postal codes, fit with --text zip`,
		`column "id": 2 of 3 cells are whole numbers beyond 2^53, of which neighbours become one: the first is line 2, "9007199254740993"; where they are names, fit with --text id`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("notes %q, want %q", got, want)
		}
	}
	if len(notes) != 2 {
		t.Errorf("%d notes, want 2: %q", len(notes), notes)
	}
	notes, o.Text = nil, []string{"zip", "ID"}
	f, err := Read(strings.NewReader(table), o)
	if err != nil || fmt.Sprint(f.Columns[0].Categories, f.Columns[1].Categories) != "[00713 713 01234] [9007199254740993 9007199254740992 5]" || len(notes) != 0 {
		t.Errorf("as text: %+v, %v, notes %q", f, err, notes)
	}
	o.Text = []string{"town"}
	if _, err := Read(strings.NewReader(table), o); err == nil || !strings.Contains(err.Error(), `text: there is no column "town"`) {
		t.Errorf("Read = %v", err)
	}
}

// TestPreamble: lines before the header end the reading with the line that looks like it.
func TestPreamble(t *testing.T) {
	for text, want := range map[string]string{
		"Report of station 5\n\ntime,temp\n2026-01-01,1.5\n2026-01-02,2\n": "line 3 looks like the header, not line 1: it has 2 fields separated by commas",
		"Report\nby me\ntime;temp\n2026-01-01;1,5\n":                       "line 3 looks like the header",
		"Report,,\n,,\ntime,temp,hum\n2026-01-01,1.5,3\n2026-01-02,2,4\n":  "line 3 looks like the header",
		"of a logger\nv2\na\tb\n1\t2\n":                                    "line 3 looks like the header, not line 1: it has 2 fields separated by tabs",
		"sep=;\nReport\na;b\n1;2\n":                                        "line 3 looks like the header, not line 2",
		"name\nSmith, John\nBrown, Ann\n":                                  "wrong number of fields",
		"a,b\n1,2\nx,y\n3,4\n":                                             "",
		"a;b\nx;y\n1;2\n":                                                  "",
		",a,b\nx,y,z\n1,2,3\n":                                             "",
		"v\n1,5\n2,5\n":                                                    "",
	} {
		_, err := Read(strings.NewReader(text), Options{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Read(%q) = %v, want %q", text, err, want)
		}
	}
}

// TestLateOrderOfDates: what shows the order of dates may stand behind the sample; without it the
// dates are text or an error that names the cause.
func TestLateOrderOfDates(t *testing.T) {
	var b strings.Builder
	b.WriteString("d,v\n")
	for i := range 2100 {
		fmt.Fprintf(&b, "%02d/%02d/2026,1.5\n", 1+i%12, 1+(i+1)%12)
	}
	const feb1 = 1769904000000000 // 2026-02-01
	for tail, tt := range map[string]struct {
		first int64
		note  string
	}{
		"04/13/2026,1\n":               {1767312000000000, ""}, // 2026-01-02
		"13/04/2026,1\n":               {feb1, ""},
		"":                             {0, `column "d" is read as text: 2100 of 2100 cells have two meanings, day first or month first, such as "01/02/2026" in line 2: name the layout by --time-format`},
		"13/04/2026,1\n04/13/2026,1\n": {0, `have two meanings`},
	} {
		for _, clock := range []string{"", "d"} {
			var notes []string
			f, err := Read(strings.NewReader(b.String()+tail), Options{Time: clock, Note: func(s string) { notes = append(notes, s) }})
			switch {
			case tt.note != "" && clock != "":
				if err == nil || !strings.Contains(err.Error(), "two meanings") {
					t.Errorf("%q as the time: %v", tail, err)
				}
			case err != nil:
				t.Errorf("%q: %v", tail, err)
			case tt.note != "":
				if s := strings.Join(notes, "\n"); f.Columns[0].Type != frame.Category || !strings.Contains(s, tt.note) {
					t.Errorf("%q: %s, notes %q, want %q", tail, f.Columns[0].Type, s, tt.note)
				}
			case f.Columns[0].Type != frame.Time || f.Columns[0].Times[0] != tt.first || f.Columns[0].Missing() != 0:
				t.Errorf("%q: %s, first %v, notes %q", tail, f.Columns[0].Type, f.Columns[0].Times[:1], notes)
			}
		}
	}
}

// TestCutOff: a last line that a writer was cut off in costs itself alone, said; one in the middle,
// or with a line break behind it, is a mistake.
func TestCutOff(t *testing.T) {
	const rows = "a,b,c\n1,2,3\n4,5,6\n"
	var notes []string
	o := Options{Note: func(s string) { notes = append(notes, s) }}
	f, err := Read(strings.NewReader(rows+"7,8"), o)
	if err != nil || f.Rows != 2 || len(notes) != 1 || !strings.Contains(notes[0], "line 4, the last one, is cut off and left out: it has 2 of 3 fields") {
		t.Errorf("%+v, %v, notes %q", f, err, notes)
	}
	for _, text := range []string{rows + "7,8\n", rows + "7,8\n9,10,11", rows + "7,8,9,10"} {
		if _, err := Read(strings.NewReader(text), o); err == nil || !strings.Contains(err.Error(), "line 4, column 1: wrong number of fields") {
			t.Errorf("%q: %v, want an error", text, err)
		}
	}
}

// TestTruthsAmongNumbers: true and false are 1 and 0 of a column of them, and among other numbers it
// is said.
func TestTruthsAmongNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"a\ntrue\nFALSE\n": "",
		"a\n2015\nTRUE\n":  `column "a": 1 of 2 cells is true or false and read as 1 or 0, the first is line 3, "TRUE"`,
	} {
		var notes []string
		o := Options{Types: map[string]frame.Type{"a": frame.Number}, Note: func(s string) { notes = append(notes, s) }}
		f, err := Read(strings.NewReader(text), o)
		if err != nil || f.Columns[0].Missing() != 0 || strings.Join(notes, "\n") != want {
			t.Errorf("%q: %+v, %v, notes %q, want %q", text, f, err, notes, want)
		}
	}
}

// TestCategoriesAlike: categories that differ in case or blanks alone are told, and are left apart.
func TestCategoriesAlike(t *testing.T) {
	var notes []string
	f, err := Read(strings.NewReader("a,b\nyes,x\nno,y\nYes,z\n\"NO \",w\n"), Options{Note: func(s string) { notes = append(notes, s) }})
	want := `column "a": 2 of its categories differ from others in case or blanks alone, such as "yes" and "Yes": write them alike where they mean one`
	if err != nil || len(f.Columns[0].Categories) != 4 || strings.Join(notes, "\n") != want {
		t.Errorf("%+v, %v, notes %q, want %q", f, err, notes, want)
	}
}

// TestForeignFiles: what is neither text nor Parquet is called what it is.
func TestForeignFiles(t *testing.T) {
	for head, want := range map[string]string{
		"PK\x03\x04\x14\x00\x06\x00":                   "workbook",
		"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00":         "old workbook",
		"\xfd7zXZ\x00\x00\x04":                         "xz -d",
		"BZh91AY&SY\x00\x01":                           "bzip2 -d",
		"\x28\xb5\x2f\xfd\x04\x00":                     "zstd -d",
		"SQLite format 3\x00\x10\x00":                  "SQLite",
		"\xff\xfea\x00,\x00b\x00\n\x001\x00,\x002\x00": "UTF-16",
		"BZh,b\n1,2\n":                                 "",
	} {
		_, err := Read(strings.NewReader(head), Options{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Read(%q) = %v, want %q", head, err, want)
		}
	}
}

// TestSerialDates: days as spreadsheets count them look like seconds of the first day of 1970,
// which is said where all of a column do.
func TestSerialDates(t *testing.T) {
	for text, want := range map[string]bool{
		"ts,v\n46023.041667,1\n46023.083333,2\n":   true,
		"ts,v\n46023.041667,1\n1790000000,2\n":     false,
		"ts,v\n0,1\n1,2\n20000,3\n":                false,
		"ts,v\n2026-01-01,1\n1970-01-01 07:00,2\n": false,
	} {
		var notes []string
		o := Options{Time: "ts", Note: func(s string) { notes = append(notes, s) }}
		if _, err := Read(strings.NewReader(text), o); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(notes, "\n"), `as seconds since then, the first is line 2, "46023.041667": where they are days as spreadsheets count them`); got != want {
			t.Errorf("%q: notes %q, told %v, want %v", text, notes, got, want)
		}
	}
}

// TestFiguresAsText: a column of numbers in a writing that is none here is text, which is said.
func TestFiguresAsText(t *testing.T) {
	for form, told := range map[string]bool{"%d:30:00": true, "(%d.5 to 7)": true, "0x%dF": true, "'%d": true, "%d/1000": true, "A%d": false, "room %d": false} {
		var b strings.Builder
		b.WriteString("v,y\n")
		for i := range 60 {
			fmt.Fprintf(&b, form+",%d\n", 10+i, i)
		}
		var notes []string
		if _, err := Read(strings.NewReader(b.String()), Options{Note: func(s string) { notes = append(notes, s) }}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(notes, "\n"), `column "v" is read as text of 60 different forms`); got != told {
			t.Errorf("%s: notes %q, told %v, want %v", form, notes, got, told)
		}
		notes = nil
		if _, err := Read(strings.NewReader(b.String()), Options{Text: []string{"v"}, Note: func(s string) { notes = append(notes, s) }}); err != nil || len(notes) > 0 {
			t.Errorf("%s as text: notes %q, %v", form, notes, err)
		}
	}
}
