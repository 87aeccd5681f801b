package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Run is one link of a device's run chain; Ordinal numbers the runs of a device from 1 in the
// order the hub learned of them.
type Run struct {
	Device    string `json:"device"`
	Run       string `json:"run"`
	Prev      string `json:"prev"`
	Ordinal   int64  `json:"ordinal"`
	BootID    string `json:"boot_id"`
	StartedAt int64  `json:"started_at"`
	ClockOK   bool   `json:"clock_ok"`
	FirstSeen int64  `json:"first_seen"`
}

const runCols = "device, run, prev, ordinal, boot_id, started_at, clock_ok, first_seen"

func (r *Run) dest() []any {
	return []any{&r.Device, &r.Run, &r.Prev, &r.Ordinal, &r.BootID, &r.StartedAt, &r.ClockOK, &r.FirstSeen}
}

// Run returns one run of a device or ErrNotFound.
func (q *Queries) Run(ctx context.Context, device, run string) (Run, error) {
	return one[Run](ctx, q, "SELECT "+runCols+" FROM run WHERE device = $1 AND run = $2", device, run)
}

// Runs returns the run chain of a device.
func (q *Queries) Runs(ctx context.Context, device string) ([]Run, error) {
	return many[Run](ctx, q, "SELECT "+runCols+" FROM run WHERE device = $1 ORDER BY ordinal", device)
}

// NewestRuns returns the newest runs of a device, oldest first, and how many there are in all.
func (q *Queries) NewestRuns(ctx context.Context, device string, most int) ([]Run, int64, error) {
	runs, err := many[Run](ctx, q, "SELECT "+runCols+" FROM run WHERE device = $1 ORDER BY ordinal DESC LIMIT $2", device, most)
	if err != nil {
		return nil, 0, err
	}
	slices.Reverse(runs)
	n, err := q.int64(ctx, "SELECT COUNT(*) FROM run WHERE device = $1", device)
	return runs, n, err
}

// RunsAfter returns the runs of a device that continue one of those given.
func (q *Queries) RunsAfter(ctx context.Context, device string, prev []string) ([]Run, error) {
	return q.runsIn(ctx, device, "prev", prev)
}

// runsIn returns the runs of a device whose column holds one of the values.
func (q *Queries) runsIn(ctx context.Context, device, column string, values []string) (out []Run, err error) {
	values = slices.Sorted(slices.Values(values))
	for part := range slices.Chunk(slices.Compact(values), bulkRows) {
		args, places := make([]any, 1+len(part)), make([]string, len(part))
		args[0] = device
		for i, v := range part {
			args[i+1], places[i] = v, fmt.Sprintf("$%d", i+2)
		}
		runs, err := many[Run](ctx, q, "SELECT "+runCols+" FROM run WHERE device = $1 AND "+column+" IN ("+strings.Join(places, ", ")+")", args...)
		if err != nil {
			return nil, err
		}
		out = append(out, runs...)
	}
	return out, nil
}

// nextOrdinal is the number of a device's next run.
func (q *Queries) nextOrdinal(ctx context.Context, device string) (int64, error) {
	return q.int64(ctx, "SELECT COALESCE(MAX(ordinal), 0) + 1 FROM run WHERE device = $1", device)
}

// PutRun stores a run, giving it the next ordinal when it is new and keeping its ordinal
// otherwise. It returns the stored row.
func (q *Queries) PutRun(ctx context.Context, r Run) (Run, error) {
	old, err := q.Run(ctx, r.Device, r.Run)
	switch {
	case err == nil:
		r.Ordinal, r.FirstSeen = old.Ordinal, old.FirstSeen
		_, err = q.exec(ctx, "UPDATE run SET prev = $3, boot_id = $4, started_at = $5, clock_ok = $6 WHERE device = $1 AND run = $2",
			r.Device, r.Run, r.Prev, r.BootID, r.StartedAt, r.ClockOK)
		return r, err
	case !errors.Is(err, ErrNotFound):
		return r, err
	}
	if r.Ordinal, err = q.nextOrdinal(ctx, r.Device); err != nil {
		return r, err
	}
	_, err = insert(ctx, q, "run", runCols, "", &r)
	return r, err
}

