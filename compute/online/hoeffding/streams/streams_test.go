package streams

import (
	"bytes"
	"compress/gzip"
	"math"
	"strings"
	"testing"

	"skerry.dev/compute/online"
	"skerry.dev/compute/online/hoeffding"
)

func packed(t *testing.T, text string) *bytes.Reader {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b.Bytes())
}

const table = "id,a,kind,b\n1,0.5,up,2\n2,,down,3\n3,1.5,up,x\n"

func TestRead(t *testing.T) {
	s, err := Read(packed(t, table), "kind", false, "id")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.X) != 3 || s.Schema.Classes != 2 || len(s.Schema.Inputs) != 2 || s.Schema.Inputs[1].Name != "b" || s.Class[0] != 0 || s.Class[1] != 1 || s.Class[2] != 0 {
		t.Errorf("read %+v", s)
	}
	if s.X[0][0] != 0.5 || !math.IsNaN(s.X[1][0]) || s.X[1][1] != 3 || !math.IsNaN(s.X[2][1]) {
		t.Errorf("rows %v", s.X)
	}
	for _, tt := range []struct {
		text, target string
		regression   bool
		want         string
	}{
		{table, "nope", false, `no column "nope"`},
		{table, "kind", true, `row 1: "up" is not a number`},
		{"a,b\n1\n", "a", false, "wrong number of fields"},
	} {
		if _, err := Read(packed(t, tt.text), tt.target, tt.regression); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}

// TestPrequential counts by hand: the first of equal classes is predicted before anything was
// learned.
func TestPrequential(t *testing.T) {
	s := &Stream{Schema: online.Schema{Classes: 2, Inputs: []online.Input{{Name: "a"}}}, X: [][]float64{{1}, {1}, {1}, {1}}, Class: []int{1, 1, 1, 0}}
	c, err := hoeffding.NewTree(s.Schema, hoeffding.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Accuracy(c); got != 0.5 {
		t.Errorf("accuracy %v, want 0.5", got)
	}
	n := &Stream{Schema: online.Schema{Inputs: s.Schema.Inputs}, X: s.X[:2], Y: []float64{4, 6}}
	r, err := hoeffding.NewRegressionTree(n.Schema, hoeffding.RegressionOptions{Leaf: hoeffding.Mean})
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Error(r); got != 3 {
		t.Errorf("error %v, want (4 + 2) / 2", got)
	}
}
