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
		"a quote inside":        {"x,k\n1,a\"b\n", "line 2, column 4"},
		"a quote never closed":  {"x,k\n1,\"a\n2,b\n", "line 3"},
		"one name twice":        {"x,k,x\n1,a,2\n", `line 1, column 3 "x"`},
		"a name that is empty":  {"x,,k\n1,2,a\n", "line 1, column 2"},
		"semicolons, two cells": {"x;k\n1;a\n2,5;b\n", "line 3"},
		"gzip cut off":          {string(long[:len(long)/2]), "unexpected EOF"},
		"gzip cut in its head":  {string(long[:5]), "unexpected EOF"},
		"gzip with an error":    {string(broken), "checksum"},
		"gzip, then something":  {string(long) + "x", "unexpected EOF"},
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
		{"1 2 x", frame.Number, `line 4, column 1 "c"`},
		{"1 2026-01-01 3", frame.Number, `line 3, column 1 "c"`},
		{"2026-01-01 yesterday NA", frame.Time, `line 3, column 1 "c"`},
		{"NA 1e300 2", frame.Time, `line 3, column 1 "c"`},
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
