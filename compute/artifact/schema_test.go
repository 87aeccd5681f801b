package artifact

import (
	"fmt"
	"strings"
	"testing"

	"skerry.dev/compute/feature"
)

// TestCheckSchema names what an artifact has no room for.
func TestCheckSchema(t *testing.T) {
	inputs := func(n, categories, length int) (out []feature.Input) {
		for i := range n {
			in := feature.Input{Name: fmt.Sprintf("c%d", i)}
			for k := range categories {
				in.Categories = append(in.Categories, fmt.Sprintf("%d-%s", k, strings.Repeat("x", length)))
			}
			out = append(out, in)
		}
		return out
	}
	classes := func(n int) (out []string) {
		for k := range n {
			out = append(out, fmt.Sprint(k))
		}
		return out
	}
	for want, m := range map[string]Manifest{
		"":                       {Inputs: inputs(1000, 10, 5), Output: Output{Classes: classes(256)}},
		"5000 inputs":            {Inputs: inputs(5000, 0, 0)},
		"257 classes":            {Inputs: inputs(1, 0, 0), Output: Output{Classes: classes(257)}},
		"the names of 60 inputs": {Inputs: inputs(60, 255, 100)},
		"of free text":           {Inputs: inputs(10, 255, 1000)},
	} {
		if err := CheckSchema(&m); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("CheckSchema = %v, want %q", err, want)
		}
	}
}
