package wasm_test

import (
	"os"
	"strings"
	"testing"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/wasm"
)

// TestCompiled runs what a compiler made, see testdata/compiled.ll.
func TestCompiled(t *testing.T) {
	code, err := os.ReadFile("testdata/compiled.wasm")
	if err != nil {
		t.Fatal(err)
	}
	functions, err := wasm.Inspect(code)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range functions {
		names = append(names, f.String())
	}
	if got := strings.Join(names, " "); got != "product(2 series) quotient(2 series) pick(2 series) count(1 series) largest(rows)" {
		t.Errorf("it has %s", got)
	}
	e := evaluator(t, pipeline(one("c", code), feature.Column{Func: "product", Args: []int{0, 1}}, feature.Column{Func: "pick", Args: []int{0, 1}}, feature.Column{Func: "count", Args: []int{0}},
		feature.Column{Func: "count", Args: []int{1}}, feature.Column{Func: "largest", Args: []int{1}, Rows: 40}))
	for _, c := range []struct{ rows, want []float64 }{{[]float64{6, 4}, []float64{24, 1.5, 1, 1, 4}}, {[]float64{-6, 4}, []float64{-24, -24, 1, 1, 4}}, {[]float64{0, nan}, []float64{nan, nan, 1, 1, -1e300}}} {
		for i, got := range at(t, e, c.rows) {
			if !same(got, c.want[i]) {
				t.Errorf("%v: column %d is %v, want %v", c.rows, i, got, c.want[i])
			}
		}
	}
	if got := at(t, e, []float64{0, 9}, []float64{0, nan}, []float64{0, 3})[4]; got != 9 {
		t.Errorf("the largest of 9, missing and 3 is %v", got)
	}
}