// PutRuns stores runs of one device as PutRun does, with few statements for many, and returns how
// many of them are new. Of a run that occurs twice the last counts.
func (q *Queries) PutRuns(ctx context.Context, device string, runs []Run) (int64, error) {
	names := make([]string, len(runs))
	for i, r := range runs {
		names[i] = r.Run
	}
	known, err := q.runsIn(ctx, device, "run", names)
	if err != nil {
		return 0, err
	}
	next, err := q.nextOrdinal(ctx, device)
	if err != nil {
		return 0, err
	}
	at := make(map[string]int, len(known)+len(runs)) // in stored, then in fresh
	for i, r := range known {
		at[r.Run] = i
	}
	var fresh []Run
	changed := map[int]bool{}
	for _, r := range runs {
		r.Device = device
		i, ok := at[r.Run]
		switch {
		case !ok:
			r.Ordinal = next
			next++
			at[r.Run] = len(known) + len(fresh)
			fresh = append(fresh, r)
		case i >= len(known):
			r.Ordinal = fresh[i-len(known)].Ordinal
			fresh[i-len(known)] = r
		default:
			r.Ordinal, r.FirstSeen = known[i].Ordinal, known[i].FirstSeen
			changed[i] = changed[i] || r != known[i]
			known[i] = r
		}
	}
	for i := range changed {
		if !changed[i] {
			continue
		}
		r := known[i]
		if _, err := q.exec(ctx, "UPDATE run SET prev = $3, boot_id = $4, started_at = $5, clock_ok = $6 WHERE device = $1 AND run = $2",
			r.Device, r.Run, r.Prev, r.BootID, r.StartedAt, r.ClockOK); err != nil {
			return 0, err
		}
	}
	return int64(len(fresh)), insertMany(ctx, q, "run", runCols, "", fresh)
}

// Kinds of ledger intervals.
const (
	Stored   = 0 // data
	Declared = 1 // a gap: will never arrive
)

// Interval is one row of the ledger.
type Interval struct {
	Device    string
	Run       string
	Class     int64
	Kind      int64
	From, To  int64 // inclusive
	SHA256    string
	AppliedAt int64
}

const intervalCols = "device, run, class, kind, from_seq, to_seq, sha256, applied_at"

func (i *Interval) dest() []any {
	return []any{&i.Device, &i.Run, &i.Class, &i.Kind, &i.From, &i.To, &i.SHA256, &i.AppliedAt}
}

// Overlap returns the stored interval with the largest numbers that shares a sequence number with
// [from, to], or ErrNotFound. Stored intervals are disjoint, so nothing overlaps when the last
// one that starts at or before to ends before from.
func (q *Queries) Overlap(ctx context.Context, device, run string, class, from, to int64) (Interval, error) {
	i, err := one[Interval](ctx, q, "SELECT "+intervalCols+` FROM ledger WHERE device = $1 AND run = $2 AND class = $3 AND kind = 0
		AND from_seq <= $4 ORDER BY from_seq DESC LIMIT 1`, device, run, class, to)
	if err == nil && i.To < from {
		return i, ErrNotFound
	}
	return i, err
}

// InsertInterval adds an interval to the ledger. A gap that starts where an older gap starts
// replaces it when it is longer.
func (q *Queries) InsertInterval(ctx context.Context, i Interval) error {
	suffix := ""
	if i.Kind == Declared {
		suffix = `ON CONFLICT (device, run, class, kind, from_seq) DO UPDATE SET to_seq = excluded.to_seq WHERE excluded.to_seq > ledger.to_seq`
	}
	_, err := insert(ctx, q, "ledger", intervalCols, suffix, &i)
	return err
}

// Intervals returns the ledger of one run of a device in order of class and sequence number.
func (q *Queries) Intervals(ctx context.Context, device, run string) ([]Interval, error) {
	return many[Interval](ctx, q, "SELECT "+intervalCols+" FROM ledger WHERE device = $1 AND run = $2 ORDER BY class, from_seq", device, run)
}

