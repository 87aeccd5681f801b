package meta_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"skerry.dev/hub/meta"
)

// TestIntervalSets compares what the ledger says of random ranges with a set of numbers.
func TestIntervalSets(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		rng := rand.New(rand.NewPCG(1, 2))
		stored, known := [4]map[int64]int64{}, [4]map[int64]bool{} // by class: number → beginning of its range; stored or declared
		var rows []meta.Interval
		for class := range int64(4) {
			stored[class], known[class] = map[int64]int64{}, map[int64]bool{}
			for at := int64(1); at < 2000; {
				from := at + int64(rng.IntN(3))*int64(rng.IntN(20))
				to := from + int64(rng.IntN(40))
				rows = append(rows, meta.Interval{Device: "d", Run: "r", Class: class, From: from, To: to, SHA256: fmt.Sprint(from)})
				for n := from; n <= to; n++ {
					stored[class][n], known[class][n] = from, true
				}
				at = to + 1
			}
		}
		write(t, s, func(q *meta.Queries) error {
			if err := q.InsertIntervals(ctx, rows); err != nil {
				return err
			}
			for class := range int64(4) {
				for range 5 {
					from := 1 + int64(rng.IntN(1900))
					for n := from; n <= from+25; n++ {
						known[class][n] = true
					}
					if err := q.InsertInterval(ctx, meta.Interval{Device: "d", Run: "r", Class: class, Kind: meta.Declared, From: from, To: from + 25}); err != nil {
						return err
					}
				}
			}
			return q.InsertInterval(ctx, meta.Interval{Device: "e", Run: "r", From: 1, To: 4000, SHA256: "e"})
		})

		var probes []meta.Interval
		for range 250 { // more than one statement takes
			from := int64(rng.IntN(2100))
			probes = append(probes, meta.Interval{Device: "d", Run: "r", Class: int64(rng.IntN(4)), From: from, To: from + int64(rng.IntN(30))})
		}
		got, err := q.Overlaps(ctx, probes)
		if err != nil || len(got) != len(probes) {
			t.Fatalf("Overlaps = %d answers, %v, want %d", len(got), err, len(probes))
		}
		for i, p := range probes {
			last := int64(-1) // beginning of the last stored range that overlaps
			for n := p.From; n <= p.To; n++ {
				if from, ok := stored[p.Class][n]; ok {
					last = from
				}
			}
			switch one, err := q.Overlap(ctx, p.Device, p.Run, p.Class, p.From, p.To); {
			case last < 0:
				if got[i] != nil || !errors.Is(err, meta.ErrNotFound) {
					t.Errorf("class %d, %d to %d: %+v and %+v, %v, want nothing", p.Class, p.From, p.To, got[i], one, err)
				}
			case got[i] == nil || err != nil || got[i].From != last || one != *got[i] || one.SHA256 != fmt.Sprint(last):
				t.Errorf("class %d, %d to %d: %+v and %+v, %v, want the range from %d", p.Class, p.From, p.To, got[i], one, err, last)
			}
		}

		var want []meta.Island
		for class := range int64(4) {
			for n := int64(1); n < 2100; n++ {
				switch {
				case known[class][n] && known[class][n-1]:
					want[len(want)-1].To = n
				case known[class][n]:
					want = append(want, meta.Island{Class: class, From: n, To: n})
				}
			}
		}
		islands, err := q.Islands(ctx, "d", "r")
		same(t, "Islands", islands, err, want)

		counts, err := q.AppliedCounts(ctx, "d")
		same(t, "AppliedCounts", counts, err, map[int64]int64{0: int64(len(stored[0])), 1: int64(len(stored[1])), 2: int64(len(stored[2])), 3: int64(len(stored[3]))})
		if counts, err = q.AppliedCounts(ctx, "nobody"); err != nil || len(counts) != 0 {
			t.Errorf("AppliedCounts of nobody = %v, %v", counts, err)
		}
	})
}

