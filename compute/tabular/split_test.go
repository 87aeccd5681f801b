package tabular

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSplitsWhatWritersWrite: what a writer of RFC 4180 wrote comes back as it was, whatever separators,
// quotes and line breaks its fields have.
func TestSplitsWhatWritersWrite(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 180))
	parts := []string{"", "a", "b c", ",", `"`, `""`, "\n", "\n\n", " ", ";", "é", "x,y"}
	for range 2000 {
		records := [][]string{{"first", "second", "third"}}
		for range 1 + rng.IntN(6) {
			record := make([]string, 3)
			for j := range record {
				for range rng.IntN(4) {
					record[j] += parts[rng.IntN(len(parts))]
				}
			}
			records = append(records, record)
		}
		var b bytes.Buffer
		if err := csv.NewWriter(&b).WriteAll(records); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		s := newSplitter(&b, ',', 1<<16)
		for _, want := range records {
			got, err := s.next()
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%q, %v of %q, want %q", got, err, text, want)
			}
		}
		if got, err := s.next(); !errors.Is(err, io.EOF) {
			t.Fatalf("%q, %v behind the end of %q", got, err, text)
		}
	}
}
