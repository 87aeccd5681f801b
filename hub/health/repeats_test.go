package health

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRepeats holds that what fails each second is logged once a minute with how often it was left
// out, whatever numbers it names; that another kind is logged at once; and that what was left out
// last is told, too.
func TestRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		r := NewRepeats(slog.New(slog.NewTextHandler(&b, nil)))
		lines := func() []string { return strings.Split(strings.TrimSpace(b.String()), "\n") }
		for i := range 150 {
			why := fmt.Sprintf("%d MiB are free", i)
			r.Log(slog.LevelError, why, "not stored", "err", why)
			r.Flush()
			time.Sleep(time.Second)
		}
		want := []string{`err="0 MiB are free"`, `err="60 MiB are free" left_out=59`, `err="120 MiB are free" left_out=59`}
		for i, line := range lines() {
			if i >= len(want) || !strings.HasSuffix(line, want[i]) || !strings.Contains(line, "level=ERROR") {
				t.Fatalf("150 failures in 150 s are logged as\n%s", b.String())
			}
		}
		r.Log(slog.LevelWarn, "the bus is gone", "not read")
		if l := lines(); len(l) != 4 || !strings.Contains(l[3], "level=WARN") {
			t.Fatalf("another kind is not logged at once:\n%s", b.String())
		}
		time.Sleep(time.Minute)
		r.Flush()
		if l := lines(); len(l) != 5 || !strings.HasSuffix(l[4], `err="149 MiB are free" left_out=29`) {
			t.Fatalf("what was left out last is not told:\n%s", b.String())
		}
		time.Sleep(time.Minute)
		if r.Flush(); len(r.kinds) != 0 || len(lines()) != 5 {
			t.Errorf("%d kinds are remembered for good, lines\n%s", len(r.kinds), b.String())
		}
	})
}

// TestRepeatsAreBounded holds that endless new kinds take no more memory, and lose no count.
func TestRepeatsAreBounded(t *testing.T) {
	var b bytes.Buffer
	r := NewRepeats(slog.New(slog.NewTextHandler(&b, nil)))
	for range 3 {
		r.Log(slog.LevelError, "first", "first")
	}
	for i := range 3 * maxRepeats {
		r.Log(slog.LevelError, strings.Repeat("x", i%200)+string(rune('a'+i/200))+strings.Repeat("y", 1000), "another")
	}
	if len(r.kinds) > maxRepeats || !strings.Contains(b.String(), "msg=first left_out=2") {
		t.Errorf("%d kinds are remembered, first left out: %v", len(r.kinds), strings.Contains(b.String(), "left_out=2"))
	}
}
