package tabular

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"skerry.dev/compute/frame"
)

const sample = "t,x,kind,empty\n2020-01-02 03:04:05,1.5,a,\n,NA,b,\n2020-01-02T03:04:06Z,-2e3,a,\n"

func TestRead(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(sample))
	_ = z.Close()
	for name, text := range map[string]string{"plain": sample, "gzip": packed.String()} {
		f, err := Read(strings.NewReader(text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if f.Rows != 3 || len(f.Columns) != 4 {
			t.Fatalf("%s: %d rows of %d columns", name, f.Rows, len(f.Columns))
		}
		tm, x, kind, empty := &f.Columns[0], &f.Columns[1], &f.Columns[2], &f.Columns[3]
		if tm.Type != frame.Time || tm.Times[2]-tm.Times[0] != 1_000_000 || tm.Times[1] != frame.NoTime {
			t.Errorf("%s: times %v", name, tm.Times)
		}
		if x.Type != frame.Number || x.Values[0] != 1.5 || x.Values[2] != -2000 || x.Missing() != 1 {
			t.Errorf("%s: numbers %v", name, x.Values)
		}
		if kind.Type != frame.Category || kind.Values[2] != 0 || kind.Categories[1] != "b" {
			t.Errorf("%s: categories %v of %v", name, kind.Values, kind.Categories)
		}
		if empty.Type != frame.Number || empty.Missing() != 3 {
			t.Errorf("%s: empty column %+v", name, empty)
		}
		m, err := f.Matrix("kind", "x")
		if err != nil || len(m) != 6 || m[2] != 1 || !math.IsNaN(m[3]) {
			t.Errorf("%s: Matrix = %v, %v", name, m, err)
		}
		if _, err := f.Matrix("t"); err == nil {
			t.Error("Matrix of a time column gave no error")
		}
	}
}

func TestReadSaysWhere(t *testing.T) {
	for text, want := range map[string]Error{
		"a,b\n1,2\n3,\xff\n": {Line: 3, Column: 2, Name: "b"},
		"a,a\n":              {Line: 1, Column: 2, Name: "a"},
		"a,b\n1\n":           {Line: 2, Column: 1},
	} {
		_, err := Read(strings.NewReader(text), Options{Types: map[string]frame.Type{"b": frame.Number}})
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Line != want.Line || e.Column != want.Column || e.Name != want.Name {
			t.Errorf("Read(%q) = %v, want line %d, column %d %q", text, err, want.Line, want.Column, want.Name)
		}
	}
	if _, err := Read(strings.NewReader(sample), Options{MaxBytes: 30}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("ReadCSV beyond MaxBytes = %v, want ErrTooLarge", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := Read(bytes.NewReader(b), Options{MaxBytes: 1 << 20})
		if err != nil {
			return
		}
		for i := range fr.Columns {
			if fr.Columns[i].Len() != fr.Rows {
				t.Fatalf("column %d has %d of %d rows", i, fr.Columns[i].Len(), fr.Rows)
			}
		}
	})
}

// endless yields the same bytes again and again.
type endless struct {
	text string
	read int64
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.text[int(e.read+int64(i))%len(e.text)]
	}
	e.read += int64(len(p))
	return len(p), nil
}

// TestReadIsBounded feeds what would fill any memory: a line without end, a quote that is
// never closed, columns, cells and categories without number.
func TestReadIsBounded(t *testing.T) {
	var wide strings.Builder
	for i := range 5000 {
		if i > 0 {
			wide.WriteByte(',')
		}
		wide.WriteString("c" + strconv.Itoa(i))
	}
	for name, r := range map[string]io.Reader{
		"line":       io.LimitReader(io.MultiReader(strings.NewReader("a,b\n1,2\n"), &endless{text: "7"}), 10<<30),
		"quote":      io.LimitReader(io.MultiReader(strings.NewReader("a,b\n1,2,\""), &endless{text: "7\n"}), 10<<30),
		"columns":    strings.NewReader(wide.String() + "\n"),
		"cells":      io.LimitReader(io.MultiReader(strings.NewReader("a,b\n"), &endless{text: "1,2\n"}), 10<<20),
		"categories": strings.NewReader("a\nx\ny\nz\n"),
	} {
		src := &seekable{r: r}
		_, err := Read(src, Options{MaxLine: 1 << 20, MaxCells: 1 << 20, MaxCategories: 2, Types: map[string]frame.Type{"a": frame.Category}})
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: ReadCSV = %v, want ErrTooLarge", name, err)
		}
		if src.read > 16<<20 {
			t.Errorf("%s: %d bytes were read before it stopped", name, src.read)
		}
	}
}

// seekable lets a stream that is read once pass for a file.
type seekable struct {
	r    io.Reader
	read int64
}

func (s *seekable) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.read += int64(n)
	return n, err
}

func (s *seekable) Seek(int64, int) (int64, error) { return 0, nil }

// TestReadChangesItsMind holds that a column is what all of its fields are, however late the
// one comes that decides, also from a stream that cannot seek.
func TestReadChangesItsMind(t *testing.T) {
	text := "number,time,mixed,late\n1,2020-01-01,1,\n2,2020-01-02,2020-01-02,\n3,,07,x\n"
	for name, r := range map[string]io.Reader{"file": strings.NewReader(text), "pipe": io.MultiReader(strings.NewReader(text))} {
		f, err := Read(r, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for j, want := range []frame.Type{frame.Number, frame.Time, frame.Category, frame.Category} {
			if c := &f.Columns[j]; c.Type != want || c.Len() != 3 {
				t.Errorf("%s: column %s holds %d of %s, want 3 of %s", name, c.Name, c.Len(), c.Type, want)
			}
		}
		if got := f.Columns[2].Categories; !slices.Equal(got, []string{"1", "2020-01-02", "07"}) {
			t.Errorf("%s: categories %q lost their spelling", name, got)
		}
		if f.Columns[3].Missing() != 2 {
			t.Errorf("%s: %d of 2 missing", name, f.Columns[3].Missing())
		}
	}
}
