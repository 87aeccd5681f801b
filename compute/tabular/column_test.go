package tabular

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/frame"
)

// TestCells holds what a cell means, whichever format it comes from.
func TestCells(t *testing.T) {
	for _, c := range []struct {
		cell    Cell
		missing bool
		number  float64 // NaN: none
		instant int64   // frame.NoTime: none
		name    string
	}{
		{Text(""), true, 0, 0, ""},
		{Text(" NA "), true, 0, 0, ""},
		{Text("nAn"), true, 0, 0, ""},
		{Text("null"), true, 0, 0, ""},
		{Text("?"), true, 0, 0, ""},
		{Number(math.NaN()), true, 0, 0, ""},
		{Cell{}, true, 0, 0, ""},
		{Text(" 1.5"), false, 1.5, 1_500_000, "1.5"},
		{Text("1,5"), false, math.NaN(), frame.NoTime, "1,5"},
		{Cell{kind: text, text: "1,5", form: form{comma: true}}, false, 1.5, 1_500_000, "1.5"},
		{Cell{kind: text, text: "-1.234,5", form: form{comma: true}}, false, -1234.5, -1234_500_000, "-1.234.5"},
		{Text("1,234.5"), false, 1234.5, 1234_500_000, "1,234.5"},
		{Text("1 234 567"), false, 1234567, 1234567e6, "1 234 567"},
		{Text("1\u202f234,5"), false, math.NaN(), frame.NoTime, "1\u202f234,5"},
		{Text("1,23"), false, math.NaN(), frame.NoTime, "1,23"},
		{Text("0,123"), false, math.NaN(), frame.NoTime, "0,123"},
		{Text("1,23,45,678.5"), false, 12345678.5, 12345678_500_000, "1,23,45,678.5"},
		{Text("-1,23,456"), false, -123456, -123456e6, "-1,23,456"},
		{Text("1,2,345"), false, math.NaN(), frame.NoTime, "1,2,345"},
		{Text("123,45,678"), false, math.NaN(), frame.NoTime, "123,45,678"},
		{Cell{kind: text, text: "1.23.456", form: form{comma: true}}, false, math.NaN(), frame.NoTime, "1.23.456"},
		{Text("728.34-"), false, -728.34, -728_340_000, "728.34-"},
		{Text("5 −"), false, -5, -5_000_000, "5 −"},
		{Text("(1,234.50)"), false, -1234.5, -1234_500_000, "(1,234.50)"},
		{Text("-5-"), false, math.NaN(), frame.NoTime, "-5-"},
		{Text("(-5)"), false, math.NaN(), frame.NoTime, "(-5)"},
		{Text("(a)"), false, math.NaN(), frame.NoTime, "(a)"},
		{Text("5 kg-"), false, math.NaN(), frame.NoTime, "5 kg-"},
		{Text("−4"), false, -4, -4_000_000, "−4"},
		{Text("N/A"), true, 0, 0, ""},
		{Text("#N/A"), true, 0, 0, ""},
		{Text("NULL"), true, 0, 0, ""},
		{Text("<NA>"), true, 0, 0, ""},
		{Text("NaT"), true, 0, 0, ""},
		{Text("n/a "), true, 0, 0, ""},
		{Text("TRUE"), false, 1, 1_000_000, "TRUE"},
		{Truth(false), false, 0, 0, "false"},
		{Text("-inf"), false, math.Inf(-1), frame.NoTime, "-inf"},
		{Text("nano"), false, math.NaN(), frame.NoTime, "nano"},
		{Text("2020-01-02"), false, math.NaN(), 1577923200e6, "2020-01-02"},
		{Text("2020-01-02 00:00:01.5"), false, math.NaN(), 1577923201500000, "2020-01-02 00:00:01.5"},
		{Text("2020-01-02T01:00:00+01:00"), false, math.NaN(), 1577923200e6, "2020-01-02T01:00:00+01:00"},
		{Text("02/01/2020 00:00"), false, math.NaN(), frame.NoTime, "02/01/2020 00:00"},
		{Number(1577923200), false, 1577923200, 1577923200e6, "1577923200"},
		{Number(1577923200123), false, 1577923200123, 1577923200123e3, "1577923200123"},
		{Number(1577923200123456), false, 1577923200123456, 1577923200123456, "1577923200123456"},
		{Number(1577923200123456000), false, 1577923200123456000, 1577923200123456, "1.577923200123456e+18"},
		{Number(1e21), false, 1e21, frame.NoTime, "1e+21"},
		{Instant(1577923200e6), false, math.NaN(), 1577923200e6, "2020-01-02T00:00:00Z"},
	} {
		if got := c.cell.Missing(); got != c.missing {
			t.Errorf("%+v: Missing = %v", c.cell, got)
		}
		if c.missing {
			continue
		}
		v, err := c.cell.Number()
		if (err != nil) != math.IsNaN(c.number) || err == nil && v != c.number {
			t.Errorf("%+v: Number = %v, %v, want %v", c.cell, v, err, c.number)
		}
		us, err := c.cell.Instant()
		if (err != nil) != (c.instant == frame.NoTime) || err == nil && us != c.instant {
			t.Errorf("%+v: Instant = %v, %v, want %v", c.cell, us, err, c.instant)
		}
		if got := c.cell.String(); got != c.name {
			t.Errorf("%+v: String = %q, want %q", c.cell, got, c.name)
		}
	}
}