// TestStaging moves chunks out once, in the order of runs.
func TestStaging(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		var chunks []meta.Staged
		for i := range int64(120) { // more than one statement takes
			chunks = append(chunks, meta.Staged{Device: "d", Run: []string{"z", "a"}[i/60], Class: 4, From: 1 + i%60*10, Count: 10, RunOrdinal: 1 + i/60, Site: "n", Bytes: bytes.Repeat([]byte{byte(i)}, 3), StagedAt: i})
		}
		mixed := append(append([]meta.Staged{}, chunks[60:]...), chunks[:60]...)
		write(t, s, func(q *meta.Queries) error {
			return errors.Join(q.InsertStagedChunks(ctx, mixed), q.InsertStaged(ctx, meta.Staged{Device: "d", Run: "a", Class: 5, From: 1, Site: "n", Bytes: []byte{}}))
		})
		got, err := q.DeviceStaged(ctx, "d", 4)
		same(t, "DeviceStaged", got, err, chunks)
		got, err = q.StagedChunks(ctx, 4, "n", 61)
		same(t, "the oldest StagedChunks", got, err, chunks[:61])
		if got, err = q.StagedChunks(ctx, 4, "s", 61); err != nil || len(got) != 0 {
			t.Errorf("StagedChunks of another site = %d, %v", len(got), err)
		}
		write(t, s, func(q *meta.Queries) error { return q.DeleteStaged(ctx, chunks[0]) })
		refused(t, s, meta.ErrNotFound, func(q *meta.Queries) error { return q.DeleteStaged(ctx, chunks[0]) })
		groups, err := q.StagedGroups(ctx)
		same(t, "StagedGroups", groups, err, []meta.StagedGroup{{Class: 4, Site: "n", Chunks: 119, Bytes: 357, Oldest: 1}, {Class: 5, Site: "n", Chunks: 1}})
	})
}

// TestLosses lists gaps, conflicts and unreadable messages, each once.
func TestLosses(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		old := meta.Gap{Device: "a", Run: "r", Class: 4, From: 1, To: 5, Reason: "cap", Series: "{}", DeclaredAt: 1}
		young := meta.Gap{Device: "b", Run: "r", Class: 4, From: 6, To: 9, Reason: "disk", Series: "{}", DeclaredAt: 2}
		write(t, s, func(q *meta.Queries) error {
			return errors.Join(q.InsertGap(ctx, old), q.InsertGap(ctx, young), q.InsertGap(ctx, old))
		})
		gaps, err := q.Gaps(ctx, "", 0)
		same(t, "Gaps, a repeat ignored", gaps, err, []meta.Gap{young, old})
		gaps, err = q.Gaps(ctx, "a", 1)
		same(t, "Gaps of a device", gaps, err, []meta.Gap{old})

		c := meta.Conflict{SHA256: "h", Device: "a", Run: "r", Class: 4, From: 1, To: 5, StoredFrom: 3, StoredTo: 8, StoredSHA256: "g", Bytes: []byte{0, 1}, SeenAt: 5}
		bad := meta.Quarantined{SHA256: "h", Subject: "edge.s.d.tel", Reason: "checksum", Bytes: []byte{9}, SeenAt: 6}
		for _, want := range []bool{true, false} {
			write(t, s, func(q *meta.Queries) error {
				isNew, err := q.InsertConflict(ctx, c)
				same(t, "InsertConflict", isNew, err, want)
				isNew, err2 := q.InsertQuarantined(ctx, bad)
				same(t, "InsertQuarantined", isNew, err2, want)
				return errors.Join(err, err2)
			})
		}
		conflicts, err := q.Conflicts(ctx, "a", 0)
		same(t, "Conflicts", conflicts, err, []meta.Conflict{c})
		if conflicts, err = q.Conflicts(ctx, "b", 0); err != nil || len(conflicts) != 0 {
			t.Errorf("Conflicts of another device = %+v, %v", conflicts, err)
		}
		messages, err := q.QuarantinedMessages(ctx, 0)
		same(t, "QuarantinedMessages", messages, err, []meta.Quarantined{bad})
	})
}

// TestLakeManifest finds the parts whose times meet a range, both ends included.
func TestLakeManifest(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		f := meta.LakeFile{Path: "b", Class: 4, Date: "2024-01-01", Site: "n", Rows: 20, Bytes: 100, CreatedAt: 7}
		g := meta.LakeFile{Path: "a", Class: 5, Date: "2024-01-01", Site: "n", Rows: 1, Bytes: 10, CreatedAt: 8}
		late := meta.LakePart{Path: "b", Device: "d", Class: 4, Rows: 10, MinTime: 20, MaxTime: 30, MinOrdinal: 2, MinSeq: 1}
		early := meta.LakePart{Path: "b2", Device: "d", Class: 4, Rows: 10, MinTime: 10, MaxTime: 20, MinOrdinal: 1, MinSeq: 5}
		write(t, s, func(q *meta.Queries) error {
			return errors.Join(q.InsertLakeFile(ctx, f, []meta.LakePart{late}), q.InsertLakeFile(ctx, g, nil),
				q.InsertLakeFile(ctx, meta.LakeFile{Path: "b2", Class: 4}, []meta.LakePart{early}), q.InsertLakeFile(ctx, f, []meta.LakePart{late}))
		})
		files, err := q.LakeFiles(ctx, 5)
		same(t, "LakeFiles of a class", files, err, []meta.LakeFile{g})
		if files, err = q.LakeFiles(ctx, 0); err != nil || len(files) != 3 || files[0] != g || files[1] != f {
			t.Errorf("LakeFiles = %+v, %v", files, err)
		}
		for _, tt := range []struct {
			from, to int64
			want     []meta.LakePart
		}{{0, 9, nil}, {0, 10, []meta.LakePart{early}}, {20, 20, []meta.LakePart{early, late}}, {21, 99, []meta.LakePart{late}}, {30, 30, []meta.LakePart{late}}, {31, 99, nil}} {
			parts, err := q.LakeParts(ctx, "d", 4, tt.from, tt.to)
			if len(parts) == 0 {
				parts = nil
			}
			same(t, fmt.Sprintf("LakeParts from %d to %d", tt.from, tt.to), parts, err, tt.want)
		}
	})
}

