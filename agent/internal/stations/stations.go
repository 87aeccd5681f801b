// Package stations reads the public air stations for tests on real sensors.
package stations

import (
	"compress/gzip"
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

func table(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(zr).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// Columns reads the numbers of a station, one slice per column without its missing values.
func Columns(t *testing.T, path string) map[string][]float64 {
	rows, out := table(t, path), map[string][]float64{}
	for _, r := range rows[1:] {
		for _, c := range []int{4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15} {
			if v, err := strconv.ParseFloat(r[c], 64); err == nil {
				out[rows[0][c]] = append(out[rows[0][c]], v)
			}
		}
	}
	return out
}

// Pairs reads two columns of a station where it has both.
func Pairs(t *testing.T, a, b string) (as, bs []float64) {
	t.Helper()
	rows := table(t, filepath.Join(Dir(t), "beijing_air_gucheng.csv.gz"))
	i, j := slices.Index(rows[0], a), slices.Index(rows[0], b)
	for _, r := range rows[1:] {
		v, err := strconv.ParseFloat(r[i], 64)
		w, err2 := strconv.ParseFloat(r[j], 64)
		if err == nil && err2 == nil {
			as, bs = append(as, v), append(bs, w)
		}
	}
	return as, bs
}

// Dir is the folder of the public stations; without it the test is skipped.
func Dir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SKERRY_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	dir = filepath.Join(dir, "fleet")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no station data at %s: set SKERRY_DATA to the shared data folder", dir)
	}
	return dir
}
