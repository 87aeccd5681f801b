package lake_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"skerry.dev/configs"
	"skerry.dev/hub/blob"
	"skerry.dev/hub/lake"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

type fixture struct {
	db    *meta.Store
	blobs *blob.Store
	dir   string
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir()}
	var err error
	if f.db, err = meta.Open(t.Context(), meta.Options{Dir: f.dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.db.Close() })
	if f.blobs, err = blob.Open(t.Context(), "", f.dir, "lake"); err != nil {
		t.Fatal(err)
	}
	return f
}

// stage stores n readings of a run as chunks of 100, two days apart per 250 readings.
func (f *fixture) stage(t testing.TB, device string, ordinal int, first, n int) {
	t.Helper()
	run := wire.Run{byte(ordinal)}
	err := f.db.Tx(t.Context(), func(q *meta.Queries) error {
		for ; n > 0; first, n = first+100, n-100 {
			r := &wire.Records{}
			for i := range min(n, 100) {
				seq := first + i
				r.Readings = append(r.Readings, wire.Reading{Series: fmt.Sprintf("s%d", seq%3), Time: int64(ordinal)<<40 + int64(seq/250)*48*3600e6 + int64(seq), Value: float64(seq), Mono: int64(seq)})
			}
			b, err := wire.Encode(wire.Header{Device: device, Run: run, Class: wire.ClassReading, First: uint64(first)}, r)
			if err != nil {
				return err
			}
			if err := q.InsertStaged(t.Context(), meta.Staged{Device: device, Run: run.String(), Class: int64(wire.ClassReading), From: int64(first), Count: int64(len(r.Readings)),
				RunOrdinal: int64(ordinal), Site: "north", Bytes: b, StagedAt: meta.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, l *lake.Lake, device string, series ...string) (out []lake.Reading) {
	t.Helper()
	for r, err := range l.Readings(t.Context(), device, series, math.MinInt64, math.MaxInt64) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func ordered(rs []lake.Reading) bool {
	return slices.IsSortedFunc(rs, func(a, b lake.Reading) int {
		if a.RunOrdinal != b.RunOrdinal {
			return int(a.RunOrdinal - b.RunOrdinal)
		}
		return int(a.Seq - b.Seq)
	})
}

func TestReadersMergeLakeAndStaging(t *testing.T) {
	f := newFixture(t)
	l := lake.New(f.db, f.blobs, lake.Options{})
	f.stage(t, "a", 2, 1, 3000) // the later run arrives first: live before backfill
	f.stage(t, "b", 1, 1, 300)
	if _, err := l.Compact(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	f.stage(t, "a", 1, 1, 2500)
	if _, err := l.Compact(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	f.stage(t, "a", 2, 3001, 200)
	rs := read(t, l, "a")
	if len(rs) != 5700 || !ordered(rs) {
		t.Fatalf("%d readings, ordered %v; want 5700 in order", len(rs), ordered(rs))
	}
	for _, r := range rs {
		if r.Device != "a" || r.Series != fmt.Sprintf("s%d", r.Seq%3) || r.Value != float64(r.Seq) || r.Mono != r.Seq {
			t.Fatalf("reading = %+v", r)
		}
	}
	if got := len(read(t, l, "a", "s1")); got != 1901 { // 834 of the first run, 1067 of the second
		t.Errorf("series s1 has %d readings, want 1901", got)
	}
	// Keyset paging sees every reading once.
	var paged []lake.Reading
	for after := (lake.Key{}); ; {
		n := 0
		for r, err := range l.ReadingsAfter(t.Context(), "a", nil, math.MinInt64, math.MaxInt64, after) {
			if err != nil {
				t.Fatal(err)
			}
			if n == 700 {
				break
			}
			n++
			paged = append(paged, r)
			after = lake.Key{Ordinal: r.RunOrdinal, Seq: r.Seq}
		}
		if n < 700 {
			break
		}
	}
	if !slices.Equal(paged, rs) {
		t.Errorf("paging yields %d readings, want the same %d", len(paged), len(rs))
	}
	c, err := l.ExactlyOnce(t.Context(), "a")
	if err != nil || c.Readings != 5700 || c.Duplicates != 0 || len(c.Series) != 3 {
		t.Errorf("check = %+v, %v", c, err)
	}
	from, to := rs[10].Time, rs[10].Time
	n := 0
	for range l.Readings(t.Context(), "a", nil, from, to) {
		n++
	}
	if n != 1 {
		t.Errorf("%d readings at one instant, want 1", n)
	}
	devices, err := l.Devices(t.Context())
	if err != nil || !slices.Equal(devices, []string{"a", "b"}) {
		t.Errorf("devices = %v, %v", devices, err)
	}
}

var errCrash = errors.New("crash")

// TestCompactionCrash stops the compactor before every step it ever takes, starts again, and
// finds every reading once.
func TestCompactionCrash(t *testing.T) {
	for fail := 0; ; fail++ {
		f := newFixture(t)
		f.stage(t, "a", 1, 1, 1000)
		f.stage(t, "b", 1, 1, 100)
		step := 0
		l := lake.New(f.db, f.blobs, lake.Options{HubLake: configs.HubLake{BatchChunks: 4}, Step: func(string) error {
			if step++; step-1 == fail {
				return errCrash
			}
			return nil
		}})
		_, err := l.Compact(t.Context(), true)
		if err == nil {
			if fail < 8 {
				t.Fatalf("only %d steps", fail)
			}
			return
		}
		if !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		if got := len(read(t, l, "a")); got != 1000 {
			t.Fatalf("crash at step %d: %d readings, want 1000", fail, got)
		}
		again := lake.New(f.db, f.blobs, lake.Options{HubLake: configs.HubLake{BatchChunks: 3 + rand.IntN(3)}})
		if err := again.Sweep(t.Context(), nil, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := again.Compact(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		for device, want := range map[string]int64{"a": 1000, "b": 100} {
			c, err := again.ExactlyOnce(t.Context(), device)
			if err != nil || c.Readings != want || c.Duplicates != 0 {
				t.Fatalf("crash at step %d: check %s = %+v, %v", fail, device, c, err)
			}
		}
		files, err := f.db.Read().LakeFiles(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := f.blobs.List(t.Context(), "", func(string, int64, time.Time) error { n++; return nil }); err != nil || n != len(files) {
			t.Fatalf("crash at step %d: %d files, %d in the manifest, %v", fail, n, len(files), err)
		}
	}
}

// TestTimesOfAWrongClock: however many days the readings of a device name, a move makes a bounded
// number of files, and every reading is read back in order.
func TestTimesOfAWrongClock(t *testing.T) {
	const day = int64(24 * time.Hour / time.Microsecond)
	for name, step := range map[string]int64{"days": day, "years": 366 * day, "an hour": day / 24 / 2000} {
		f := newFixture(t)
		run := wire.Run{7}
		n := 2000
		r := &wire.Records{}
		for i := range n {
			r.Readings = append(r.Readings, wire.Reading{Series: "a", Time: int64(i) * step % (1 << 60), Value: float64(i)})
		}
		for first := 0; first < n; first += 400 {
			part := &wire.Records{Readings: r.Readings[first : first+400]}
			b, err := wire.Encode(wire.Header{Device: "a", Run: run, Class: wire.ClassReading, First: uint64(first + 1)}, part)
			if err != nil {
				t.Fatal(err)
			}
			err = f.db.Tx(t.Context(), func(q *meta.Queries) error {
				return q.InsertStaged(t.Context(), meta.Staged{
					Device: "a", Run: run.String(), Class: int64(wire.ClassReading), From: int64(first + 1), Count: 400,
					RunOrdinal: 1, Site: "north", Bytes: b, StagedAt: meta.Now(),
				})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		l := lake.New(f.db, f.blobs, lake.Options{})
		if _, err := l.Compact(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		files, err := f.db.Read().LakeFiles(t.Context(), 0)
		if err != nil || len(files) == 0 || len(files) > 40 {
			t.Errorf("%s: %d files, %v, want 1 to 40", name, len(files), err)
		}
		got := read(t, l, "a")
		for i := range got {
			if got[i].Value != float64(i) {
				t.Fatalf("%s: reading %d has the value %v", name, i, got[i].Value)
			}
		}
		if len(got) != n {
			t.Errorf("%s: %d readings of %d", name, len(got), n)
		}
	}
}

// go test ./hub/lake -run '^$' -bench Compact
func BenchmarkCompact(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		f := newFixture(b)
		f.stage(b, "a", 1, 1, 20_000)
		l := lake.New(f.db, f.blobs, lake.Options{})
		b.StartTimer()
		if _, err := l.Compact(b.Context(), true); err != nil {
			b.Fatal(err)
		}
	}
}
