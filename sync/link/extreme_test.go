package link

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"skerry.dev/sync/outbox"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
	"skerry.dev/test/extreme"
	"skerry.dev/test/wait"
)

// TestExtremeMessages gives a device messages that no hub should send, as long as the bus takes
// them. Until each is dealt with it takes at most a second and 32 MiB, and the log names what was
// wrong; afterwards telemetry flows as before.
func TestExtremeMessages(t *testing.T) {
	h := startHub(t, t.TempDir(), -1)
	defer h.stop()
	h.mu.Lock()
	h.mute = true // nothing is released but by what the test sends
	h.mu.Unlock()
	var log extreme.Log
	d := newDevice(t, h.srv.ClientURL(), func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		o.ReceiptTimeout = time.Hour
	})
	for range 50 {
		d.put(t, 10)
	}
	wait.For(t, "the link is up", d.link.Up)
	run := d.box.Run()

	publish := func(subject string, doc []byte) {
		if len(doc) > 1<<20 {
			t.Fatalf("%d bytes are more than the bus takes", len(doc))
		}
		if err := h.nc.Publish(subject, doc); err != nil {
			t.Fatal(err)
		}
	}
	generation := uint64(0)
	desired := func(doc []byte) func() {
		return func() {
			publish("desired.dev", doc)
			generation++
			good, _ := json.Marshal(spec.Desired{Device: "dev", Generation: generation})
			publish("desired.dev", good)
			wait.For(t, "the good document behind it", func() bool {
				d.mu.Lock()
				defer d.mu.Unlock()
				return len(d.desired) > 0 && d.desired[len(d.desired)-1] == generation
			})
		}
	}
	done := uint64(0)
	applied := func(doc []byte) func() {
		return func() {
			publish(wire.SubjectApplied("dev"), doc)
			done++
			good, _ := json.Marshal(wire.Applied{Sets: []wire.AppliedSet{{Run: run, Class: wire.ClassEvent, Mark: done}}})
			publish(wire.SubjectApplied("dev"), good)
			want := int64(50*11 - done)
			wait.For(t, "the good message behind it", func() bool { return d.box.Stats().PendingRecords == want })
		}
	}
	sets := func(a wire.Applied) []byte {
		b, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ranges := func(n int, r func(i uint64) wire.Range) []byte {
		s := outbox.Set{}
		for i := range uint64(n) {
			s = append(s, r(i))
		}
		// of a class of which nothing waits here: it is compared, and nothing is released
		return sets(wire.Applied{Sets: []wire.AppliedSet{{Run: run, Class: wire.ClassLabel, Ranges: s}}})
	}
	var many wire.Applied
	for range 8000 {
		many.Sets = append(many.Sets, wire.AppliedSet{Run: run, Class: wire.ClassLabel, Mark: 1})
	}
	assignments := spec.Desired{Device: "dev", Assignments: map[string]spec.Assignment{}}
	for i := range 3000 {
		assignments.Assignments[fmt.Sprint("t", i)] = spec.Assignment{Digest: strings.Repeat("a", 64), Size: 1, Phase: spec.PhaseShadow}
	}
	doc := func(d spec.Desired) []byte { b, _ := json.Marshal(d); return b }
	const mib = 1 << 20
	for _, tt := range []struct {
		name string
		do   func()
		want string // in the log; "" for a value that is taken
	}{
		{"a MiB of junk for desired state", desired(bytes.Repeat([]byte{0xff}, mib)), "desired state refused"},
		{"nested arrays for desired state", desired([]byte(strings.Repeat("[", mib/2) + strings.Repeat("]", mib/2))), "desired state refused"},
		{"nested objects for desired state", desired([]byte(strings.Repeat(`{"a":`, mib/8))), "desired state refused"},
		{"desired state of another device", desired(doc(spec.Desired{Device: strings.Repeat("x", 900_000)})), "for another device"},
		{"a text for a number", desired([]byte(`{"device":"dev","generation":"1"}`)), "desired state refused"},
		{"a number beyond 64 bits", desired([]byte(`{"device":"dev","generation":1e400}`)), "desired state refused"},
		{"3,000 assignments", desired(doc(assignments)), ""},
		{"15,000 tombstones", desired(doc(spec.Desired{Device: "dev", Tombstones: strings.Fields(strings.Repeat(strings.Repeat("b", 64)+" ", 15_000))})), ""},
		{"a MiB of junk for what is applied", applied(bytes.Repeat([]byte{'1'}, mib)), "applied message refused"},
		{"nested arrays for what is applied", applied([]byte(strings.Repeat("[", mib/2))), "applied message refused"},
		{"30,000 ranges backwards", applied(ranges(30_000, func(i uint64) wire.Range { return wire.Range{From: 100_000 - 2*i, To: 100_000 - 2*i} })), ""},
		{"20,000 ranges that overlap", applied(ranges(20_000, func(i uint64) wire.Range { return wire.Range{From: i + 1, To: math.MaxUint64 - i} })), ""},
		{"ranges upside down", applied(ranges(20_000, func(i uint64) wire.Range { return wire.Range{From: math.MaxUint64 - i, To: i} })), ""},
		{"one set 8,000 times", applied(sets(many)), ""},
		{"everything of classes that there are not", applied([]byte(fmt.Sprintf(`{"sets":[{"run":%q,"class":255,"mark":18446744073709551615}]}`, run))), ""},
	} {
		extreme.Within(t, tt.name, tt.do)
		wait.For(t, fmt.Sprintf("%s is named by %q", tt.name, tt.want), func() bool { return strings.Contains(log.Since(0), tt.want) })
	}
	if n := log.Len(); n > 64<<10 {
		t.Errorf("%d bytes of log", n)
	}
	all, _ := json.Marshal(wire.Applied{Sets: []wire.AppliedSet{{Run: run, Class: wire.ClassEvent, Mark: 50}, {Run: run, Class: wire.ClassReading, Mark: 500}}})
	publish(wire.SubjectApplied("dev"), all)
	wait.For(t, "everything released", func() bool { return d.box.Stats().PendingRecords == 0 })
}

// TestRetryOfYears: a hub that sends a device away for years, or for less than nothing, is asked
// again after minutes at most.
func TestRetryOfYears(t *testing.T) {
	for ms, want := range map[int64]time.Duration{math.MaxInt64: maxRetry, 1 << 50: maxRetry, 1500: 1500 * time.Millisecond, 0: 0, math.MinInt64: 0} {
		if got := retryAfter(ms); got != want {
			t.Errorf("retryAfter(%d) = %v, want %v", ms, got, want)
		}
	}
}
