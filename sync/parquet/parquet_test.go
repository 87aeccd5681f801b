package parquet

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
)

type row struct {
	Size  float64   `parquet:"size"`
	Count *int32    `parquet:"count,optional"`
	Town  string    `parquet:"town,dict"`
	At    time.Time `parquet:"at,timestamp(millisecond)"`
	Sold  bool      `parquet:"sold"`
	Tags  []string  `parquet:"tags,list"`
	Price float32   `parquet:"price"`
}

func table(n int) (rows []row) {
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range n {
		r := row{Size: rng.NormFloat64(), Town: []string{"oslo", "rome", ""}[i%3], At: time.UnixMilli(int64(i) * 1000), Sold: i%2 == 0, Tags: []string{"x"}, Price: float32(i)}
		if i%5 != 0 {
			c := int32(i)
			r.Count = &c
		}
		rows = append(rows, r)
	}
	return rows
}

func encode(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b, parquet.MaxRowsPerRowGroup(1000), parquet.Compression(&parquet.Zstd))
	if _, err := w.Write(table(n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRead(t *testing.T) {
	file := encode(t, 2500)
	read := func(o tabular.Options) (*frame.Frame, error) { return tabular.Read(bytes.NewReader(file), o) }
	f, err := read(tabular.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if f.Rows != 2500 || len(f.Columns) != 6 {
		t.Fatalf("%d rows of %d columns, want 2500 of 6: the nested one is left out", f.Rows, len(f.Columns))
	}
	for i, want := range table(2500) {
		at := func(name string) float64 {
			c, err := f.Column(name)
			if err != nil {
				t.Fatal(err)
			}
			if c.Type == frame.Time {
				return float64(c.Times[i])
			}
			return c.Values[i]
		}
		if at("size") != want.Size || at("price") != float64(want.Price) || at("at") != float64(want.At.UnixMicro()) || (at("sold") == 1) != want.Sold {
			t.Fatalf("row %d differs from %+v", i, want)
		}
		if c := at("count"); want.Count == nil != math.IsNaN(c) || want.Count != nil && c != float64(*want.Count) {
			t.Fatalf("row %d: count %v", i, c)
		}
		if c := at("town"); want.Town == "" != math.IsNaN(c) {
			t.Fatalf("row %d: town %v of %q", i, c, want.Town)
		}
	}
	if c, _ := f.Column("town"); !slices.Equal(c.Categories, []string{"oslo", "rome"}) {
		t.Errorf("categories %q", c.Categories)
	}
	if _, err := read(tabular.Options{MaxCells: 100}); !errors.Is(err, tabular.ErrTooLarge) {
		t.Errorf("beyond MaxCells: %v, want ErrTooLarge", err)
	}
	if _, err := read(tabular.Options{Types: map[string]frame.Type{"town": frame.Number}}); err == nil || !strings.Contains(err.Error(), `"town" must hold a number in each row`) {
		t.Errorf("another type than wanted: %v", err)
	}
}

// TestReadDamaged cuts and flips a file: an error or a table, never a crash.
func TestReadDamaged(t *testing.T) {
	b := encode(t, 300)
	rng := rand.New(rand.NewPCG(2, 1))
	for range 300 {
		bad := bytes.Clone(b)
		if rng.IntN(2) == 0 {
			bad = bad[:rng.IntN(len(bad))]
		} else {
			for range 1 + rng.IntN(4) {
				bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
			}
		}
		if f, err := tabular.Read(bytes.NewReader(bad), tabular.Options{MaxCells: 1 << 16}); err == nil && len(f.Columns) == 0 {
			t.Fatal("no error and no column")
		}
	}
}
