package main

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"skerry.dev/compute/online/hoeffding"
)

// TestPeersPlayTheSameRows holds that the file for other libraries has each row's inputs and then
// its class, and that the stream can be learned and is the same each time.
func TestPeersPlayTheSameRows(t *testing.T) {
	const rows, inputs = 20_000, 6
	s, again := generated(rows, inputs), generated(rows, inputs)
	path := filepath.Join(t.TempDir(), "rows")
	if err := write(path, s); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || len(b) != 8*rows*(inputs+1) {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	for i := range rows {
		for j := range inputs + 1 {
			want := float64(again.Class[i])
			if j < inputs {
				want = again.X[i][j]
			}
			if got := math.Float64frombits(binary.LittleEndian.Uint64(b[8*(i*(inputs+1)+j):])); got != want {
				t.Fatalf("row %d, number %d: %v, want %v", i, j, got, want)
			}
		}
	}
	tree, err := hoeffding.NewTree(s.Schema, hoeffding.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if half := s.Part(0, rows/2); len(half.X) != rows/2 || len(half.Class) != rows/2 {
		t.Errorf("half of the rows are %d and %d", len(half.X), len(half.Class))
	}
	if a := s.Accuracy(tree); a < 0.75 {
		t.Errorf("accuracy %.3f: a tree learns a tree", a)
	}
}
