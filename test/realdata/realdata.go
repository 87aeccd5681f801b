// Package realdata reads the public data sets for the tests of every package. They lie in the folder
// that SKERRY_DATA names, or in shared/data beside the repository, and are no part of it: a test
// whose file is missing is skipped and says what to set.
package realdata

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// Path returns the path of a file or folder below the data's folder, and skips the test where it is
// missing. The elements are joined; without any the folder itself is meant.
func Path(t testing.TB, elem ...string) string {
	t.Helper()
	dir := os.Getenv("SKERRY_DATA")
	if dir == "" {
		dir = beside(t)
	}
	path := filepath.Join(append([]string{dir}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("needs the public data sets: set SKERRY_DATA to their folder (%v)", err)
	}
	return path
}

// beside returns shared/data beside the repository of the working directory.
func beside(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return filepath.Join(d, "..", "shared", "data")
		}
		if d == filepath.Dir(d) {
			t.Fatalf("no go.mod above %s", dir)
		}
	}
}

// CSV reads a compressed table: the place of each column by its name, and the rows below the header.
func CSV(t testing.TB, elem ...string) (columns map[string]int, rows [][]string) {
	t.Helper()
	all, err := csv.NewReader(bytes.NewReader(Gunzip(t, Path(t, elem...)))).ReadAll()
	if err != nil || len(all) == 0 {
		t.Fatalf("%s: %d lines, %v", filepath.Join(elem...), len(all), err)
	}
	columns = map[string]int{}
	for i, name := range all[0] {
		columns[name] = i
	}
	return columns, all[1:]
}

// Gunzip returns what a compressed file holds.
func Gunzip(t testing.TB, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Number is the value of a cell, NaN where it has none.
func Number(cell string) float64 {
	v, err := strconv.ParseFloat(cell, 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// Station returns the numbers of an air station of the fleet by the column's name, by row, NaN where
// one is missing.
func Station(t testing.TB, name string) map[string][]float64 {
	t.Helper()
	columns, rows := CSV(t, "fleet", "beijing_air_"+name+".csv.gz")
	out := map[string][]float64{}
	for _, c := range []string{"PM2.5", "PM10", "SO2", "NO2", "CO", "O3", "TEMP", "PRES", "DEWP", "RAIN", "WSPM"} {
		for _, r := range rows {
			out[c] = append(out[c], Number(r[columns[c]]))
		}
	}
	return out
}
