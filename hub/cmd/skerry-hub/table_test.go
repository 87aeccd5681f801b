package main

import (
	"bytes"
	"testing"
	"text/tabwriter"
	"time"
)

// TestFigures holds how sizes and durations are printed for people.
func TestFigures(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 9999: "9999 B", 12345: "12.3 kB", 17_500_000: "17.5 MB", 4 << 30: "4295.0 MB", 20e9: "20.0 GB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{350 * time.Microsecond: "350µs", 2500 * time.Millisecond: "2.5s", 90 * time.Minute: "1h30m", 11 * 24 * time.Hour: "11 days"} {
		if got := span(d); got != want {
			t.Errorf("span(%d) = %q, want %q", d, got, want)
		}
	}
}

// TestFacts holds that a document becomes one fact a line, times as such, and nothing that is empty.
func TestFacts(t *testing.T) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	facts(w, "TITLE", []byte(`{"train_to": 1769860800000000, "rows": 1234567, "empty": "", "none": null, "inner": {"mae": 0.25, "names": ["a", "b"]}, "board": [{"learner": "gbdt"}]}`))
	w.Flush()
	at := time.UnixMicro(1769860800000000).Local().Format(time.RFC3339)
	want := "\nTITLE\nboard[0].learner gbdt\ninner.mae        0.25\ninner.names      a, b\nrows             1234567\ntrain_to         " + at + "\n"
	if b.String() != want {
		t.Errorf("facts = %q, want %q", b.String(), want)
	}
	b.Reset()
	for _, doc := range []string{"", "{}", "null", "{"} {
		facts(&b, "TITLE", []byte(doc))
	}
	if b.Len() > 0 {
		t.Errorf("facts of nothing = %q", b.String())
	}
}
