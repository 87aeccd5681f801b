package lake_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"iter"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"skerry.dev/configs"
	"skerry.dev/hub/blob"
	"skerry.dev/hub/duty"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/lake"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// put stages one chunk of a device's run.
func (f *fixture) put(t testing.TB, device string, class wire.Class, first int, r *wire.Records) {
	t.Helper()
	run := wire.Run{1}
	b, err := wire.Encode(wire.Header{Device: device, Run: run, Class: class, First: uint64(first)}, r)
	if err != nil {
		t.Fatal(err)
	}
	f.putBytes(t, device, class, first, r.Len(class), b)
}

func (f *fixture) putBytes(t testing.TB, device string, class wire.Class, first, n int, b []byte) {
	t.Helper()
	if err := f.db.Tx(t.Context(), func(q *meta.Queries) error {
		return q.InsertStaged(t.Context(), meta.Staged{
			Device:     device,
			Run:        wire.Run{1}.String(),
			Class:      int64(class),
			From:       int64(first),
			Count:      int64(n),
			RunOrdinal: 1,
			Site:       "north",
			Bytes:      b,
			StagedAt:   meta.Now(),
		})
	}); err != nil {
		t.Fatal(err)
	}
}

// compact moves everything and returns how many chunks that were.
func compact(t testing.TB, l *lake.Lake) int {
	t.Helper()
	n, err := l.Compact(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func collect[T any](t testing.TB, seq iter.Seq2[T, error]) (out []T) {
	t.Helper()
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// files lists the manifest of a class.
func (f *fixture) files(t testing.TB, class wire.Class) []meta.LakeFile {
	t.Helper()
	files, err := f.db.Read().LakeFiles(t.Context(), int64(class))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

const (
	noon = int64(1_700_049_600_000_000) // 2023-11-15 12:00 UTC
	day  = 24 * int64(time.Hour/time.Microsecond)
)

// TestLabelsAndPredictions reads both back from staging and from files: every field, of one task or
// all, with row times in a range whose ends belong to it.
func TestLabelsAndPredictions(t *testing.T) {
	f := newFixture(t)
	l := lake.New(f.db, f.blobs, lake.Options{})
	labels, predictions := &wire.Records{}, &wire.Records{}
	for i := range 6 {
		x := float64(i)
		labels.Labels = append(labels.Labels, wire.Label{
			Task:        []string{"flow", "level"}[i%2],
			Row:         noon + int64(i)*day,
			At:          noon + int64(i)*day + 1,
			Truth:       x,
			Predicted:   x + 0.1,
			Lower:       x - 1,
			Upper:       x + 1,
			Persistence: x + 0.5,
			Champion:    x + 0.2,
			Candidate:   x + 0.3,
			ChampionID:  "champion",
			ShadowID:    "candidate",
			BaselineLo:  x - 2,
			BaselineHi:  x + 2,
		})
		predictions.Predictions = append(predictions.Predictions, wire.Prediction{
			Task:  []string{"flow", "level"}[i%2],
			Row:   noon + int64(i)*day,
			For:   noon + int64(i)*day + 3600e6,
			Value: x,
			Lower: x - 1,
			Upper: x + 1,
			Model: "m",
		})
	}
	f.put(t, "a", wire.ClassLabel, 1, labels)
	f.put(t, "a", wire.ClassPrediction, 1, predictions)
	run := wire.Run{1}.String()
	wantLabel := lake.Label{
		Device:      "a",
		Run:         run,
		RunOrdinal:  1,
		Seq:         3,
		Task:        "flow",
		Row:         noon + 2*day,
		At:          noon + 2*day + 1,
		Truth:       2,
		Predicted:   2.1,
		Lower:       1,
		Upper:       3,
		Persistence: 2.5,
		Champion:    2.2,
		Candidate:   2.3,
		ChampionID:  "champion",
		CandidateID: "candidate",
		BaselineLo:  0,
		BaselineHi:  4,
	}
	wantPrediction := lake.Prediction{
		Device:     "a",
		Run:        run,
		RunOrdinal: 1,
		Seq:        3,
		Task:       "flow",
		Row:        noon + 2*day,
		For:        noon + 2*day + 3600e6,
		Value:      2,
		Lower:      1,
		Upper:      3,
		Model:      "m",
	}
	for _, where := range []string{"staging", "files"} {
		if where == "files" {
			if n := compact(t, l); n != 2 {
				t.Fatalf("Compact = %d, want the 2 chunks", n)
			}
			if n := len(f.files(t, wire.ClassLabel)); n != 6 {
				t.Errorf("%d files of labels, want one a day", n)
			}
		}
		for _, tt := range []struct {
			task     string
			from, to int64
			want     []int64 // sequence numbers
		}{
			{"", math.MinInt64, math.MaxInt64, []int64{1, 2, 3, 4, 5, 6}},
			{"flow", math.MinInt64, math.MaxInt64, []int64{1, 3, 5}},
			{"level", noon + day, noon + 3*day, []int64{2, 4}},
			{"", noon + day + 1, noon + 3*day - 1, []int64{3}},
			{"none", math.MinInt64, math.MaxInt64, nil},
			{"", noon + 9*day, noon + 10*day, nil},
		} {
			var seqs, pseqs []int64
			for _, r := range collect(t, l.Labels(t.Context(), "a", tt.task, tt.from, tt.to)) {
				if seqs = append(seqs, r.Seq); r.Seq == 3 && r != wantLabel {
					t.Errorf("%s: label = %+v, want %+v", where, r, wantLabel)
				}
			}
			for _, r := range collect(t, l.Predictions(t.Context(), "a", tt.task, tt.from, tt.to)) {
				if pseqs = append(pseqs, r.Seq); r.Seq == 3 && !samePrediction(r, wantPrediction) {
					t.Errorf("%s: prediction = %+v, want %+v", where, r, wantPrediction)
				}
			}
			if !slices.Equal(seqs, tt.want) || !slices.Equal(pseqs, tt.want) {
				t.Errorf("%s: task %q in [%d, %d]: labels %v, predictions %v, want %v", where, tt.task, tt.from, tt.to, seqs, pseqs, tt.want)
			}
		}
		if n := len(collect(t, l.Labels(t.Context(), "b", "", math.MinInt64, math.MaxInt64))); n != 0 {
			t.Errorf("%s: another device has %d labels", where, n)
		}
	}
}

// samePrediction compares two predictions; no list and an empty one are the same.
func samePrediction(a, b lake.Prediction) bool {
	lists := slices.Equal(a.Chances, b.Chances) && slices.Equal(a.Set, b.Set)
	a.Chances, a.Set, b.Chances, b.Set = nil, nil, nil, nil
	return lists && reflect.DeepEqual(a, b)
}

// TestManyClasses keeps the probabilities and sets of a task of three classes through staging, files
// and a merge with files from before there were such columns, whose rows have none.
func TestManyClasses(t *testing.T) {
	f := newFixture(t)
	l := lake.New(f.db, f.blobs, lake.Options{})
	old := []oldPrediction{{Device: "a", Run: wire.Run{1}.String(), RunOrdinal: 1, Seq: 1, Task: "level", Row: noon, For: noon + 60e6, Value: 7, Lower: 6, Upper: 8, Model: "m"}}
	oldLabels := []oldLabel{{Device: "a", Run: wire.Run{1}.String(), RunOrdinal: 1, Seq: 1, Task: "level", Row: noon, At: noon + 60e6, Truth: 7, Predicted: 7.5, ChampionID: "m"}}
	putOld(t, f, wire.ClassPrediction, old)
	putOld(t, f, wire.ClassLabel, oldLabels)
	labels, predictions := &wire.Records{}, &wire.Records{}
	for i := range 5 {
		row, x := noon+int64(i+1)*60e6, float64(i)
		predictions.Predictions = append(predictions.Predictions, wire.Prediction{Task: "phase", Row: row, For: row, Value: 2,
			Chances: []float32{0.25, 0.125 * float32(i), 0.625}, Set: []bool{i > 2, false, true}})
		labels.Labels = append(labels.Labels, wire.Label{Task: "phase", Row: row, At: row + 1, Truth: 1, Predicted: 2,
			Classes: 3, Chance: x / 8, ChanceOf: wire.Chances{Champion: 0.5, Candidate: 0.25, Baseline: 0.125}, SetSize: 1 + i%3, Covered: i%2 == 0})
	}
	f.put(t, "a", wire.ClassLabel, 2, labels)
	f.put(t, "a", wire.ClassPrediction, 2, predictions)
	for _, where := range []string{"staging", "files", "one file"} {
		switch where {
		case "files":
			compact(t, l)
		case "one file":
			merge(t, l, time.Now())
			if n := len(f.files(t, wire.ClassPrediction)); n != 1 {
				t.Fatalf("%d files of predictions after a merge, want 1", n)
			}
		}
		ps := collect(t, l.Predictions(t.Context(), "a", "", math.MinInt64, math.MaxInt64))
		ls := collect(t, l.Labels(t.Context(), "a", "", math.MinInt64, math.MaxInt64))
		if len(ps) != 6 || len(ls) != 6 {
			t.Fatalf("%s: %d predictions and %d labels, want 6 each", where, len(ps), len(ls))
		}
		if p := ps[0]; p.Task != "level" || p.Value != 7 || p.Upper != 8 || len(p.Chances)+len(p.Set) != 0 {
			t.Errorf("%s: the prediction of an older hub is %+v", where, p)
		}
		if l := ls[0]; l.Task != "level" || l.Predicted != 7.5 || l.ChampionID != "m" || l.Classes != 0 || l.Chance != 0 || l.Covered {
			t.Errorf("%s: the label of an older hub is %+v", where, l)
		}
		for i, p := range ps[1:] {
			if w := predictions.Predictions[i]; p.Row != w.Row || !slices.Equal(p.Chances, w.Chances) || !slices.Equal(p.Set, w.Set) {
				t.Errorf("%s: prediction %d = %+v, want %+v", where, i, p, w)
			}
		}
		for i, l := range ls[1:] {
			w := labels.Labels[i]
			if l.Classes != 3 || l.Chance != w.Chance || l.ChampionChance != 0.5 || l.CandidateChance != 0.25 || l.BaselineChance != 0.125 || int(l.SetSize) != w.SetSize || l.Covered != w.Covered {
				t.Errorf("%s: label %d = %+v, want %+v", where, i, l, w)
			}
		}
	}
}

// oldPrediction and oldLabel are rows as hubs wrote them before there were tasks of many classes.
type oldPrediction struct {
	Device     string  `parquet:"device,dict"`
	Run        string  `parquet:"run,dict"`
	RunOrdinal int64   `parquet:"run_ordinal,delta"`
	Seq        int64   `parquet:"seq,delta"`
	Task       string  `parquet:"task,dict"`
	Row        int64   `parquet:"row_time,timestamp(microsecond),delta"`
	For        int64   `parquet:"for_time,timestamp(microsecond),delta"`
	Value      float64 `parquet:"value"`
	Lower      float64 `parquet:"lower"`
	Upper      float64 `parquet:"upper"`
	Model      string  `parquet:"model,dict"`
}

type oldLabel struct {
	Device      string  `parquet:"device,dict"`
	Run         string  `parquet:"run,dict"`
	RunOrdinal  int64   `parquet:"run_ordinal,delta"`
	Seq         int64   `parquet:"seq,delta"`
	Task        string  `parquet:"task,dict"`
	Row         int64   `parquet:"row_time,timestamp(microsecond),delta"`
	At          int64   `parquet:"at,timestamp(microsecond),delta"`
	Truth       float64 `parquet:"truth"`
	Predicted   float64 `parquet:"predicted"`
	Lower       float64 `parquet:"lower"`
	Upper       float64 `parquet:"upper"`
	Persistence float64 `parquet:"persistence"`
	Champion    float64 `parquet:"champion"`
	Candidate   float64 `parquet:"candidate"`
	ChampionID  string  `parquet:"champion_id,dict"`
	CandidateID string  `parquet:"candidate_id,dict"`
	BaselineLo  float64 `parquet:"baseline_lo"`
	BaselineHi  float64 `parquet:"baseline_hi"`
}

// putOld puts a file of one row of device a into the lake.
func putOld[T any](t *testing.T, f *fixture, class wire.Class, rows []T) {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, parquet.Compression(&parquet.Zstd))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	file := meta.LakeFile{
		Path:      class.String() + "/date=2023-11-15/site=north/" + hex.EncodeToString(sum[:16]) + ".parquet",
		Class:     int64(class),
		Date:      "2023-11-15",
		Site:      "north",
		Rows:      1,
		Bytes:     int64(b.Len()),
		CreatedAt: meta.Now(),
	}
	part := meta.LakePart{Path: file.Path, Device: "a", Class: int64(class), Rows: 1, MinTime: noon, MaxTime: noon, MinOrdinal: 1, MinSeq: 1}
	if err := f.blobs.Put(t.Context(), file.Path, b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := f.db.Tx(t.Context(), func(q *meta.Queries) error { return q.InsertLakeFile(t.Context(), file, []meta.LakePart{part}) }); err != nil {
		t.Fatal(err)
	}
}

// TestClassesAreApart holds that every class has files of its own, named by class, day and site,
// with the manifest's numbers those of the file.
func TestClassesAreApart(t *testing.T) {
	f := newFixture(t)
	l := lake.New(f.db, f.blobs, lake.Options{})
	event := &wire.Records{Events: []wire.Event{{Time: noon, Kind: "drift", Task: "flow", Detail: `{"a":1}`}}}
	f.put(t, "a", wire.ClassAlarm, 1, event)
	f.put(t, "a", wire.ClassEvent, 1, event)
	f.put(t, "a", wire.ClassReading, 1, &wire.Records{Readings: []wire.Reading{
		{Series: "s", Time: noon, Value: 1},
		{Series: "s", Time: noon + day, Value: 2},
	}})
	f.put(t, "a", wire.ClassHost, 1, &wire.Records{Hosts: []wire.Host{{Time: noon, Metric: "cpu_percent", Value: 12.5}}})
	if n := compact(t, l); n != 4 {
		t.Fatalf("Compact = %d, want 4 chunks", n)
	}
	var dirs []string
	for _, file := range f.files(t, 0) {
		dirs = append(dirs, filepath.ToSlash(filepath.Dir(file.Path)))
		st, err := os.Stat(filepath.Join(f.dir, "lake", file.Path))
		if err != nil || st.Size() != file.Bytes || file.Rows != 1 {
			t.Errorf("file %s: %v, %d rows; want one row and %d bytes", file.Path, err, file.Rows, file.Bytes)
		}
	}
	want := []string{
		"alarm/date=2023-11-15/site=north",
		"event/date=2023-11-15/site=north",
		"host/date=2023-11-15/site=north",
		"reading/date=2023-11-15/site=north",
		"reading/date=2023-11-16/site=north",
	}
	if !slices.Equal(dirs, want) {
		t.Errorf("files lie in %v, want %v", dirs, want)
	}
	events, err := feed.Read(t.Context(), f.db.Read(), 0, 100)
	moves := slices.DeleteFunc(events, func(e feed.Event) bool { return e.Kind != feed.KindLake })
	if err != nil || len(moves) != 4 {
		t.Errorf("the feed has %d moves, %v, want one for every class", len(moves), err)
	}
}

// TestSameContentSameFile compacts the same records in two hubs: the files are equal to the byte,
// so that writing one again after a crash changes nothing.
func TestSameContentSameFile(t *testing.T) {
	var paths [2][]string
	for i := range paths {
		f := newFixture(t)
		f.stage(t, "b", 1, 1, 300)
		f.stage(t, "a", 1, 1, 300)
		compact(t, lake.New(f.db, f.blobs, lake.Options{}))
		for _, file := range f.files(t, 0) {
			paths[i] = append(paths[i], file.Path)
		}
	}
	if len(paths[0]) == 0 || !slices.Equal(paths[0], paths[1]) {
		t.Errorf("the same records make %v and %v", paths[0], paths[1])
	}
}

// TestDamagedFile holds that a file that is not what was written ends a reading with an error that
// names it: rows are never left out silently.
func TestDamagedFile(t *testing.T) {
	for name, damage := range map[string]func(path string, b []byte) error{
		"gone":    func(path string, _ []byte) error { return os.Remove(path) },
		"empty":   func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
		"cut":     func(path string, b []byte) error { return os.WriteFile(path, b[:len(b)-9], 0o600) },
		"no file": func(path string, b []byte) error { return os.WriteFile(path, make([]byte, len(b)), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			l := lake.New(f.db, f.blobs, lake.Options{})
			f.stage(t, "a", 1, 1, 500) // two files, of two days
			compact(t, l)
			files := f.files(t, wire.ClassReading)
			last := files[len(files)-1]
			path := filepath.Join(f.dir, "lake", last.Path)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(path, b); err != nil {
				t.Fatal(err)
			}
			var failure error
			n := 0
			for _, err := range l.Readings(t.Context(), "a", nil, math.MinInt64, math.MaxInt64) {
				if failure = err; err == nil {
					n++
				}
			}
			if failure == nil || !strings.Contains(failure.Error(), filepath.Base(last.Path)) || !strings.Contains(failure.Error(), `device "a"`) {
				t.Errorf("Readings = %d rows and %v, want an error with device and file", n, failure)
			}
			if _, err := l.ExactlyOnce(t.Context(), "a"); err == nil {
				t.Error("ExactlyOnce vouches for a device whose file cannot be read")
			}
			// the other day is still there
			if first := collect(t, l.Readings(t.Context(), "a", nil, 1<<40, 1<<40+249)); len(first) == 0 {
				t.Error("a damaged file takes the readings of the other with it")
			}
		})
	}
}

// TestDamagedChunk holds that a staged chunk that cannot be read any longer is set aside, with an
// alarm of its device and its bytes kept, and stops nothing: not the chunks beside it, not those of
// other classes.
func TestDamagedChunk(t *testing.T) {
	f := newFixture(t)
	l := lake.New(f.db, f.blobs, lake.Options{})
	f.putBytes(t, "a", wire.ClassReading, 1, 7, []byte("no chunk"))
	f.put(t, "a", wire.ClassReading, 8, &wire.Records{Readings: []wire.Reading{{Series: "s", Time: noon, Value: 1}}})
	f.put(t, "b", wire.ClassAlarm, 1, &wire.Records{Events: []wire.Event{{Time: noon, Kind: "x", Detail: "{}"}}})
	if n, err := l.Compact(t.Context(), true); err != nil || n != 3 {
		t.Errorf("Compact = %d, %v, want 3 chunks", n, err)
	}
	if rs := read(t, l, "a"); len(rs) != 1 || rs[0].Seq != 8 || len(f.files(t, wire.ClassAlarm)) != 1 {
		t.Errorf("readings of a = %v, want the one beside the damaged chunk", rs)
	}
	kept, err := f.db.Read().QuarantinedMessages(t.Context(), 0)
	if err != nil || len(kept) != 1 || string(kept[0].Bytes) != "no chunk" || !strings.Contains(kept[0].Reason, "class reading") {
		t.Errorf("quarantine = %+v, %v, want the damaged chunk", kept, err)
	}
	events, err := f.db.Read().Events(t.Context(), meta.EventFilter{Device: "a", Kind: "chunk_damaged"})
	if err != nil || len(events) != 1 || !strings.Contains(events[0].Detail, `"records":7`) {
		t.Errorf("alarms = %+v, %v, want one of seven records", events, err)
	}
}

// TestConflictsAreCountedApart holds what the check of a device counts: repeats as duplicates, and
// what the device itself flagged apart from them.
func TestConflictsAreCountedApart(t *testing.T) {
	f := newFixture(t)
	l := lake.New(f.db, f.blobs, lake.Options{})
	f.put(t, "a", wire.ClassReading, 1, &wire.Records{Readings: []wire.Reading{
		{Series: "s", Time: 1, Value: 1},
		{Series: "s", Time: 2, Value: 2},
		{Series: "s", Time: 2, Value: 2},
		{Series: "s", Time: 2, Value: 3, Flags: wire.FlagConflict},
		{Series: "u", Time: 2, Value: 9},
	}})
	want := map[string]lake.CheckSeries{
		"s": {Readings: 3, Distinct: 2, Duplicates: 1, FromTime: 1, ToTime: 2},
		"u": {Readings: 1, Distinct: 1, FromTime: 2, ToTime: 2},
	}
	c, err := l.ExactlyOnce(t.Context(), "a")
	if err != nil || c.Readings != 4 || c.Distinct != 3 || c.Duplicates != 1 || c.Conflicts != 1 {
		t.Errorf("ExactlyOnce = %+v, %v, want 4 readings, 3 distinct, 1 duplicate, 1 conflict", c, err)
	}
	for series, s := range want {
		if c.Series[series] != s {
			t.Errorf("series %s = %+v, want %+v", series, c.Series[series], s)
		}
	}
	if c, err := l.ExactlyOnce(t.Context(), "nobody"); err != nil || c.Readings != 0 || len(c.Series) != 0 {
		t.Errorf("ExactlyOnce of a device without readings = %+v, %v", c, err)
	}
}

// TestReadersStop holds that readers end when their caller is gone.
func TestReadersStop(t *testing.T) {
	f := newFixture(t)
	l := lake.New(f.db, f.blobs, lake.Options{})
	f.stage(t, "a", 1, 1, 500)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range l.Readings(ctx, "a", nil, math.MinInt64, math.MaxInt64) {
		if last = err; err != nil {
			break
		}
		if n++; n == 10 {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) || n != 10 {
		t.Errorf("after the end of its context a reader yields %d readings and %v, want 10 and the context's end", n, last)
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	for _, err := range l.Readings(ended, "a", nil, math.MinInt64, math.MaxInt64) {
		if err == nil {
			t.Fatal("a reading of an ended context")
		}
	}
}

// TestCompactionWaits holds when chunks move by themselves: when they are old or many enough, not
// before.
func TestCompactionWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		opts configs.HubLake
		want int
	}{
		"young and few": {configs.HubLake{}, 0},
		"many":          {configs.HubLake{MinBytes: 1}, 3},
		"old":           {configs.HubLake{CompactAge: spec.Duration(time.Nanosecond)}, 3},
		"in batches":    {configs.HubLake{MinBytes: 1, BatchChunks: 2}, 3},
	} {
		f := newFixture(t)
		f.stage(t, "a", 1, 1, 300)
		l := lake.New(f.db, f.blobs, lake.Options{HubLake: tt.opts})
		if n, err := l.Compact(t.Context(), false); err != nil || n != tt.want {
			t.Errorf("%s: Compact = %d, %v, want %d", name, n, err, tt.want)
		}
		if rs := read(t, l, "a"); len(rs) != 300 {
			t.Errorf("%s: %d readings, want 300", name, len(rs))
		}
	}
}

// TestRun lets the compactor run as the hub does: orphans go, chunks move, old points of charts
// and old hashes of the ledger go, and it ends with its context.
func TestRun(t *testing.T) {
	f := newFixture(t)
	f.stage(t, "a", 1, 1, 300)
	begun := func(q *meta.Queries) error {
		return q.PutLakeIntent(t.Context(), meta.LakeIntent{Path: "reading/orphan.parquet", BegunAt: 1})
	}
	if err := errors.Join(f.db.Tx(t.Context(), begun), f.blobs.Put(t.Context(), "reading/orphan.parquet", []byte("x"))); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour).UnixMicro()
	interval := func(from int64) meta.Interval {
		return meta.Interval{Device: "a", Run: "r", Class: 4, From: from, To: from + 9, SHA256: "h", AppliedAt: long}
	}
	if err := f.db.Tx(t.Context(), func(q *meta.Queries) error {
		return errors.Join(
			q.InsertLabelPoints(t.Context(), []meta.LabelPoint{
				{Task: "flow", Device: "a", RowTime: 1, ReceivedAt: long},
				{Task: "flow", Device: "a", RowTime: 2, ReceivedAt: meta.Now() + 3600e6},
			}),
			q.InsertIntervals(t.Context(), []meta.Interval{interval(1), interval(11)}))
	}); err != nil {
		t.Fatal(err)
	}
	l := lake.New(f.db, f.blobs, lake.Options{HubLake: configs.HubLake{
		CompactEvery: spec.Duration(time.Millisecond),
		MinBytes:     1,
		LabelAge:     spec.Duration(time.Minute),
		LedgerAge:    spec.Duration(time.Minute),
	}})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- duty.New(f.db, "hub", duty.Options{}).Run(ctx, "lake", l.Run) }()
	var points []meta.LabelPoint
	var islands []meta.Island
	var staged []meta.Staged
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ok := false; !ok; {
		select {
		case <-deadline:
			t.Fatalf("not within ten seconds: %d chunks staged, %d points, %d intervals, want 0, 1 and 1", len(staged), len(points), len(islands))
		case <-tick.C:
		}
		q := f.db.Read()
		var err1, err2, err3 error
		staged, err1 = q.DeviceStaged(t.Context(), "a", int64(wire.ClassReading))
		points, err2 = q.LabelPoints(t.Context(), "flow", "", 0, math.MaxInt64, 10)
		islands, err3 = q.Islands(t.Context(), "a", "r")
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		ok = len(staged) == 0 && len(points) == 1 && len(islands) == 1
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	if islands[0].From != 1 || islands[0].To != 20 {
		t.Errorf("the ledger has [%d, %d] after tidying, want [1, 20]", islands[0].From, islands[0].To)
	}
	if _, err := f.blobs.Get(t.Context(), "reading/orphan.parquet"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("the orphan is still there: %v", err)
	}
	if rs := read(t, l, "a"); len(rs) != 300 || !ordered(rs) {
		t.Errorf("%d readings after the move, want 300 in order", len(rs))
	}
}

// TestSweep holds that only what was begun, long enough ago, and never finished goes. What the
// database does not know stays: with another database, or an older copy of this one, that is
// everything.
func TestSweep(t *testing.T) {
	f := newFixture(t)
	l := lake.New(f.db, f.blobs, lake.Options{})
	f.stage(t, "a", 1, 1, 100)
	compact(t, l)
	err := f.db.Tx(t.Context(), func(q *meta.Queries) error {
		return q.PutLakeIntent(t.Context(), meta.LakeIntent{Path: "reading/begun.parquet", BegunAt: meta.Now()})
	})
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{"reading/begun.parquet", "reading/unknown.parquet", "reading/unknown.parquet1.tmp"}
	for _, key := range keys {
		if err := f.blobs.Put(t.Context(), key, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		age  time.Duration
		want [3]bool
	}{{time.Hour, [3]bool{true, true, true}}, {0, [3]bool{false, true, false}}, {0, [3]bool{false, true, false}}} {
		if err := l.Sweep(t.Context(), nil, step.age); err != nil {
			t.Fatal(err)
		}
		for i, key := range keys {
			if _, err := f.blobs.Get(t.Context(), key); (err == nil) != step.want[i] {
				t.Errorf("after Sweep(%v) %s is there = %v, want %v", step.age, key, err == nil, step.want[i])
			}
		}
	}
	if n := len(read(t, l, "a")); n != 100 {
		t.Errorf("%d readings after sweeping, want 100", n)
	}
	other := newFixture(t) // its database knows nothing of these files
	if err := lake.New(other.db, f.blobs, lake.Options{}).Sweep(t.Context(), nil, 0); err != nil {
		t.Fatal(err)
	}
	if n := len(read(t, l, "a")); n != 100 {
		t.Errorf("%d readings after the lake was opened with another database, want 100", n)
	}
	events, err := other.db.Read().Events(t.Context(), meta.EventFilter{Limit: 10})
	if err != nil || len(events) != 1 || events[0].Kind != "lake_files_unknown" || !strings.Contains(events[0].Detail, `"files":2`) {
		t.Errorf("the events are %+v, %v; want one that names 2 unknown files", events, err)
	}
}