// MergeIntervals joins neighbouring intervals of one kind that were applied before the given time
// into one row without a hash, declared ones where they overlap too, and returns how many rows that
// saved. A repeat inside a merged interval is ignored without comparing its hash.
func (q *Queries) MergeIntervals(ctx context.Context, before int64) (int, error) {
	rows, err := many[Interval](ctx, q, "SELECT "+intervalCols+` FROM ledger WHERE applied_at < $1
		ORDER BY device, run, class, kind, from_seq`, before)
	if err != nil {
		return 0, err
	}
	saved := 0
	for start := 0; start < len(rows); {
		head, end := rows[start], start+1
		last := head.From
		for end < len(rows) && head.touches(rows[end]) {
			head.To, last = max(head.To, rows[end].To), rows[end].From
			end++
		}
		if end-start > 1 {
			if _, err := q.exec(ctx, `DELETE FROM ledger WHERE device = $1 AND run = $2 AND class = $3 AND kind = $4 AND from_seq > $5 AND from_seq <= $6 AND applied_at < $7`,
				head.Device, head.Run, head.Class, head.Kind, head.From, last, before); err != nil {
				return 0, err
			}
			if _, err := q.exec(ctx, `UPDATE ledger SET to_seq = $6, sha256 = '' WHERE device = $1 AND run = $2 AND class = $3 AND kind = $4 AND from_seq = $5`,
				head.Device, head.Run, head.Class, head.Kind, head.From, head.To); err != nil {
				return 0, err
			}
			saved += end - start - 1
		}
		start = end
	}
	return saved, nil
}

// touches reports whether an interval that does not start before i leaves no number between them.
func (i Interval) touches(next Interval) bool {
	return next.Device == i.Device && next.Run == i.Run && next.Class == i.Class && next.Kind == i.Kind && next.From-1 <= i.To
}

// Staged is a chunk that waits to be moved to the lake.
type Staged struct {
	Device     string
	Run        string
	Class      int64
	From       int64
	Count      int64
	RunOrdinal int64
	Site       string
	Bytes      []byte
	StagedAt   int64
}

const stagedCols = "device, run, class, from_seq, count, run_ordinal, site, bytes, staged_at"

func (s *Staged) dest() []any {
	return []any{&s.Device, &s.Run, &s.Class, &s.From, &s.Count, &s.RunOrdinal, &s.Site, &s.Bytes, &s.StagedAt}
}

// InsertStaged stores a chunk.
func (q *Queries) InsertStaged(ctx context.Context, s Staged) error {
	_, err := insert(ctx, q, "staging", stagedCols, "", &s)
	return err
}

// StagedGroup sums up the staged chunks of one class and site.
type StagedGroup struct {
	Class  int64
	Site   string
	Chunks int64
	Bytes  int64
	Oldest int64
}

func (g *StagedGroup) dest() []any { return []any{&g.Class, &g.Site, &g.Chunks, &g.Bytes, &g.Oldest} }

// StagedGroups reports what waits in staging.
func (q *Queries) StagedGroups(ctx context.Context) ([]StagedGroup, error) {
	return many[StagedGroup](ctx, q, `SELECT class, site, COUNT(*), CAST(SUM(LENGTH(bytes)) AS BIGINT), MIN(staged_at) FROM staging
		GROUP BY class, site ORDER BY class, site`)
}

// StagedChunks returns the oldest staged chunks of a class and site in order of device, run and
// sequence number.
func (q *Queries) StagedChunks(ctx context.Context, class int64, site string, limit int) ([]Staged, error) {
	return many[Staged](ctx, q, "SELECT "+stagedCols+` FROM (SELECT * FROM staging WHERE class = $1 AND site = $2 ORDER BY staged_at LIMIT $3) AS oldest
		ORDER BY device, run_ordinal, from_seq`, class, site, limit)
}

// DeviceStaged returns the staged chunks of a device and class in order of run and sequence number.
func (q *Queries) DeviceStaged(ctx context.Context, device string, class int64) ([]Staged, error) {
	return many[Staged](ctx, q, "SELECT "+stagedCols+" FROM staging WHERE device = $1 AND class = $2 ORDER BY run_ordinal, from_seq", device, class)
}

// DeleteStaged removes one chunk. It fails with ErrNotFound when somebody else has moved it.
func (q *Queries) DeleteStaged(ctx context.Context, s Staged) error {
	return must(q.exec(ctx, "DELETE FROM staging WHERE device = $1 AND run = $2 AND class = $3 AND from_seq = $4", s.Device, s.Run, s.Class, s.From))
}

// Gap is a declared loss.
type Gap struct {
	Device     string `json:"device"`
	Run        string `json:"run"`
	Class      int64  `json:"class"`
	From       int64  `json:"from"`
	To         int64  `json:"to"`
	Reason     string `json:"reason"`
	Series     string `json:"series"` // JSON: wire.GapSeries by series
	DeclaredAt int64  `json:"declared_at"`
}

