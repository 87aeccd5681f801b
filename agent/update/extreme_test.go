package update

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/sync/spec"
	"skerry.dev/test/extreme"
)

// TestExtremeAssignments gives a device desired state that no hub should send, as long as a message
// may be, and artifacts that are not what they should be. Until each is dealt with it takes at most
// a second and 32 MiB, the log or the report names what was wrong, and the next good model becomes
// active.
func TestExtremeAssignments(t *testing.T) {
	var log extreme.Log
	b := newBenchLogging(t, slog.New(slog.NewTextHandler(&log, nil)))
	var answer atomic.Pointer[http.HandlerFunc]
	b.handle(func(w http.ResponseWriter, r *http.Request) {
		if h := answer.Load(); h != nil {
			(*h)(w, r)
			return
		}
		b.serve(w, r)
	})
	generation := uint64(0)
	good := strings.Repeat("a", 64)
	// give applies a document of n assignments and waits until the manager has looked at them.
	give := func(n int, of func(i int) (string, spec.Assignment)) func() string {
		return func() string {
			generation++
			d := spec.Desired{Generation: generation, Assignments: map[string]spec.Assignment{}}
			for i := range n {
				name, a := of(i)
				a.Generation = generation
				d.Assignments[name] = a
			}
			if err := b.m.Apply(d); err != nil {
				return err.Error()
			}
			return ""
		}
	}
	one := func(name string, a spec.Assignment) func() string {
		return give(1, func(int) (string, spec.Assignment) { return name, a })
	}
	small := spec.Assignment{Digest: good, Size: 1, Phase: spec.PhaseShadow, Target: "models/t/" + good + ".skerry"}
	with := func(change func(*spec.Assignment)) spec.Assignment { a := small; change(&a); return a }
	// served answers a download of a signed artifact of size bytes.
	served := func(size int, handler http.HandlerFunc) func() string {
		return func() string {
			answer.Store(&handler)
			content := bytes.Repeat([]byte{byte(generation)}, size)
			a := spec.Assignment{Digest: digestOf(content), Size: int64(size), Phase: spec.PhaseShadow}
			a.Target = "models/t/" + a.Digest + ".skerry"
			b.signed.mu.Lock()
			b.signed.targets[a.Target] = content
			b.signed.mu.Unlock()
			_ = one("t", a)()
			for range 5000 { // ten seconds, on a machine with much else to do
				if r := b.m.Reported("t"); r != nil && r.Digest == a.Digest && r.Reason != "" {
					return string(r.Phase) + ": " + r.Reason
				}
				time.Sleep(2 * time.Millisecond)
			}
			return "nothing happens"
		}
	}
	for _, tt := range []struct {
		name string
		do   func() string
		want string // in the log or the report; "" for a value that is taken
	}{
		{"3,000 assignments", give(3000, func(i int) (string, spec.Assignment) { return fmt.Sprint("t", i), small }), "one task too many"},
		{"10,000 assignments of no digest", give(10_000, func(i int) (string, spec.Assignment) { return fmt.Sprint("u", i), spec.Assignment{} }), "assignments are ignored"},
		{"a task of 200,000 letters", one(strings.Repeat("x", 200_000), small), "is not valid"},
		{"a task that is a path", one("../../x", small), "../../x"},
		{"a digest that is a path", one("t1", with(func(a *spec.Assignment) { a.Digest = "../../../etc/passwd" })), "../../../etc/passwd"},
		{"a digest of 900,000 letters", one("t1", with(func(a *spec.Assignment) { a.Digest = strings.Repeat("a", 900_000) })), "is not valid"},
		{"an artifact of a terabyte", one("t1", with(func(a *spec.Assignment) { a.Size = 1 << 40 })), fmt.Sprintf("at most %d", artifact.MaxBytes)},
		{"an artifact of less than nothing", one("t1", with(func(a *spec.Assignment) { a.Size = math.MinInt64 })), "is not valid"},
		{"a phase that there is not", one("t1", with(func(a *spec.Assignment) { a.Phase = "everywhere" })), "everywhere"},
		{"a trial without end", one("t1", with(func(a *spec.Assignment) {
			a.Trial = spec.Trial{MinShadow: math.MaxInt32, Probation: math.MinInt32, MaxRegression: math.MaxFloat64, MaxLatencyUS: -1}
		})), ""},
		{"15,000 tombstones", func() string {
			generation++
			d := spec.Desired{Generation: generation}
			for i := range 15_000 {
				d.Tombstones = append(d.Tombstones, digestOf(fmt.Append(nil, i)))
			}
			_ = b.m.Apply(d)
			return ""
		}, ""},
		{"tombstones of no digests", func() string {
			generation++
			_ = b.m.Apply(spec.Desired{Generation: generation, Tombstones: []string{"", strings.Repeat("x", 900_000), "../x"}})
			return ""
		}, ""},
		{"a download without end", served(1000, func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}), "sends more than the 1000 bytes signed"},
		{"a download of other bytes", served(1<<20, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) }), "signed is"},
		{"a download that says it is of exabytes", served(1000, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "9223372036854775807") }), "the server sends 9223372036854775807 bytes"},
		{"a header of 64 KiB", served(1000, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 64<<10))
			http.Error(w, strings.Repeat("x", 1<<20), http.StatusTeapot)
		}), "418"},
		{"an error page of 100 MiB", served(1000, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			for range 100 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}), "HTTP 500"},
	} {
		from := log.Len()
		said := ""
		extreme.Within(t, tt.name, func() { said = tt.do() })
		named := log.Since(from)
		if !strings.Contains(said, tt.want) && !strings.Contains(named, tt.want) {
			t.Errorf("%s: %q and the log\n%.2000s\nname no %q", tt.name, said, named, tt.want)
		}
		if len(named) > 512<<10 {
			t.Errorf("%s: %d bytes of log", tt.name, len(named))
		}
	}
	answer.Store(nil)
	b.activate(generation+1, "model one")
}
