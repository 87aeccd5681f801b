package main

import (
	"testing"
)

// TestTablesComeBack holds that what is written for all contestants is what ours reads: rows of
// float32 numbers into columns.
func TestTablesComeBack(t *testing.T) {
	dir := t.TempDir()
	const rows = 3000 // more than a buffer
	var x, y []float32
	for i := range rows {
		x, y = append(x, float32(i)/3, float32(i%7)), append(y, float32(i%2))
	}
	if err := write(dir, "train", x, y); err != nil {
		t.Fatal(err)
	}
	got, err := read(dir, "train", layout{Columns: 2, Categorical: []int{1}})
	if err != nil {
		t.Fatal(err)
	}
	if got.x.Rows != rows || len(got.x.Columns) != 2 || got.x.Columns[0].Categories || !got.x.Columns[1].Categories {
		t.Fatalf("%d rows, %d columns", got.x.Rows, len(got.x.Columns))
	}
	for i := range rows {
		if got.y[i] != float64(y[i]) || got.x.Columns[0].Values[i] != float64(x[2*i]) || got.x.Columns[1].Values[i] != float64(x[2*i+1]) {
			t.Fatalf("row %d differs", i)
		}
	}
}

func TestMedian(t *testing.T) {
	for want, seconds := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 3, 2}} {
		var rs []result
		for _, s := range seconds {
			rs = append(rs, result{Train: s})
		}
		if got := median(rs, func(r result) float64 { return r.Train }); got != want {
			t.Errorf("median of %v is %v", seconds, got)
		}
	}
}