const gapCols = "device, run, class, from_seq, to_seq, reason, series, declared_at"

func (g *Gap) dest() []any {
	return []any{&g.Device, &g.Run, &g.Class, &g.From, &g.To, &g.Reason, &g.Series, &g.DeclaredAt}
}

// InsertGap records a declared loss; a repeat is ignored.
func (q *Queries) InsertGap(ctx context.Context, g Gap) error {
	_, err := insert(ctx, q, "gap", gapCols, "ON CONFLICT DO NOTHING", &g)
	return err
}

// Gaps lists declared losses, newest first; device "" means all.
func (q *Queries) Gaps(ctx context.Context, device string, limit int) ([]Gap, error) {
	return many[Gap](ctx, q, "SELECT "+gapCols+" FROM gap WHERE ($1 = '' OR device = $1) ORDER BY declared_at DESC, from_seq DESC LIMIT $2", device, orAll(limit))
}

// Conflict is a chunk that claims sequence numbers stored with other contents. Its bytes are kept.
type Conflict struct {
	SHA256       string `json:"sha256"`
	Device       string `json:"device"`
	Run          string `json:"run"`
	Class        int64  `json:"class"`
	From         int64  `json:"from"`
	To           int64  `json:"to"`
	StoredFrom   int64  `json:"stored_from"`
	StoredTo     int64  `json:"stored_to"`
	StoredSHA256 string `json:"stored_sha256"`
	Bytes        []byte `json:"-"`
	SeenAt       int64  `json:"seen_at"`
}

const conflictCols = "sha256, device, run, class, from_seq, to_seq, stored_from, stored_to, stored_sha256, bytes, seen_at"

func (c *Conflict) dest() []any {
	return []any{&c.SHA256, &c.Device, &c.Run, &c.Class, &c.From, &c.To, &c.StoredFrom, &c.StoredTo, &c.StoredSHA256, &c.Bytes, &c.SeenAt}
}

// InsertConflict keeps a conflicting chunk. It reports whether it is new.
func (q *Queries) InsertConflict(ctx context.Context, c Conflict) (bool, error) {
	n, err := insert(ctx, q, "conflict", conflictCols, "ON CONFLICT DO NOTHING", &c)
	return n > 0, err
}

// Conflicts lists conflicting chunks, newest first; device "" means all.
func (q *Queries) Conflicts(ctx context.Context, device string, limit int) ([]Conflict, error) {
	return many[Conflict](ctx, q, "SELECT "+conflictCols+" FROM conflict WHERE ($1 = '' OR device = $1) ORDER BY seen_at DESC LIMIT $2", device, orAll(limit))
}

// Quarantined is a message that could not be read as what its subject promises, or not be stored.
// SHA256 is the digest of Bytes; of a reported state, whose repeats differ, that of its subject, day
// and reason.
type Quarantined struct {
	SHA256  string `json:"sha256"`
	Subject string `json:"subject"`
	Reason  string `json:"reason"`
	Bytes   []byte `json:"-"`
	SeenAt  int64  `json:"seen_at"`
}

func (r *Quarantined) dest() []any {
	return []any{&r.SHA256, &r.Subject, &r.Reason, &r.Bytes, &r.SeenAt}
}

// InsertQuarantined keeps an unreadable message. It reports whether it is new.
func (q *Queries) InsertQuarantined(ctx context.Context, r Quarantined) (bool, error) {
	if r.Bytes == nil { // an empty message: nil would be NULL
		r.Bytes = []byte{}
	}
	n, err := insert(ctx, q, "quarantine", "sha256, subject, reason, bytes, seen_at", "ON CONFLICT DO NOTHING", &r)
	return n > 0, err
}

// QuarantinedMessages lists unreadable messages, newest first.
func (q *Queries) QuarantinedMessages(ctx context.Context, limit int) ([]Quarantined, error) {
	return many[Quarantined](ctx, q, "SELECT sha256, subject, reason, bytes, seen_at FROM quarantine ORDER BY seen_at DESC LIMIT $1", orAll(limit))
}

// LakeFile is one immutable Parquet file.
type LakeFile struct {
	Path      string `json:"path"`
	Class     int64  `json:"class"`
	Date      string `json:"date"`
	Site      string `json:"site"`
	Rows      int64  `json:"rows"`
	Bytes     int64  `json:"bytes"`
	CreatedAt int64  `json:"created_at"`
}

const lakeFileCols = "path, class, date, site, rows, bytes, created_at"

