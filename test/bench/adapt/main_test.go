package main

import (
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// folder writes a compressed table and returns its folder.
func folder(t *testing.T, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, name+".csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := gzip.NewWriter(f)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSplitLooksAhead holds that a stream's target is the next value, its lags lie behind the
// row, and the first 30 % of the rows that have a target are the model's.
func TestSplitLooksAhead(t *testing.T) {
	var text strings.Builder
	text.WriteString("y,x,gone\n")
	for i := range 11 {
		fmt.Fprintf(&text, "%d,%d,7\n", 100+i, i)
	}
	s := stream{file: "t", target: "y", drop: []string{"gone"}, ahead: []int{1, 2}}
	head, tail, err := s.split(folder(t, "t", text.String()))
	if err != nil {
		t.Fatal(err)
	}
	const names = "y,x,y -1,y -2,target\n"
	if want := names + "100,0,,,101\n101,1,100,,102\n102,2,101,100,103\n"; string(head) != want {
		t.Errorf("head:\n%swant\n%s", head, want)
	}
	if rows := strings.Split(strings.TrimSpace(strings.TrimPrefix(string(tail), names)), "\n"); len(rows) != 7 || rows[0] != "103,3,102,101,104" || rows[6] != "109,9,108,107,110" {
		t.Errorf("tail: %q", rows)
	}
}

// TestRemainingLife counts the cycles to each engine's last, cut at the limit.
func TestRemainingLife(t *testing.T) {
	s := stream{file: "t", target: "rul", drop: []string{"unit"}, limit: 2}
	head, tail, err := s.split(folder(t, "t", "unit,s\n1,10\n1,11\n1,12\n1,13\n2,20\n2,21\n2,22\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(head)+string(tail), "s,target\n10,2\n11,2\ns,target\n12,1\n13,0\n20,2\n21,1\n22,0\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestQuantile(t *testing.T) {
	if q := quantile([]float64{5, 1, 4, 2, 3}, 0.9); q != 5 {
		t.Errorf("of 1 to 5 the quantile at 0.9 is %v, want the first that covers 90 %%", q)
	}
}
