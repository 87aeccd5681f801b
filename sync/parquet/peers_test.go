package parquet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
)

// TestPeers reads one table as pyarrow, polars and DuckDB write it with every codec: each cell is
// that of the same table in CSV. testdata/make.py writes them.
func TestPeers(t *testing.T) {
	text, err := os.Open("testdata/truth.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	want, err := tabular.Read(text, tabular.Options{Types: map[string]frame.Type{"code": frame.Category}})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.parquet")
	if err != nil || len(files) < 21 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var notes []string
		got, err := tabular.Read(bytes.NewReader(b), tabular.Options{Note: func(s string) { notes = append(notes, s) }})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if len(notes) != 1 || !strings.Contains(notes[0], `"tags" is left out: it is nested`) {
			t.Errorf("%s: notes %q, want one that the list is left out", path, notes)
		}
		if n := len(want.Columns); len(got.Columns) != n && !strings.Contains(path, "int96") {
			t.Errorf("%s: %d columns, want %d", path, len(got.Columns), n)
		}
		for i := range got.Columns {
			c := &got.Columns[i]
			w, err := want.Column(c.Name)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			for r := range want.Rows {
				if g, w := show(c, r), show(w, r); g != w {
					t.Errorf("%s: column %s, row %d = %s, want %s", path, c.Name, r+1, g, w)
					break
				}
			}
		}
	}
}

func show(c *frame.Column, row int) string {
	switch {
	case row >= c.Len():
		return "no row"
	case c.Type == frame.Time:
		return fmt.Sprint(c.Times[row])
	case c.Type == frame.Category && c.Values[row] >= 0:
		return c.Categories[int(c.Values[row])]
	}
	return fmt.Sprint(c.Values[row])
}

// TestDamagedLZ4: every single byte of a file may be wrong without a panic or much memory.
func TestDamagedLZ4(t *testing.T) {
	whole, err := os.ReadFile("testdata/pyarrow-v2-lz4.parquet")
	if err != nil {
		t.Fatal(err)
	}
	step := 13
	if testing.Short() {
		step = 101
	}
	for i := 4; i < len(whole)-8; i += step {
		b := bytes.Clone(whole)
		b[i] ^= 0xff
		_, _ = tabular.Read(bytes.NewReader(b), tabular.Options{MaxCells: 1 << 16})
	}
	n := binary.LittleEndian.Uint32(whole[len(whole)-8:])
	if _, err := tabular.Read(bytes.NewReader(whole[int(n):]), tabular.Options{}); err == nil {
		t.Error("a file that is cut off gave no error")
	}
}
