package update

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skerry.dev/sync/spec"
)

// TestRoomForReadings holds that a download leaves room for the readings: it waits and reports why,
// keeps no partial file that it cannot finish, and goes on when there is room.
func TestRoomForReadings(t *testing.T) {
	content := strings.Repeat("0123456789", 300_000)
	for name, tt := range map[string]struct {
		free int64
		part bool // an earlier try left a partial file
		want string
	}{
		"before it begins":    {10e6, false, "waiting: needs 3.0 MB and 16.8 MB for readings beside it, 10.0 MB free"},
		"with a partial file": {17e6, true, "waiting: needs 3.0 MB"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.stop()
			var room atomic.Int64
			room.Store(tt.free)
			b.free = func() (uint64, error) { return uint64(room.Load()), nil }
			b.start()
			var requests atomic.Int64
			b.handle(func(w http.ResponseWriter, r *http.Request) { requests.Add(1); b.serve(w, r) })
			digest := digestOf([]byte(content))
			if tt.part {
				if err := os.WriteFile(b.m.partPath(digest), []byte(content[:1000]), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			b.assign(1, content, spec.PhaseShadow)
			b.reach(spec.PhaseDownloading, tt.want)
			if n := requests.Load(); n > 0 {
				t.Errorf("%d requests for an artifact that has no room", n)
			}
			if _, err := os.Stat(b.m.partPath(digest)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a partial file lies there: %v", err)
			}
			room.Store(1 << 40)
			b.reach(spec.PhaseShadow, "")
		})
	}
}

// TestPartialFileGoes holds that a download which others leave no room for takes its own away.
func TestPartialFileGoes(t *testing.T) {
	content := []byte(strings.Repeat("0123456789", 300_000))
	b := newBench(t)
	b.stop()
	b.signed.targets["x"] = content
	left := uint64(1 << 30)
	f := fetcher{client: b.srv.Client(), auth: func(r *http.Request) { r.Header.Set("Authorization", "Bearer jwt") }, minRate: 1, window: time.Minute, minFree: 16 << 20,
		free: func() (uint64, error) { left -= min(left, 900<<20); return left, nil }}
	path, digest := b.m.partPath(digestOf(content)), digestOf(content)
	err := f.fetch(t.Context(), b.srv.URL+"/"+digest, path, digest, int64(len(content)))
	if !errors.Is(err, errRoom) {
		t.Errorf("fetch on a disk that fills = %v, want that it waits", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the partial file is kept: %v", err)
	}
}

// TestMissingArtifact holds that the reason is reported.
func TestMissingArtifact(t *testing.T) {
	b := newBench(t)
	b.handle(http.NotFound)
	b.assign(1, "model", spec.PhaseShadow)
	b.reach(spec.PhaseDownloading, "the hub does not have the artifact")
}

// TestStoreBacksOff holds that a disk which cannot be written is not tried, and logged, at every
// step.
func TestStoreBacksOff(t *testing.T) {
	b := newBench(t)
	b.stop()
	var log bytes.Buffer
	b.m.log = slog.New(slog.NewTextHandler(&log, nil))
	b.m.opts.Retry = 2 * time.Second
	boom := errors.New("no space left on device")
	for range 100 {
		b.m.notStored(boom)
	}
	if n := strings.Count(log.String(), "not stored"); n != 1 {
		t.Errorf("100 failures within a second are logged %d times, want once", n)
	}
	var waits []time.Duration
	for range 6 {
		b.m.stored.next = time.Now().Add(-time.Millisecond)
		if !b.m.stored.due(time.Now()) {
			t.Fatal("after the wait it is not tried again")
		}
		b.m.notStored(boom)
		waits = append(waits, time.Until(b.m.stored.next).Round(time.Second))
	}
	if waits[0] != 4*time.Second || waits[5] != maxWait {
		t.Errorf("waits %v, want them to double up to %v", waits, maxWait)
	}
	b.m.storeAgain()
	if b.m.stored.failed != 0 || !strings.Contains(log.String(), "stored again") {
		t.Errorf("after a success: %+v\n%s", b.m.stored, log.String())
	}
}
