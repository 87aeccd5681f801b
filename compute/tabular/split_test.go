package tabular

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestSplitsWhatWritersWrite: what a writer of RFC 4180 wrote comes back as it was, whatever
// separators, quotes and line breaks its fields have.
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

// TestManyShortLinesInQuotes: a quoted field of very many lines is bounded by its bytes, and takes
// a small multiple of them however short its lines are, whether it is closed or not.
func TestManyShortLinesInQuotes(t *testing.T) {
	const most = 1 << 20
	for name, line := range map[string]string{"empty": "\n", "of two letters": "xy\n"} {
		for _, closed := range []bool{true, false} {
			field := strings.Repeat(line, (most-64)/len(line))
			text := "a,b,y\n1,2,3\n4,5,\"" + field + "\"\n6,7,8\n"
			if !closed {
				text = "a,b,y\n1,2,3\n\"" + field + strings.Repeat(line, 128)
			}
			s := newSplitter(strings.NewReader(text), ',', most)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var last []string
			n, err := 0, error(nil)
			for ; ; n++ {
				var record []string
				if record, err = s.next(); err != nil {
					break
				}
				last = slices.Clone(record)
				if n == 2 && closed && last[2] != field {
					t.Errorf("lines %s: the field came as %d bytes, want %d", name, len(last[2]), len(field))
				}
			}
			runtime.ReadMemStats(&after)
			switch {
			case closed && (!errors.Is(err, io.EOF) || n != 4 || !slices.Equal(last, []string{"6", "7", "8"})):
				t.Errorf("lines %s: %d records and %v, the last %q, want 4 and the end", name, n, err, last)
			case !closed && (!errors.Is(err, ErrTooLarge) || n != 2):
				t.Errorf("lines %s: %d records and %v, want 2 and ErrTooLarge", name, n, err)
			}
			// All that was allocated, freed or not: a buffer that doubles up to 1 MiB is 2 to 4 MiB, the
			// lines are up to 3, the field is 1. With a string for each line it was 113 MiB and more.
			if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 16 {
				t.Errorf("lines %s, closed %v: %d MiB allocated to read %d bytes, want 16 at most", name, closed, got, len(text))
			}
		}
	}
}
