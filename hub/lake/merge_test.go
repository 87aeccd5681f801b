package lake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skerry.dev/configs"
	"skerry.dev/hub/lake"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// days stages and compacts n readings of each device on each day, day by day in four moves, values
// that do not compress. It returns the time after the last.
func (f *fixture) days(t testing.TB, l *lake.Lake, days, n int, devices ...string) time.Time {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	for d := range days {
		for part := range 4 {
			for _, dev := range devices {
				records := &wire.Records{}
				for i := range n / 4 {
					records.Readings = append(records.Readings, wire.Reading{
						Series: fmt.Sprintf("s%d", i%3),
						Time:   noon + int64(d)*day + int64(part)*3600e6 + int64(i)*1e6,
						Value:  r.Float64(),
					})
				}
				f.put(t, dev, wire.ClassReading, 1+(d*4+part)*(n/4), records)
			}
			compact(t, l)
		}
	}
	return time.UnixMicro(noon + int64(days-1)*day).Add(6 * time.Hour)
}

// merge merges and returns what that did.
func merge(t testing.TB, l *lake.Lake, now time.Time) lake.Merged {
	t.Helper()
	m, err := l.Merge(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// small is a lake whose files are large from 64 KiB on.
func small(f *fixture, opts lake.Options) *lake.Lake {
	opts.FileBytes = 64 << 10
	return lake.New(f.db, f.blobs, opts)
}

// TestMerge holds that files grow to their size but for those of the newest day, that every reading
// is there once and in order, for every device and range, and that a second merge finds nothing to
// do.
func TestMerge(t *testing.T) {
	f := newFixture(t)
	l := small(f, lake.Options{})
	now := f.days(t, l, 30, 1200, "a", "a-device-with-a-long-name", "b")
	before := map[string][]lake.Reading{}
	for _, dev := range []string{"a", "a-device-with-a-long-name", "b"} {
		before[dev] = read(t, l, dev)
	}
	m := merge(t, l, now)
	files := f.files(t, wire.ClassReading)
	if len(files) > 20 || m.Files < 100 || m.Equal != 0 {
		t.Errorf("%d files after %+v, want few and no equal readings", len(files), m)
	}
	today := now.Format(time.DateOnly)
	for _, file := range files {
		if file.Date < today && (file.Bytes < 64<<10 || file.Bytes > 5*64<<10) {
			t.Errorf("%s has %d bytes, want 64 to 320 KiB", file.Path, file.Bytes)
		}
		st, err := os.Stat(filepath.Join(f.dir, "lake", file.Path))
		if err != nil || st.Size() != file.Bytes {
			t.Errorf("file %s: %v, want %d bytes", file.Path, err, file.Bytes)
		}
	}
	for dev, want := range before {
		if got := read(t, l, dev); !slices.Equal(got, want) {
			t.Errorf("%s has %d readings after the merge, %d before, or others", dev, len(got), len(want))
		}
		from, to := noon+10*day, noon+12*day-1
		got := collect(t, l.Readings(t.Context(), dev, nil, from, to))
		if want := slices.DeleteFunc(slices.Clone(want), func(r lake.Reading) bool { return r.Time < from || r.Time > to }); !slices.Equal(got, want) || len(got) != 2400 {
			t.Errorf("%s has %d readings of two days, want %d", dev, len(got), len(want))
		}
		var paged []lake.Reading
		for after := (lake.Key{}); len(paged) < len(want); {
			n := len(paged)
			for r, err := range l.ReadingsAfter(t.Context(), dev, nil, math.MinInt64, math.MaxInt64, after) {
				if err != nil {
					t.Fatal(err)
				}
				if len(paged)-n == 7000 {
					break
				}
				paged = append(paged, r)
			}
			if len(paged) == n {
				break
			}
			after = lake.Key{Ordinal: paged[len(paged)-1].RunOrdinal, Seq: paged[len(paged)-1].Seq}
		}
		if !slices.Equal(paged, want) {
			t.Errorf("%s: paging yields %d readings, want the same %d", dev, len(paged), len(want))
		}
	}
	if m := merge(t, l, now); m.Files != 0 {
		t.Errorf("a second merge = %+v, want nothing to do", m)
	}
	if err := l.Verify(t.Context(), 1<<30); err != nil || l.Err() != nil {
		t.Errorf("Verify = %v, %v", err, l.Err())
	}
	// A late reading joins the file of its time.
	f.put(t, "a", wire.ClassReading, 1_000_000, &wire.Records{Readings: []wire.Reading{{Series: "s0", Time: noon + 3*day + 5, Value: 1}}})
	compact(t, l)
	n := len(f.files(t, wire.ClassReading))
	if m := merge(t, l, now); m.Files != 2 || m.Into != 1 || len(f.files(t, wire.ClassReading)) != n-1 {
		t.Errorf("a late reading: merge = %+v, want two files made one", m)
	}
}

// TestMergeClasses merges each class: what is too little for a large file becomes one.
func TestMergeClasses(t *testing.T) {
	f := newFixture(t)
	l := lake.New(f.db, f.blobs, lake.Options{})
	for i := range 5 {
		at := noon + int64(i)*day
		f.put(t, "a", wire.ClassAlarm, i+1, &wire.Records{Events: []wire.Event{{Time: at, Kind: "x", Detail: `{"n":1}`}}})
		f.put(t, "a", wire.ClassEvent, i+1, &wire.Records{Events: []wire.Event{{Time: at, Kind: "y", Detail: "{}"}}})
		f.put(t, "a", wire.ClassHost, i+1, &wire.Records{Hosts: []wire.Host{{Time: at, Metric: "cpu", Value: 1}}})
		f.put(t, "a", wire.ClassLabel, i+1, &wire.Records{Labels: []wire.Label{{Task: "flow", Row: at, Truth: float64(i)}}})
		f.put(t, "a", wire.ClassPrediction, i+1, &wire.Records{Predictions: []wire.Prediction{{Task: "flow", Row: at, Value: math.NaN()}}})
		f.put(t, "a", wire.ClassReading, i+1, &wire.Records{Readings: []wire.Reading{{Series: "s", Time: at, Value: math.Inf(1)}}})
		compact(t, l)
	}
	if m := merge(t, l, time.UnixMicro(noon+9*day)); m.Files != 30 || m.Into != 6 || m.Equal != 0 {
		t.Errorf("Merge = %+v, want 30 files made 6", m)
	}
	for _, file := range f.files(t, 0) {
		if file.Rows != 5 || file.Date != "2023-11-15" {
			t.Errorf("%s has %d rows from %s on, want all five from the first day on", file.Path, file.Rows, file.Date)
		}
	}
	if got := collect(t, l.Labels(t.Context(), "a", "flow", noon+day, noon+3*day)); len(got) != 3 || got[0].Truth != 1 {
		t.Errorf("labels = %+v, want those of three days", got)
	}
	if got := collect(t, l.Predictions(t.Context(), "a", "flow", math.MinInt64, math.MaxInt64)); len(got) != 5 {
		t.Errorf("%d predictions, want 5", len(got))
	}
}

// TestEqualReadings holds that of readings equal in series, time and value one is left, the first,
// and that all else stays: another value, another series, another device, what a device flagged.
func TestEqualReadings(t *testing.T) {
	f := newFixture(t)
	l := lake.New(f.db, f.blobs, lake.Options{})
	first := []wire.Reading{
		{Series: "s", Time: noon, Value: 1},
		{Series: "s", Time: noon, Value: 2, Flags: wire.FlagConflict},
		{Series: "s", Time: noon + 1, Value: math.NaN()},
		{Series: "u", Time: noon, Value: 1},
	}
	f.put(t, "a", wire.ClassReading, 1, &wire.Records{Readings: first})
	f.put(t, "b", wire.ClassReading, 1, &wire.Records{Readings: first})
	compact(t, l)
	f.put(t, "a", wire.ClassReading, 5, &wire.Records{Readings: first}) // all four again
	f.put(t, "a", wire.ClassReading, 9, &wire.Records{Readings: []wire.Reading{
		{Series: "s", Time: noon, Value: 2},
		{Series: "s", Time: noon + day, Value: 1},
	}})
	compact(t, l)
	if m := merge(t, l, time.UnixMicro(noon+9*day)); m.Equal != 4 {
		t.Errorf("Merge = %+v, want four equal readings left out", m)
	}
	var seqs []int64
	for _, r := range read(t, l, "a") {
		seqs = append(seqs, r.Seq)
	}
	if want := []int64{1, 2, 3, 4, 9, 10}; !slices.Equal(seqs, want) {
		t.Errorf("left of a are %v, want %v", seqs, want)
	}
	if n := len(read(t, l, "b")); n != 4 {
		t.Errorf("left of b are %d, want its 4", n)
	}
	if c, err := l.ExactlyOnce(t.Context(), "a"); err != nil || c.Equal != 4 {
		t.Errorf("ExactlyOnce = %+v, %v, want four counted as equal", c, err)
	}
	if s, err := l.Summary(t.Context()); err != nil || s.Equal != 4 || len(s.Classes) != 1 || s.Classes[0].Rows != 10 || s.Retired.Files != 3 {
		t.Errorf("Summary = %+v, %v, want 10 rows, 4 equal and 3 files in grace", s, err)
	}

	// Two files with the same rows make one that is the first of them to the byte.
	g := newFixture(t)
	l = lake.New(g.db, g.blobs, lake.Options{})
	g.put(t, "a", wire.ClassReading, 1, &wire.Records{Readings: first})
	compact(t, l)
	g.put(t, "a", wire.ClassReading, 5, &wire.Records{Readings: first})
	compact(t, l)
	merge(t, l, time.UnixMicro(noon+9*day))
	if err := l.Expire(t.Context(), time.UnixMicro(noon+99*day)); err != nil {
		t.Fatal(err)
	}
	if n := len(read(t, l, "a")); n != 4 {
		t.Errorf("%d readings after a merge into the same file, want 4", n)
	}
}

// TestMergeCrash stops the merge before every step it takes, starts again, and finds every reading
// once; and no file but those of the manifest and those in their grace period.
func TestMergeCrash(t *testing.T) {
	for fail := 0; ; fail++ {
		f := newFixture(t)
		step, on := 0, false
		opts := lake.Options{Step: func(string) error {
			if !on {
				return nil
			}
			if step++; step-1 == fail {
				return errCrash
			}
			return nil
		}}
		l := small(f, opts)
		now := f.days(t, l, 3, 1200, "a", "b")
		f.put(t, "a", wire.ClassReading, 1_000_000, &wire.Records{Readings: []wire.Reading{{Series: "s0", Time: noon, Value: read(t, l, "a")[0].Value}}})
		compact(t, l)
		on = true
		_, err := l.Merge(t.Context(), now)
		err = errors.Join(err, l.Expire(t.Context(), now.AddDate(0, 0, 8)))
		done := err == nil
		if !done && !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		if done && fail < 8 {
			t.Fatalf("only %d steps", fail)
		}
		again := small(f, lake.Options{})
		if got := len(read(t, again, "b")); got != 3600 {
			t.Fatalf("crash at step %d: %d readings, want 3600", fail, got)
		}
		if err := again.Sweep(t.Context(), nil, 0); err != nil {
			t.Fatal(err)
		}
		merge(t, again, now)
		for _, dev := range []string{"a", "b"} {
			c, err := again.ExactlyOnce(t.Context(), dev)
			if err != nil || c.Readings != 3600 || c.Duplicates != 0 || (dev == "a") != (c.Equal == 1) {
				t.Fatalf("crash at step %d: check of %s = %d readings, %d duplicates, %d equal, %v", fail, dev, c.Readings, c.Duplicates, c.Equal, err)
			}
		}
		if err := again.Expire(t.Context(), now.AddDate(0, 0, 8)); err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := f.blobs.List(t.Context(), "", func(string, int64, time.Time) error { n++; return nil }); err != nil || n != len(f.files(t, 0)) {
			t.Fatalf("crash at step %d: %d files, %d in the manifest, %v", fail, n, len(f.files(t, 0)), err)
		}
		if err := again.Verify(t.Context(), 1<<30); err != nil || again.Err() != nil {
			t.Fatalf("crash at step %d: %v, %v", fail, err, again.Err())
		}
		if done {
			return
		}
	}
}

// TestOlderDatabase puts a database back that was copied before a merge: within the grace period it
// finds every file that it names, and after it every deletion was logged.
func TestOlderDatabase(t *testing.T) {
	var log bytes.Buffer
	f := newFixture(t)
	l := small(f, lake.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	now := f.days(t, l, 5, 400, "a")
	old := filepath.Join(t.TempDir(), "hub.db")
	if err := f.db.Backup(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	m := merge(t, l, now)
	if err := l.Expire(t.Context(), now.AddDate(0, 0, 6)); err != nil {
		t.Fatal(err)
	}
	db, err := meta.Open(t.Context(), meta.Options{URL: old})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	before := lake.New(db, f.blobs, lake.Options{})
	if err := before.Sweep(t.Context(), nil, 0); err != nil || before.Err() != nil {
		t.Errorf("Sweep with the older database = %v, %v", err, before.Err())
	}
	if n := len(read(t, before, "a")); n != 2000 {
		t.Errorf("the older database has %d readings, want 2000", n)
	}
	if err := l.Expire(t.Context(), now.AddDate(0, 0, 8)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "deleted a file of the lake"); n != m.Files {
		t.Errorf("%d deletions in the log, %d files were merged", n, m.Files)
	}
	if n := len(read(t, l, "a")); n != 2000 {
		t.Errorf("%d readings after the grace period, want 2000", n)
	}
}

// TestKeep holds that only files go that are older as a whole, after the grace period and with a
// line in the log, and that nothing goes where that would be everything.
func TestKeep(t *testing.T) {
	var log bytes.Buffer
	f := newFixture(t)
	l := lake.New(f.db, f.blobs, lake.Options{Keep: 10 * 24 * time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil))})
	now := f.days(t, l, 20, 40, "a")
	if err := l.Expire(t.Context(), now.AddDate(9, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if n := len(read(t, l, "a")); n != 800 || !strings.Contains(log.String(), "is the clock right?") {
		t.Errorf("a clock that is years ahead leaves %d readings, want all 800 and a warning: %s", n, log.String())
	}
	if err := l.Expire(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	rs := read(t, l, "a")
	if len(rs) == 0 || rs[0].Time < now.AddDate(0, 0, -10).UnixMicro()-day || len(rs) > 450 {
		t.Errorf("%d readings left, want those of ten days", len(rs))
	}
	if strings.Contains(log.String(), "deleted a file") {
		t.Error("a file was deleted before its grace period ended")
	}
	if err := l.Expire(t.Context(), now.AddDate(0, 0, 8)); err != nil || !strings.Contains(log.String(), "deleted a file") {
		t.Errorf("Expire after the grace period = %v, want deletions in the log", err)
	}
}

// TestKeepDoubtedClock holds that nothing goes for its age while the clock may not decide what is
// old.
func TestKeepDoubtedClock(t *testing.T) {
	f := newFixture(t)
	var now time.Time
	var trusted atomic.Bool
	looks := make(chan struct{})
	l := lake.New(f.db, f.blobs, lake.Options{
		HubLake: configs.HubLake{CompactEvery: spec.Duration(time.Millisecond), FileBytes: 1}, // nothing to merge
		Keep:    10 * 24 * time.Hour,
		Clock: func(ctx context.Context) (time.Time, bool) {
			select {
			case looks <- struct{}{}:
			case <-ctx.Done():
			}
			return now, trusted.Load()
		},
	})
	now = f.days(t, l, 20, 40, "a")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, nil) }()
	for range 3 { // at the third the second turn is over
		<-looks
	}
	if n := len(read(t, l, "a")); n != 800 {
		t.Errorf("%d readings left by a clock that is doubted, want all 800", n)
	}
	trusted.Store(true)
	for range 3 {
		<-looks
	}
	if n := len(read(t, l, "a")); n == 0 || n > 450 {
		t.Errorf("%d readings left by a clock that is right, want those of ten days", n)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
}

// TestMergeLeavesDamage holds that a damaged file is named and not merged: its rows must not get the
// name of sound ones.
func TestMergeLeavesDamage(t *testing.T) {
	f := newFixture(t)
	l := small(f, lake.Options{})
	now := f.days(t, l, 5, 400, "a")
	bad := f.files(t, wire.ClassReading)[3]
	path := filepath.Join(f.dir, "lake", bad.Path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/3] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if m := merge(t, l, now); m.Files == 0 {
		t.Error("a damaged file keeps all others from being merged")
	}
	if err := l.Err(); err == nil || !strings.Contains(err.Error(), bad.Path) {
		t.Errorf("Err = %v, want the damaged file", err)
	}
	if !slices.ContainsFunc(f.files(t, wire.ClassReading), func(x meta.LakeFile) bool { return x.Path == bad.Path }) {
		t.Error("the damaged file has left the manifest")
	}
}

// TestManyFiles merges more files than may be open at once, of one day and of many.
func TestManyFiles(t *testing.T) {
	f := newFixture(t)
	l := lake.New(f.db, f.blobs, lake.Options{HubLake: configs.HubLake{Grace: spec.Duration(time.Hour)}})
	for i := range 300 {
		at := noon + int64(i%3)*day + int64(i)*1e6
		f.put(t, "a", wire.ClassReading, i+1, &wire.Records{Readings: []wire.Reading{{Series: "s", Time: at, Value: float64(i)}}})
		compact(t, l)
	}
	merge(t, l, time.UnixMicro(noon+2*day).Add(time.Hour))
	files := f.files(t, wire.ClassReading)
	old := slices.IndexFunc(files, func(x meta.LakeFile) bool { return x.Date == "2023-11-17" })
	if len(files) > 3 || old != 1 {
		t.Errorf("%d files, want one of the days before and at most two of the newest", len(files))
	}
	rs := read(t, l, "a")
	for i, r := range rs {
		if r.Value != float64(i) {
			t.Fatalf("reading %d has the value %v", i, r.Value)
		}
	}
	if len(rs) != 300 {
		t.Errorf("%d readings, want 300", len(rs))
	}
}
