package frame

import (
	"bytes"
	"compress/gzip"
	"errors"
	"math"
	"strings"
	"testing"
)

const sample = "t,x,kind,empty\n2020-01-02 03:04:05,1.5,a,\n,NA,b,\n2020-01-02T03:04:06Z,-2e3,a,\n"

func TestReadCSV(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(sample))
	_ = z.Close()
	for name, text := range map[string]string{"plain": sample, "gzip": packed.String()} {
		f, err := ReadCSV(strings.NewReader(text), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if f.Rows != 3 || len(f.Columns) != 4 {
			t.Fatalf("%s: %d rows of %d columns", name, f.Rows, len(f.Columns))
		}
		tm, x, kind, empty := &f.Columns[0], &f.Columns[1], &f.Columns[2], &f.Columns[3]
		if tm.Type != Time || tm.Times[2]-tm.Times[0] != 1_000_000 || tm.Times[1] != NoTime {
			t.Errorf("%s: times %v", name, tm.Times)
		}
		if x.Type != Number || x.Values[0] != 1.5 || x.Values[2] != -2000 || x.Missing() != 1 {
			t.Errorf("%s: numbers %v", name, x.Values)
		}
		if kind.Type != Category || kind.Values[2] != 0 || kind.Categories[1] != "b" {
			t.Errorf("%s: categories %v of %v", name, kind.Values, kind.Categories)
		}
		if empty.Type != Number || empty.Missing() != 3 {
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

func TestReadCSVSaysWhere(t *testing.T) {
	for text, want := range map[string]Error{
		"a,b\n1,2\n3,x\n": {Line: 3, Column: 2, Name: "b"},
		"a,a\n":           {Line: 1, Column: 2, Name: "a"},
		"a,b\n1\n":        {Line: 2, Column: 1},
	} {
		_, err := ReadCSV(strings.NewReader(text), Options{Types: map[string]Type{"b": Number}})
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Line != want.Line || e.Column != want.Column || e.Name != want.Name {
			t.Errorf("ReadCSV(%q) = %v, want line %d, column %d %q", text, err, want.Line, want.Column, want.Name)
		}
	}
	if _, err := ReadCSV(strings.NewReader(sample), Options{MaxBytes: 30}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("ReadCSV beyond MaxBytes = %v, want ErrTooLarge", err)
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := ReadCSV(bytes.NewReader(b), Options{MaxBytes: 1 << 20})
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