func (f *LakeFile) dest() []any {
	return []any{&f.Path, &f.Class, &f.Date, &f.Site, &f.Rows, &f.Bytes, &f.CreatedAt}
}

// LakePart describes what a lake file holds of one device. Rows of a part are ordered by (run
// ordinal, seq) from (MinOrdinal, MinSeq) on.
type LakePart struct {
	Path       string
	Device     string
	Class      int64
	Rows       int64
	MinTime    int64
	MaxTime    int64
	MinOrdinal int64
	MinSeq     int64
}

const lakePartCols = "path, device, class, rows, min_time, max_time, min_ordinal, min_seq"

func (p *LakePart) dest() []any {
	return []any{&p.Path, &p.Device, &p.Class, &p.Rows, &p.MinTime, &p.MaxTime, &p.MinOrdinal, &p.MinSeq}
}

// InsertLakeFile adds a file and its parts to the manifest. A file already there is left alone; one
// that had left the manifest is no longer to be deleted.
func (q *Queries) InsertLakeFile(ctx context.Context, f LakeFile, parts []LakePart) error {
	n, err := insert(ctx, q, "lake_file", lakeFileCols, "ON CONFLICT DO NOTHING", &f)
	if err != nil || n == 0 {
		return err
	}
	for _, p := range parts {
		if _, err := insert(ctx, q, "lake_part", lakePartCols, "", &p); err != nil {
			return err
		}
	}
	return q.DeleteRetired(ctx, f.Path)
}

// RetiredFile is a file of the lake that the manifest no longer names: its rows are in another file,
// or were kept long enough. It lies there for a while, for an older copy of this database that still
// names it.
type RetiredFile struct {
	Path      string
	Reason    string
	Bytes     int64
	RetiredAt int64
}

const retiredCols = "path, reason, bytes, retired_at"

func (f *RetiredFile) dest() []any { return []any{&f.Path, &f.Reason, &f.Bytes, &f.RetiredAt} }

// RetireLakeFile takes a file and its parts out of the manifest. It fails with ErrNotFound when the
// file is not in it: somebody else has retired it.
func (q *Queries) RetireLakeFile(ctx context.Context, f RetiredFile) error {
	if err := must(q.exec(ctx, "DELETE FROM lake_file WHERE path = $1", f.Path)); err != nil {
		return err
	}
	if _, err := q.exec(ctx, "DELETE FROM lake_part WHERE path = $1", f.Path); err != nil {
		return err
	}
	_, err := insert(ctx, q, "lake_retired", retiredCols, "ON CONFLICT (path) DO UPDATE SET reason = excluded.reason, retired_at = excluded.retired_at", &f)
	return err
}

// RetiredFiles lists the files that were retired before a time (microseconds), oldest first.
func (q *Queries) RetiredFiles(ctx context.Context, before int64) ([]RetiredFile, error) {
	return many[RetiredFile](ctx, q, "SELECT "+retiredCols+" FROM lake_retired WHERE retired_at < $1 ORDER BY retired_at, path", before)
}

// DeleteRetired forgets a retired file: it was deleted, or is in the manifest again.
func (q *Queries) DeleteRetired(ctx context.Context, path string) error {
	_, err := q.exec(ctx, "DELETE FROM lake_retired WHERE path = $1", path)
	return err
}

// AddEqualReadings adds to the number of a device's readings that were left out of the lake because
// the same series had the same value at the same time already.
func (q *Queries) AddEqualReadings(ctx context.Context, device string, n int64) error {
	_, err := q.exec(ctx, `INSERT INTO lake_equal (device, rows) VALUES ($1, $2) ON CONFLICT (device) DO UPDATE SET rows = lake_equal.rows + excluded.rows`, device, n)
	return err
}

// EqualReadings returns the number that AddEqualReadings counts, of all devices for "".
func (q *Queries) EqualReadings(ctx context.Context, device string) (int64, error) {
	return q.int64(ctx, "SELECT CAST(COALESCE(SUM(rows), 0) AS BIGINT) FROM lake_equal WHERE ($1 = '' OR device = $1)", device)
}

// LakeSum adds up the files of the lake of one class.
type LakeSum struct {
	Class  int64
	Files  int64
	Rows   int64
	Bytes  int64
	Oldest int64 // event times, microseconds
	Newest int64
}

