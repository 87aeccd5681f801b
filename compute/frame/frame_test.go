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
