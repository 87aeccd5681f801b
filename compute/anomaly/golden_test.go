package anomaly

import (
	"crypto/sha256"
	"fmt"
	"testing"
)

// TestSameBitsEverywhere holds states and scores to digests that were written on amd64: go test
// with GOARCH=386, or on arm64, must find the same. The settings and rows are those of the suite;
// rows come from exact sums, since math.Sin is not the same everywhere.
func TestSameBitsEverywhere(t *testing.T) {
	want := map[string]string{
		"cuts":                 "545b3cd662454801",
		"cuts of a few points": "6bd196da6335a8aa",
		"cuts of the newest":   "b3bec65264d2c730",
		"cuts trained":         "5f52587a512096ff",
		"half-space":           "29579f88808794be",
		"half-space runs":      "2b733219e776ee9f",
		"half-space trained":   "d74258a5826f5f08",
		"isolation":            "6b1d1ee026daf6cd",
		"isolation trained":    "ae887d0da0b46df8",
		"pca":                  "cf56503a729b0216",
		"pca refreshed":        "0e17701ced68d506",
		"seasonal":             "b32e49a9cecf33eb",
		"seasonal by rows":     "57b7b3b9fe502eb0",
		"seasonal of three":    "385d3133e0527ce0",
		"seasonal without":     "a02a5bfffcb783c4",
	}
	for name, c := range tested {
		s, err := New(c.name, c.settings, Schema{Columns: make([]string, c.columns), Timed: c.timed})
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		for i := range 1500 {
			x := make([]float64, c.columns)
			for j := range x {
				x[j] = float64((i*i+j*i*7)%101)/7 + float64(i%(20+j))
			}
			fmt.Fprintf(h, "%x ", s.Update(x, int64(i)*minute))
		}
		h.Write(saved(s))
		if got := fmt.Sprintf("%x", h.Sum(nil)[:8]); got != want[name] {
			t.Errorf("%q: %q,", name, got)
		}
	}
}