func TestFind(t *testing.T) {
	names := []string{"PM2.5", "pm 10", "PM-10", "TS", "温度"}
	for name, want := range map[string]int{"PM2.5": 0, "pm25": 0, "pm 10": 1, "PM-10": 2, "温度": 4, "湿度": -1, "": -1} {
		if got, err := Find(names, name); got != want || err != nil {
			t.Errorf("Find(%q) = %d, %v, want %d", name, got, err, want)
		}
	}
	if i, err := Find(names, "pm10"); err == nil || !strings.Contains(err.Error(), `"pm 10" or column "PM-10"`) {
		t.Errorf("Find(pm10) = %d, %v, want an error that names both", i, err)
	}
	if got := FindTime(names); got != 3 {
		t.Errorf("FindTime = %d, want 3", got)
	}
	if got := FindTime([]string{"date", "time"}); got != 1 {
		t.Errorf("FindTime = %d, want the column time", got)
	}
}

// TestMatch holds that an equal name comes first, and that no column is read for two names.
func TestMatch(t *testing.T) {
	for _, c := range []struct {
		names, wanted string
		want          string // positions, or part of the error
	}{
		{"a_1 a.1 y", "a_1 a.1", "[0 1]"},
		{"a.1 a_1 y", "a_1 a.1", "[1 0]"},
		{"A_1 a.1 y", "a_1 a.1", "[0 1]"},
		{"A_1 y", "a_1 a.1", `column "A_1" may be "a_1" or "a.1"`},
		{"A_1 a-1 y", "a1", `"a1" may be column "A_1" or column "a-1"`},
		{"a_1 y", "a_1 a.1", "[0 -1]"},
		{"TEMP Druck", "druck temp", "[1 0]"},
		{"ÄB", "äb", "[0]"},
		{"темп", "Темп", "[0]"},
		{"α β", "β α", "[1 0]"},
		{"+ -", "- *", "[1 -1]"},
		{"\u00a0k! \u00a0k?\u00a0", "k? k!", "[1 0]"},
	} {
		got, err := Match(strings.Split(c.names, " "), strings.Fields(c.wanted))
		if err != nil && !strings.Contains(err.Error(), c.want) || err == nil && fmt.Sprint(got) != c.want {
			t.Errorf("Match(%s, %s) = %v, %v, want %s", c.names, c.wanted, got, err, c.want)
		}
	}
}