// TestLakeRetired follows a file out of the manifest, back into it and to its end, and adds up what
// the lake holds.
func TestLakeRetired(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		f := meta.LakeFile{Path: "b", Class: 4, Date: "2024-01-01", Site: "n", Rows: 20, Bytes: 100}
		g := meta.LakeFile{Path: "c", Class: 4, Date: "2024-01-02", Site: "n", Rows: 1, Bytes: 10}
		parts := func(path string, from, to int64) []meta.LakePart {
			return []meta.LakePart{
				{Path: path, Device: "d", Class: 4, Rows: 1, MinTime: from, MaxTime: to},
				{Path: path, Device: "e", Class: 4, Rows: 1, MinTime: from + 1, MaxTime: to - 1},
			}
		}
		r := meta.RetiredFile{Path: "b", Reason: "merged", Bytes: 100, RetiredAt: 50}
		write(t, s, func(q *meta.Queries) error {
			return errors.Join(q.InsertLakeFile(ctx, f, parts("b", 10, 20)), q.InsertLakeFile(ctx, g, parts("c", 15, 30)),
				q.AddEqualReadings(ctx, "d", 3), q.AddEqualReadings(ctx, "d", 4), q.AddEqualReadings(ctx, "e", 1))
		})
		sums, err := q.LakeSums(ctx)
		same(t, "LakeSums", sums, err, []meta.LakeSum{{Class: 4, Files: 2, Rows: 21, Bytes: 110, Oldest: 10, Newest: 30}})
		old, err := q.LakeFilesBefore(ctx, 21)
		same(t, "LakeFilesBefore", old, err, []meta.LakeFile{f})
		if old, err = q.LakeFilesBefore(ctx, 20); err != nil || len(old) != 0 {
			t.Errorf("LakeFilesBefore the newest row = %+v, %v, want none", old, err)
		}
		for device, want := range map[string]int64{"d": 7, "e": 1, "": 8, "x": 0} {
			n, err := q.EqualReadings(ctx, device)
			same(t, "EqualReadings of "+device, n, err, want)
		}
		write(t, s, func(q *meta.Queries) error { return q.RetireLakeFile(ctx, r) })
		if err := s.Tx(ctx, func(q *meta.Queries) error { return q.RetireLakeFile(ctx, r) }); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("RetireLakeFile of a retired file = %v, want ErrNotFound", err)
		}
		files, err := q.LakeFiles(ctx, 0)
		same(t, "LakeFiles", files, err, []meta.LakeFile{g})
		if p, err := q.LakeParts(ctx, "d", 4, 0, 99); err != nil || len(p) != 1 {
			t.Errorf("LakeParts = %+v, %v, want those of the file that is left", p, err)
		}
		retired, err := q.RetiredFiles(ctx, 51)
		same(t, "RetiredFiles", retired, err, []meta.RetiredFile{r})
		if retired, err = q.RetiredFiles(ctx, 50); err != nil || len(retired) != 0 {
			t.Errorf("RetiredFiles before its time = %+v, %v, want none", retired, err)
		}
		write(t, s, func(q *meta.Queries) error { return q.InsertLakeFile(ctx, f, parts("b", 10, 20)) })
		if retired, err = q.RetiredFiles(ctx, 99); err != nil || len(retired) != 0 {
			t.Errorf("RetiredFiles = %+v, %v, want none: the file is in the manifest again", retired, err)
		}
	})
}

// TestEmptyMessage: a message without bytes is kept like any other, on both databases.
func TestEmptyMessage(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx := t.Context()
		write(t, s, func(q *meta.Queries) error {
			isNew, err := q.InsertQuarantined(ctx, meta.Quarantined{SHA256: "h", Reason: "empty"})
			same(t, "InsertQuarantined", isNew, err, true)
			return err
		})
		got, err := s.Read().QuarantinedMessages(ctx, 0)
		if err != nil || len(got) != 1 || len(got[0].Bytes) != 0 || got[0].Reason != "empty" {
			t.Errorf("QuarantinedMessages = %+v, %v, want the empty one", got, err)
		}
	})
}
