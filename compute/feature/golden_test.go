package feature

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files of the newest ops anew")

// TestGolden holds pipelines as they lie in artifacts, and their values bit for bit, to what they
// were: v1 are the ops of the first artifacts, computed by the program of that time, and all are
// the ops of today.
//
//	GOARCH=386 go test ./compute/feature -run Golden
func TestGolden(t *testing.T) {
	if *update {
		js, err := json.Marshal(full())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/all.json", append(js, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"v1", "all"} {
		js, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var p Pipeline
		if err := json.Unmarshal(js, &p); err != nil {
			t.Fatal(err)
		}
		if again, err := json.Marshal(p); err != nil || !bytes.Equal(append(again, '\n'), js) {
			t.Errorf("%s: the pipeline is written as %s (%v), it was %s", name, again, err, js)
		}
		got := values(t, &p)
		if *update && name != "v1" {
			if err := os.WriteFile("testdata/"+name+".golden", got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile("testdata/" + name + ".golden")
		if err != nil {
			t.Fatal(err)
		}
		g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
		if len(g) != len(w) {
			t.Fatalf("%s: %d columns, want %d", name, len(g), len(w))
		}
		for i := range g {
			if !bytes.Equal(g[i], w[i]) {
				t.Errorf("%s (-want +got)\n-%s\n+%s", name, w[i], g[i])
			}
		}
	}
}

// values lists the bits of each column at every ninth row of a stream, a column a line.
func values(t *testing.T, p *Pipeline) []byte {
	e, err := NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	s := newSensors(21)
	h := NewHistory(len(p.Inputs), p.Rows)
	lines := make([][]byte, p.Width())
	for i := range lines {
		lines[i] = []byte(p.Columns[i].Name)
	}
	dst := make([]float64, p.Width())
	for k := range 250 {
		at, row := s.next()
		h.Push(at, row[:len(p.Inputs)])
		if k%9 != 0 {
			continue
		}
		if err := e.Into(dst, h); err != nil {
			t.Fatal(err)
		}
		for i, v := range dst {
			if math.IsNaN(v) {
				lines[i] = append(lines[i], " NaN"...)
			} else {
				lines[i] = fmt.Appendf(lines[i], " %x", math.Float64bits(v))
			}
		}
	}
	return append(bytes.Join(lines, []byte("\n")), '\n')
}