// TestMarks reads a byte order mark before a quoted header, and spaces around cells.
func TestMarks(t *testing.T) {
	f, err := Read(strings.NewReader("\ufeff\"a\",b\n 1, x\n2,x \n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := &f.Columns[0], &f.Columns[1]; a.Name != "a" || a.Type != frame.Number || !slices.Equal(b.Categories, []string{"x"}) {
		t.Errorf("columns %+v, %+v", a, b)
	}
}

func TestClassesAndCodes(t *testing.T) {
	f, err := Read(strings.NewReader("n,k,x,t,many\n3,b,1.5,2020-01-01,1\n1,a,2,2020-01-02,2\n,,,,\n3,c,1,2020-01-03,3\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{"n": {"1", "3"}, "k": {"a", "b", "c"}, "x": nil, "t": nil} {
		c, err := Column(f, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := Classes(c, 5); !slices.Equal(got, want) || AreClasses(c) != (want != nil) {
			t.Errorf("Classes of %s = %q, are classes: %v; want %q", name, got, AreClasses(c), want)
		}
		if got := Classes(c, 1); got != nil {
			t.Errorf("Classes of %s, at most one = %q", name, got)
		}
	}
	for name, c := range map[string]struct {
		names []string
		want  []float64
	}{
		"n": {[]string{"03", "2"}, []float64{0, math.NaN(), math.NaN(), 0}},
		"k": {[]string{" c", "a"}, []float64{math.NaN(), 1, math.NaN(), 0}},
		"x": {nil, []float64{1.5, 2, math.NaN(), 1}},
	} {
		col, err := Column(f, name)
		if err != nil {
			t.Fatal(err)
		}
		of, err := Codes(col, c.names)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			if got := of(i); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
				t.Errorf("Codes of %s by %q, row %d = %v, want %v", name, c.names, i, got, want)
			}
		}
	}
	for _, name := range []string{"k", "t"} {
		col, err := Column(f, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Codes(col, nil); err == nil {
			t.Errorf("Codes of %s without names are numbers", name)
		}
	}
	if _, err := Column(f, "nosuch"); err == nil || !strings.Contains(err.Error(), "n, k, x, t, many") {
		t.Errorf("Column(nosuch) = %v", err)
	}
}

// TestParquetIsRefused holds what a program without a decoder answers.
func TestParquetIsRefused(t *testing.T) {
	_, err := Open(strings.NewReader("PAR1 and so on"), Options{})
	if err != ErrNoParquet {
		t.Errorf("Open = %v, want ErrNoParquet", err)
	}
	r, err := Open(strings.NewReader("PAR,x\n1,2\n"), Options{})
	if err != nil || r.Fields()[0].Name != "PAR" {
		t.Fatalf("a text that begins alike = %v", err)
	}
	if row, err := r.Next(); err != nil || row[1].String() != "2" || r.Line() != 2 {
		t.Errorf("Next = %+v, %v at line %d", row, err, r.Line())
	}
	if _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end Next = %v", err)
	}
}

// TestCodesNamesTheCell: a number is refused by the cell that is none, not by the first of its
// column.
func TestCodesNamesTheCell(t *testing.T) {
	f, err := Read(strings.NewReader("pm10\n6\n\n7\nxx\n8\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Codes(&f.Columns[0], nil); err == nil || err.Error() != `column "pm10", row 4: "xx" is no number` {
		t.Errorf("Codes = %v, want the fourth row and its text", err)
	}
}

// TestDistinct holds that no way into a table lets a column be meant by the name of another.
func TestDistinct(t *testing.T) {
	for text, want := range map[string]string{
		"a,b,a\n1,2,3\n": `line 1, column 3 "a": column 1 has this name already`,
		"a,,b\n1,2,3\n":  "line 1, column 2: it has no name",
	} {
		if _, err := Open(strings.NewReader(text), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q) = %v, want %q", text, err, want)
		}
		if _, err := Read(strings.NewReader(text), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Read(%q) = %v, want %q", text, err, want)
		}
	}
	if _, err := Open(strings.NewReader("a,A, a,b\n1,2,3,4\n"), Options{}); err != nil {
		t.Errorf("Open of names that differ in case and spaces = %v", err)
	}
}

// TestForeignTexts refuses what would be read as something else, with what to do.
func TestForeignTexts(t *testing.T) {
	for text, want := range map[string]string{
		"a,b\n1,M\xfcnchen\n":                `line 2, column 2 "b": "M\xfcnchen": not UTF-8`,
		"stra\xdfe,b\n1,2\n":                 `line 1, column 1: "stra\xdfe": not UTF-8`,
		"\xff\xfea\x00,\x00b\x00\n\x001\x00": "as UTF-16 has",
	} {
		if f, err := Read(strings.NewReader(text), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Read(%q) = %v, %v, want %q", text, f, err, want)
		}
	}
	f, err := Read(strings.NewReader("a,b\r\n1_0,0x1p4\r\n10,1e3\r\n"), Options{})
	if err != nil || f.Columns[0].Type != frame.Category || f.Columns[1].Type != frame.Category || len(f.Columns[0].Categories) != 2 {
		t.Errorf("Read of identifiers = %+v, %v, want two categories and no number", f, err)
	}
}

// TestEmptyLines: of a table of one column an empty line is a row, so that no row after it moves.
func TestEmptyLines(t *testing.T) {
	for text, want := range map[string][]float64{
		"x\n0.1\n\n0.3\n":     {0.1, math.NaN(), 0.3},
		"x\n\n\n0.3\n":        {math.NaN(), math.NaN(), 0.3},
		"x\r\n1\r\n\r\n2\r\n": {1, math.NaN(), 2},
		"\"x\ny\"\n1\n\n2\n":  {1, math.NaN(), 2},
		"x\n1\n2\n\n\n":       {1, 2},
	} {
		r, err := Open(strings.NewReader(text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []float64
		for last := 0; ; last = r.Line() {
			cells, err := r.Next()
			if err != nil {
				break
			}
			v := math.NaN()
			if !cells[0].Missing() {
				v, _ = cells[0].Number()
			}
			got = append(got, v)
			if r.Line() <= last {
				t.Errorf("%q: row %d stands on line %d, after %d", text, len(got), r.Line(), last)
			}
		}
		if !slices.EqualFunc(got, want, func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }) {
			t.Errorf("rows of %q = %v, want %v", text, got, want)
		}
	}
	f, err := Read(strings.NewReader("x,y\n1,2\n\n3,4\n"), Options{})
	if err != nil || f.Rows != 2 {
		t.Errorf("an empty line among two columns = %+v, %v, want two rows", f, err)
	}
}

// TestNameless: the column of row numbers that pandas writes and separators at the ends of lines are
// no columns, which is said; a value in a column without a name is an error.
func TestNameless(t *testing.T) {
	for _, tt := range []struct{ text, names, note, err string }{
		{",a,b\n0,1,x\n1,2,y\n", "a b", "column 1 has no name and is left out", ""},
		{"a,b,,\n1,x,,\n2,y,,\n", "a b", "", ""},
		{",a,\n0,1,\n", "a", "column 1 has no name", ""},
		{"a,b,\n1,x,\n2,y,7\n", "", "", `line 3, column 3: "7" stands in a column without a name`},
	} {
		var notes []string
		f, err := Read(strings.NewReader(tt.text), Options{Note: func(s string) { notes = append(notes, s) }})
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Read(%q) = %v, want %q", tt.text, err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("Read(%q) = %v", tt.text, err)
			continue
		}
		if got := strings.Join(NamesOf(f), " "); got != tt.names || f.Columns[0].Values[0] != 1 {
			t.Errorf("Read(%q) has the columns %s with %v first, want %s", tt.text, got, f.Columns[0].Values, tt.names)
		}
		if got := strings.Join(notes, "\n"); tt.note == "" && got != "" || !strings.Contains(got, tt.note) {
			t.Errorf("Read(%q) notes %q, want %q", tt.text, got, tt.note)
		}
	}
}

// TestPandasIndex: the index that pandas writes into Parquet is no input.
func TestPandasIndex(t *testing.T) {
	var notes []string
	f, err := Read(strings.NewReader("x,__index_level_0__,y\n1,7,2\n"), Options{Note: func(s string) { notes = append(notes, s) }})
	if err != nil || strings.Join(NamesOf(f), " ") != "x y" || f.Columns[1].Values[0] != 2 || len(notes) != 1 || !strings.Contains(notes[0], "is left out: it is the index of a pandas table") {
		t.Errorf("Read = %v, %v, notes %q", f, err, notes)
	}
}