func (s *LakeSum) dest() []any {
	return []any{&s.Class, &s.Files, &s.Rows, &s.Bytes, &s.Oldest, &s.Newest}
}

// LakeSums adds up the manifest by class.
func (q *Queries) LakeSums(ctx context.Context) ([]LakeSum, error) {
	return many[LakeSum](ctx, q, `SELECT f.class, COUNT(*), CAST(SUM(f.rows) AS BIGINT), CAST(SUM(f.bytes) AS BIGINT), MIN(p.oldest), MAX(p.newest)
		FROM lake_file f JOIN (SELECT path, MIN(min_time) AS oldest, MAX(max_time) AS newest FROM lake_part GROUP BY path) p ON p.path = f.path
		GROUP BY f.class ORDER BY f.class`)
}

// LakeFilesBefore returns the files of the manifest whose rows are all older than a time.
func (q *Queries) LakeFilesBefore(ctx context.Context, before int64) ([]LakeFile, error) {
	return many[LakeFile](ctx, q, "SELECT "+lakeFileCols+` FROM lake_file f WHERE NOT EXISTS
		(SELECT 1 FROM lake_part p WHERE p.path = f.path AND p.max_time >= $1) ORDER BY date, path`, before)
}

// LakeIntent is a file of the lake that is being written, or was when a hub died.
type LakeIntent struct {
	Path    string
	BegunAt int64 // microseconds since 1970
}

func (i *LakeIntent) dest() []any { return []any{&i.Path, &i.BegunAt} }

// PutLakeIntent records that a file is about to be written.
func (q *Queries) PutLakeIntent(ctx context.Context, i LakeIntent) error {
	_, err := insert(ctx, q, "lake_intent", "path, begun_at", "ON CONFLICT (path) DO UPDATE SET begun_at = excluded.begun_at", &i)
	return err
}

// LakeIntents lists the files that are being written.
func (q *Queries) LakeIntents(ctx context.Context) ([]LakeIntent, error) {
	return many[LakeIntent](ctx, q, "SELECT path, begun_at FROM lake_intent ORDER BY path")
}

// DeleteLakeIntent forgets that a file was to be written: it is in the manifest, or deleted.
func (q *Queries) DeleteLakeIntent(ctx context.Context, path string) error {
	_, err := q.exec(ctx, "DELETE FROM lake_intent WHERE path = $1", path)
	return err
}

// LakeFiles lists the manifest of a class, 0 for all.
func (q *Queries) LakeFiles(ctx context.Context, class int64) ([]LakeFile, error) {
	return many[LakeFile](ctx, q, "SELECT "+lakeFileCols+" FROM lake_file WHERE ($1 = 0 OR class = $1) ORDER BY path", class)
}

// LakeParts returns the parts of a device and class whose event times meet [from, to], in order
// of their first key.
func (q *Queries) LakeParts(ctx context.Context, device string, class, from, to int64) ([]LakePart, error) {
	return many[LakePart](ctx, q, "SELECT "+lakePartCols+` FROM lake_part WHERE device = $1 AND class = $2 AND min_time <= $4 AND max_time >= $3
		ORDER BY min_ordinal, min_seq`, device, class, from, to)
}

// DataDevices lists the devices that have records of a class in lake or staging.
func (q *Queries) DataDevices(ctx context.Context, class int64) ([]string, error) {
	rows, err := many[textRow](ctx, q, `SELECT device FROM lake_part WHERE class = $1 UNION SELECT device FROM staging WHERE class = $1 ORDER BY 1`, class)
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r.s
	}
	return out, err
}

// textRow is a row of one text column.
type textRow struct{ s string }

func (n *textRow) dest() []any { return []any{&n.s} }

// classCount is a number of records of a class.
type classCount struct{ class, n int64 }

func (c *classCount) dest() []any { return []any{&c.class, &c.n} }

// AppliedCounts returns how many records of each class the ledger holds of a device, over all its
// runs, declared gaps apart.
func (q *Queries) AppliedCounts(ctx context.Context, device string) (map[int64]int64, error) {
	rows, err := many[classCount](ctx, q, "SELECT class, CAST(SUM(to_seq - from_seq + 1) AS BIGINT) FROM ledger WHERE device = $1 AND kind = $2 GROUP BY class", device, Stored)
	if err != nil {
		return nil, err
	}
	out := make(map[int64]int64, len(rows))
	for _, r := range rows {
		out[r.class] = r.n
	}
	return out, nil
}
