package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/tabular"
)

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	if err := os.WriteFile(path, []byte("a,b\n1,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := Read(t.Context(), path, tabular.Options{}); err != nil || f.Rows != 1 {
		t.Errorf("Read = %+v, %v", f, err)
	}
	if _, err := Read(t.Context(), path+"x", tabular.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Read of no file = %v", err)
	}
}

// TestRowsWithoutATime: a line of sums at the end of a table costs itself alone, said; a column that
// holds few times is no column of times.
func TestRowsWithoutATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	text := "ts,a,kind\n2024-01-01,1,x\n2024-01-02,2,y\n"
	for i := range 20 {
		text += fmt.Sprintf("2024-02-%02d,%d,x\n", i+1, i)
	}
	if err := os.WriteFile(path, []byte(text+"Total,193,all\n,,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var notes []string
	o := tabular.Options{Time: "ts", Note: func(s string) { notes = append(notes, s) }}
	f, err := Read(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	if said := strings.Join(notes, "\n"); f.Rows != 22 || !strings.Contains(said, `2 of 24 rows have no time in column "ts" and are left out: the first is row 23`) {
		t.Errorf("%d rows, want 22, with the notes:\n%s", f.Rows, said)
	}
	if c := f.Columns[2].Categories; !slices.Equal(c, []string{"x", "y"}) {
		t.Errorf("categories %q, want none of the rows left out", c)
	}
	if err := os.WriteFile(path, []byte("ts,a\n2024-01-01,1\n,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(t.Context(), path, o); err == nil || !strings.Contains(err.Error(), `column "ts" has no time in 1 of 2 rows, the first is row 2`) {
		t.Errorf("Read of a table half of whose rows have no time = %v", err)
	}
}

// TestReadInterrupted holds that the end of the context ends the reading of a table, of a text and
// of a file that is read in parts.
func TestReadInterrupted(t *testing.T) {
	text := filepath.Join(t.TempDir(), "t.csv")
	if err := os.WriteFile(text, []byte("a,b\n1,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{text, "../../sync/parquet/testdata/duckdb-snappy.parquet"} {
		if f, err := Read(t.Context(), path, tabular.Options{}); err != nil || f.Rows == 0 {
			t.Errorf("Read of %s = %v, %v", path, f, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Read(ctx, path, tabular.Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Read of %s after the context has ended = %v, want its error", path, err)
		}
	}
}
