package frame_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
)

func TestAppendAndFrequent(t *testing.T) {
	read := func(text string) *frame.Frame {
		f, err := tabular.Read(strings.NewReader(text), tabular.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := read("x,k\n1,a\n2,b\n")
	if err := f.Append(read("k,x\nc,3\nb,4\n,5\n")); err != nil {
		t.Fatal(err)
	}
	k := &f.Columns[1]
	if f.Rows != 5 || f.Columns[0].Values[4] != 5 || k.Values[2] != 2 || k.Values[3] != 1 || !math.IsNaN(k.Values[4]) {
		t.Errorf("appended %+v", f)
	}
	if got := k.Frequent(2); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("Frequent = %q, want b, a", got)
	}
	if err := f.Append(read("x,k\nq,a\n")); err == nil {
		t.Error("a column of categories was appended to one of numbers")
	}
}

// table is a table of every type, with a missing value in each column.
func table() *frame.Frame {
	nan := math.NaN()
	return &frame.Frame{Rows: 3, Columns: []frame.Column{
		{Name: "x", Values: []float64{1, nan, math.Inf(1)}},
		{Name: "k", Type: frame.Category, Values: []float64{1, 0, nan}, Categories: []string{"a", "b"}},
		{Name: "at", Type: frame.Time, Times: []int64{5, frame.NoTime, -7}},
	}}
}

func TestColumns(t *testing.T) {
	f := table()
	for _, tt := range []struct {
		name, kind string
		missing    int
	}{{"x", "number", 1}, {"k", "category", 1}, {"at", "time", 1}} {
		c, err := f.Column(tt.name)
		if err != nil {
			t.Fatal(err)
		}
		if c.Len() != 3 || c.Missing() != tt.missing || c.Type.String() != tt.kind {
			t.Errorf("column %q: %d rows, %d missing, a %s; want 3, %d, %s", tt.name, c.Len(), c.Missing(), c.Type, tt.missing, tt.kind)
		}
	}
	if c, _ := f.Column("x"); c != &f.Columns[0] {
		t.Error("Column returns a copy, want the column itself")
	}
	if _, err := f.Column("X"); err == nil || err.Error() != `frame: no column "X"` {
		t.Errorf("Column(X) = %v, want that there is none", err)
	}
}

func TestMatrix(t *testing.T) {
	f, nan := table(), math.NaN()
	for _, tt := range []struct {
		names []string
		want  []float64
	}{
		{[]string{"x", "k"}, []float64{1, 1, nan, 0, math.Inf(1), nan}},
		{[]string{"k", "x", "k"}, []float64{1, 1, 1, 0, nan, 0, nan, math.Inf(1), nan}},
		{nil, []float64{}},
	} {
		got, err := f.Matrix(tt.names...)
		if err != nil || !slices.EqualFunc(got, tt.want, same) {
			t.Errorf("Matrix(%q) = %v, %v, want %v", tt.names, got, err, tt.want)
		}
	}
	got, err := f.Matrix("x")
	if err != nil {
		t.Fatal(err)
	}
	if got[0] = 99; f.Columns[0].Values[0] != 1 {
		t.Error("Matrix shares its values with the table")
	}
	for names, want := range map[string]string{"at": `column "at" holds times`, "none": `no column "none"`} {
		if _, err := f.Matrix("x", names); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Matrix(x, %s) = %v, want %q", names, err, want)
		}
	}
}

func same(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

func TestFrequent(t *testing.T) {
	c := frame.Column{Type: frame.Category, Categories: []string{"a", "b", "c", "d"}, Values: []float64{2, 1, math.NaN(), 2, 1, 0}}
	for most, want := range map[int][]string{0: {}, 1: {"b"}, 3: {"b", "c", "a"}, 9: {"b", "c", "a", "d"}} {
		if got := c.Frequent(most); !slices.Equal(got, want) {
			t.Errorf("Frequent(%d) = %q, want %q: equal ones in order of appearance", most, got, want)
		}
	}
	if got := (&frame.Column{Values: []float64{1}}).Frequent(3); got != nil {
		t.Errorf("Frequent of numbers = %q, want nil", got)
	}
}

// TestAppendOfTimes holds that rows come behind those that are there in every type, and that the
// table that was appended stays as it was.
func TestAppendOfTimes(t *testing.T) {
	f, g := table(), table()
	g.Columns[0], g.Columns[2] = g.Columns[2], g.Columns[0] // in another order
	g.Columns[1].Categories = []string{"c", "a"}
	if err := f.Append(g); err != nil {
		t.Fatal(err)
	}
	nan := math.NaN()
	if want := []int64{5, frame.NoTime, -7, 5, frame.NoTime, -7}; f.Rows != 6 || !slices.Equal(f.Columns[2].Times, want) {
		t.Errorf("Append: %d rows with times %v, want 6 with %v", f.Rows, f.Columns[2].Times, want)
	}
	k := &f.Columns[1]
	if want := []float64{1, 0, nan, 0, 2, nan}; !slices.EqualFunc(k.Values, want, same) || !slices.Equal(k.Categories, []string{"a", "b", "c"}) {
		t.Errorf("Append: categories %q at %v, want a, b, c at %v", k.Categories, k.Values, want)
	}
	if g.Rows != 3 || g.Columns[0].Len() != 3 || !slices.Equal(g.Columns[1].Categories, []string{"c", "a"}) || g.Columns[1].Values[0] != 1 {
		t.Errorf("Append changes the table that it appends: %+v", g)
	}
	if err := f.Append(&frame.Frame{Columns: g.Columns[:2], Rows: 3}); err == nil || !strings.Contains(err.Error(), `no column "x"`) {
		t.Errorf("Append of a table without x = %v", err)
	}
}

// TestKeep holds that rows are picked in every type, and that no category stays that no row has.
func TestKeep(t *testing.T) {
	f := table()
	f.Keep(func(row int) bool { return row != 0 })
	nan := math.NaN()
	k := &f.Columns[1]
	if f.Rows != 2 || !slices.Equal(f.Columns[2].Times, []int64{frame.NoTime, -7}) || f.Columns[0].Len() != 2 {
		t.Errorf("Keep: %d rows, %+v", f.Rows, f.Columns)
	}
	if want := []float64{0, nan}; !slices.EqualFunc(k.Values, want, same) || !slices.Equal(k.Categories, []string{"a"}) {
		t.Errorf("Keep: categories %q at %v, want a at %v", k.Categories, k.Values, want)
	}
}
