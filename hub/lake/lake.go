package lake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/configs"
	"skerry.dev/hub/alarm"
	"skerry.dev/hub/blob"
	"skerry.dev/hub/duty"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

// Options tune the compactor. The zero value is a sensible default.
type Options struct {
	configs.HubLake
	// Keep is how long rows are kept, 0 for ever. A file goes when all of it is older.
	Keep time.Duration
	// Clock returns the time, and whether it may decide what is old: while it may not, nothing goes
	// for its age and no files are merged. nil: the machine's, which always may.
	Clock func(context.Context) (time.Time, bool)
	// Registerer receives the metrics. nil: none are exported.
	Registerer prometheus.Registerer
	// Log is where trouble goes. nil: nowhere.
	Log *slog.Logger
	// Step is called before each step of a move, for tests that crash there. nil: nothing.
	Step func(name string) error
}

// Lake is safe for concurrent use.
type Lake struct {
	db    *meta.Store
	blobs *blob.Store
	opts  Options
	moved prometheus.Counter
	// what Merge and Expire did
	merged, equal, deleted prometheus.Counter
	// unknown is how many files the manifest does not name
	unknown prometheus.Gauge
	mu      sync.Mutex // one compaction at a time

	damage sync.Mutex // guards damaged and verified
	// damaged are files that are not what was written, with why
	damaged  map[string]string
	verified string // the path of the file that was read last
}

// New returns a lake whose compactor does not run yet.
func New(db *meta.Store, blobs *blob.Store, opts Options) *Lake {
	configs.FillDefaults(&opts.HubLake)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Clock == nil {
		opts.Clock = func(context.Context) (time.Time, bool) { return time.Now(), true }
	}
	if opts.Step == nil {
		opts.Step = func(string) error { return nil }
	}
	l := &Lake{
		db:    db,
		blobs: blobs,
		opts:  opts,
		moved: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skerry_lake_chunks_moved_total",
			Help: "Chunks moved from staging to the lake.",
		}),
		merged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skerry_lake_files_merged_total",
			Help: "Files of the lake that were merged into larger ones.",
		}),
		equal: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skerry_lake_equal_readings_total",
			Help: "Readings left out at merging because series, event time and value were there already.",
		}),
		deleted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skerry_lake_files_deleted_total",
			Help: "Files of the lake that were deleted: merged or too old, and past the grace period.",
		}),
		unknown: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "skerry_lake_unknown_files",
			Help: "Files in the lake that the database does not know, at the start.",
		}),
	}
	if opts.Registerer != nil {
		opts.Registerer.MustRegister(l.moved, l.merged, l.equal, l.deleted, l.unknown)
	}
	return l
}

// Run removes orphans, then compacts until ctx ends. It is done under a duty: two compactors would
// undo each other's moves, and one would take the other's new files for orphans.
func (l *Lake) Run(ctx context.Context, lease *duty.Lease) error {
	age := time.Duration(0)
	if l.db.Dialect() != "sqlite" {
		age = time.Hour // another hub may compact on command: its files enter the manifest soon
		if _, ok := l.opts.Clock(ctx); !ok {
			age = math.MaxInt64
		}
	}
	if err := l.Sweep(ctx, lease, age); err != nil && ctx.Err() == nil {
		l.opts.Log.Error("removing orphaned files failed", "err", err)
	}
	t := time.NewTicker(l.opts.CompactEvery.Std())
	defer t.Stop()
	var merged time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if _, err := l.compact(ctx, lease, false); err != nil && ctx.Err() == nil {
			l.opts.Log.Error("compaction failed, it will be tried again", "err", err)
		}
		now, ok := l.opts.Clock(ctx)
		// Merging waits too: the files it retires are deleted an age later.
		if ok && now.Sub(merged).Abs() >= mergeEvery {
			merged = now
			if err := l.upkeep(ctx, lease, now); err != nil && ctx.Err() == nil {
				l.opts.Log.Error("merging the lake's files failed, it will be tried again", "err", err)
			}
		}
		if err := l.Verify(ctx, verifyBytes); err != nil && ctx.Err() == nil {
			l.opts.Log.Error("reading the lake's files failed", "err", err)
		}
		if !ok {
			continue
		}
		if err := l.tidy(ctx, lease, now); err != nil && ctx.Err() == nil {
			l.opts.Log.Error("tidying the ledger failed", "err", err)
		}
	}
}

// Tidy merges the ledger's intervals and deletes the points of charts that are old enough at a time.
func (l *Lake) Tidy(ctx context.Context, now time.Time) error { return l.tidy(ctx, nil, now) }

func (l *Lake) tidy(ctx context.Context, lease *duty.Lease, now time.Time) error {
	return l.db.Tx(ctx, func(q *meta.Queries) error {
		if err := lease.Check(ctx, q); err != nil {
			return err
		}
		if _, err := q.MergeIntervals(ctx, now.Add(-l.opts.LedgerAge.Std()).UnixMicro()); err != nil {
			return err
		}
		_, err := q.PruneLabelPoints(ctx, now.Add(-l.opts.LabelAge.Std()).UnixMicro())
		return err
	})
}

// Sweep removes what a crash left: files that were begun longer than age ago and never reached the
// manifest. Of other files that the manifest does not name it only reports the number, for they may
// be all there is of what another or a later state of this database knew. It writes under lease.
func (l *Lake) Sweep(ctx context.Context, lease *duty.Lease, age time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	files, err := l.db.Read().LakeFiles(ctx, 0)
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(files))
	for _, f := range files {
		known[f.Path] = true
	}
	begun, err := l.db.Read().LakeIntents(ctx)
	if err != nil {
		return err
	}
	retired, err := l.db.Read().RetiredFiles(ctx, math.MaxInt64)
	if err != nil {
		return err
	}
	for _, f := range retired {
		known[f.Path] = true
	}
	if len(begun) > 2*maxFiles {
		return fmt.Errorf("%d files are said to be unfinished, one move has at most %d: none is removed", len(begun), maxFiles)
	}
	for _, i := range begun {
		if time.Since(time.UnixMicro(i.BegunAt)) < age {
			known[i.Path] = true // under way at another hub
			continue
		}
		if !known[i.Path] {
			if err := l.blobs.Delete(ctx, i.Path); err != nil && !errors.Is(err, blob.ErrNotFound) {
				return err
			}
			l.opts.Log.Info("removed a file that was not finished", "path", i.Path)
		}
		err := l.db.Tx(ctx, func(q *meta.Queries) error {
			return errors.Join(lease.Check(ctx, q), q.DeleteLakeIntent(ctx, i.Path))
		})
		if err != nil {
			return err
		}
	}
	unknown, example := 0, ""
	present := make(map[string]int64, len(files))
	err = l.blobs.List(ctx, "", func(key string, size int64, modified time.Time) error {
		switch {
		case key == blob.OwnerKey, strings.HasPrefix(key, blob.ProbePrefix):
		case known[key]:
			present[key] = size
		case strings.HasSuffix(key, ".tmp"): // half written, see blob.Store.List
			if time.Since(modified) >= age {
				return l.blobs.Delete(ctx, key)
			}
		default:
			unknown++
			example = key
		}
		return nil
	})
	if err == nil {
		for _, f := range files {
			if size, ok := present[f.Path]; !ok {
				l.found(f.Path, "it is missing")
			} else if size != f.Bytes {
				l.found(f.Path, fmt.Sprintf("it has %d bytes, %d were written", size, f.Bytes))
			}
		}
	}
	l.unknown.Set(float64(unknown))
	if unknown > 0 {
		l.opts.Log.Warn("the lake has files that this database does not know, and keeps them: is it the database of this lake, or an older copy?",
			"files", unknown, "known", len(files), "example", example)
		err = errors.Join(err, l.db.Tx(ctx, func(q *meta.Queries) error {
			if err := lease.Check(ctx, q); err != nil {
				return err
			}
			return alarm.Raise(ctx, q, meta.Now(), alarm.Alarm{
				Kind: "lake_files_unknown",
				Detail: map[string]any{
					"files":      unknown,
					"known":      len(files),
					"example":    example,
					"what_to_do": "their rows are in no chart, export or training: stop the hub and put back the newest copy of its database, or move the files away if they are of another hub",
				},
			})
		}))
	}
	return err
}

// Compact moves staged chunks that are old or many enough, or all of them when force is set. It
// returns how many it moved. Chunks that another hub moves at the same time make it fail, and
// nothing of that move counts.
func (l *Lake) Compact(ctx context.Context, force bool) (int, error) {
	return l.compact(ctx, nil, force)
}

func (l *Lake) compact(ctx context.Context, lease *duty.Lease, force bool) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	groups, err := l.db.Read().StagedGroups(ctx)
	if err != nil {
		return 0, err
	}
	total := 0
	var errs []error // a group that fails stops no other
	for _, g := range groups {
		due := force || g.Bytes >= int64(l.opts.MinBytes) || time.Since(time.UnixMicro(g.Oldest)) >= l.opts.CompactAge.Std()
		for left := g.Chunks; due && left > 0; {
			n, err := l.move(ctx, lease, g.Class, g.Site)
			total += n
			l.moved.Add(float64(n))
			if err != nil {
				errs = append(errs, fmt.Errorf("compact class %s of site %q: %w", wire.Class(g.Class), g.Site, err))
			}
			if n == 0 || err != nil {
				break
			}
			left -= int64(n)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return total, errors.Join(errs...)
}

func (l *Lake) move(ctx context.Context, lease *duty.Lease, class int64, site string) (int, error) {
	chunks, err := l.db.Read().StagedChunks(ctx, class, site, l.opts.BatchChunks)
	if err != nil || len(chunks) == 0 {
		return 0, err
	}
	switch wire.Class(class) {
	case wire.ClassReading:
		return moveRows(ctx, l, lease, chunks, readingRows)
	case wire.ClassLabel:
		return moveRows(ctx, l, lease, chunks, labelRows)
	case wire.ClassPrediction:
		return moveRows(ctx, l, lease, chunks, predictionRows)
	case wire.ClassHost:
		return moveRows(ctx, l, lease, chunks, hostRows)
	default:
		return moveRows(ctx, l, lease, chunks, eventRows)
	}
}

// file is a Parquet file in memory with its manifest.
type file struct {
	data  []byte
	row   meta.LakeFile
	parts []meta.LakePart
}

func moveRows[T any, P row[T]](ctx context.Context, l *Lake, lease *duty.Lease, chunks []meta.Staged, rows func(place, *wire.Records) []T) (int, error) {
	var all []T
	readable := chunks[:0]
	for _, c := range chunks {
		_, recs, err := wire.Decode(c.Bytes)
		if err != nil {
			if err := l.setAside(ctx, lease, c, err); err != nil {
				return 0, err
			}
			continue
		}
		readable = append(readable, c)
		all = append(all, rows(at(c), recs)...)
	}
	aside := len(chunks) - len(readable)
	if chunks = readable; len(chunks) == 0 {
		return aside, nil
	}
	var files []file
	for date, rs := range byDate[T, P](all) {
		f, err := build[T, P](wire.Class(chunks[0].Class), date, chunks[0].Site, rs)
		if err != nil {
			return 0, err
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b file) int { return bytes.Compare([]byte(a.row.Path), []byte(b.row.Path)) })
	err := l.db.Tx(ctx, func(q *meta.Queries) error {
		if err := lease.Check(ctx, q); err != nil {
			return err
		}
		for _, f := range files {
			if err := q.PutLakeIntent(ctx, meta.LakeIntent{Path: f.row.Path, BegunAt: meta.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		if err := l.opts.Step("write"); err != nil {
			return 0, err
		}
		if err := l.blobs.Put(ctx, f.row.Path, f.data); err != nil {
			return 0, err
		}
	}
	if err := l.opts.Step("commit"); err != nil {
		return 0, err
	}
	err = l.db.Tx(ctx, func(q *meta.Queries) error {
		if err := lease.Check(ctx, q); err != nil {
			return err
		}
		for _, f := range files {
			if err := errors.Join(q.InsertLakeFile(ctx, f.row, f.parts), q.DeleteLakeIntent(ctx, f.row.Path)); err != nil {
				return err
			}
		}
		for _, c := range chunks {
			if err := q.DeleteStaged(ctx, c); err != nil {
				return err // somebody else moved it: nothing of this move may count
			}
		}
		return feed.Add(ctx, q, feed.KindLake, "", "", feed.Lake{
			Class:  wire.Class(chunks[0].Class).String(),
			Site:   chunks[0].Site,
			Chunks: len(chunks),
		})
	})
	if err != nil {
		return 0, err
	}
	return aside + len(chunks), l.opts.Step("done")
}

// setAside moves a staged chunk that cannot be read into quarantine, where it can be inspected, and
// raises an alarm: it was readable when it came, so that it was damaged here.
func (l *Lake) setAside(ctx context.Context, lease *duty.Lease, c meta.Staged, why error) error {
	reason := fmt.Sprintf("chunk %s/%s/%d of class %s was damaged while it waited: %v", c.Device, c.Run, c.From, wire.Class(c.Class), why)
	l.opts.Log.Error("a chunk cannot be read any longer and is set aside", "device", c.Device, "run", c.Run, "from", c.From, "records", c.Count, "err", why)
	sum := sha256.Sum256(c.Bytes)
	return l.db.Tx(ctx, func(q *meta.Queries) error {
		if err := errors.Join(lease.Check(ctx, q), q.DeleteStaged(ctx, c)); err != nil {
			return err
		}
		now := meta.Now()
		if _, err := q.InsertQuarantined(ctx, meta.Quarantined{
			SHA256:  hex.EncodeToString(sum[:]),
			Subject: "staging/" + c.Device,
			Reason:  reason,
			Bytes:   c.Bytes,
			SeenAt:  now,
		}); err != nil {
			return err
		}
		return alarm.Raise(ctx, q, now, alarm.Alarm{
			Device: c.Device,
			Kind:   "chunk_damaged",
			Key:    fmt.Sprintf("%s/%d/%d", c.Run, c.Class, c.From),
			Detail: map[string]any{
				"reason":     reason,
				"records":    c.Count,
				"what_to_do": "check the disk and the memory of the hub; the chunk is kept for inspection",
			},
		})
	})
}

// maxFiles bounds the files of one move: times are the sender's, and a wrong clock has any.
const maxFiles = 40

// byDate parts rows by the day of their time; where that makes too many parts by the year, and then
// not at all. The key is the first day of the part's span, or of the rows.
func byDate[T any, P row[T]](rows []T) map[string][]T {
	at := func(r *T) time.Time {
		_, _, us := P(r).head()
		return time.UnixMicro(us).UTC()
	}
	for _, key := range []func(time.Time) string{
		func(t time.Time) string { return t.Format(time.DateOnly) },
		func(t time.Time) string { return fmt.Sprintf("%04d-01-01", t.Year()) },
	} {
		parts := map[string][]T{}
		for i := 0; i < len(rows) && len(parts) <= maxFiles; i++ {
			k := key(at(&rows[i]))
			parts[k] = append(parts[k], rows[i])
		}
		if len(parts) <= maxFiles {
			return parts
		}
	}
	first := at(&rows[0])
	for i := range rows {
		if t := at(&rows[i]); t.Before(first) {
			first = t
		}
	}
	return map[string][]T{first.Format(time.DateOnly): rows}
}

func build[T any, P row[T]](class wire.Class, date, site string, rows []T) (file, error) {
	slices.SortStableFunc(rows, func(a, b T) int {
		da, ka, _ := P(&a).head()
		db, kb, _ := P(&b).head()
		switch {
		case da != db:
			return bytes.Compare([]byte(da), []byte(db))
		case ka.less(kb):
			return -1
		case kb.less(ka):
			return 1
		}
		return 0
	})
	b := newBuilder[T, P]()
	if err := b.add(rows); err != nil {
		return file{}, err
	}
	return b.finish(class, date, site)
}

// builder makes one file in memory of rows in order of device, run ordinal and sequence number. Its
// memory is that of the file and of one row group.
type builder[T any, P row[T]] struct {
	buf   bytes.Buffer
	w     *parquet.GenericWriter[T]
	parts []meta.LakePart
}

func newBuilder[T any, P row[T]]() *builder[T, P] {
	b := &builder[T, P]{}
	b.w = parquet.NewGenericWriter[T](&b.buf, parquet.Compression(&zstd.Codec{}), parquet.CreatedBy("skerry", "1", ""), parquet.MaxRowsPerRowGroup(groupRows))
	return b
}

func (b *builder[T, P]) add(rows []T) error {
	if _, err := b.w.Write(rows); err != nil {
		return fmt.Errorf("encode parquet: %w", err)
	}
	for i := range rows {
		dev, key, t := P(&rows[i]).head()
		n := len(b.parts)
		if n == 0 || b.parts[n-1].Device != dev {
			b.parts = append(b.parts, meta.LakePart{
				Device:     dev,
				MinTime:    math.MaxInt64,
				MaxTime:    math.MinInt64,
				MinOrdinal: key.Ordinal,
				MinSeq:     key.Seq,
			})
			n++
		}
		p := &b.parts[n-1]
		p.Rows++
		p.MinTime, p.MaxTime = min(p.MinTime, t), max(p.MaxTime, t)
	}
	return nil
}

// finish returns the file under a name made of its content. Without a date it is the first day of
// its rows. There must be a row.
func (b *builder[T, P]) finish(class wire.Class, date, site string) (file, error) {
	if err := b.w.Close(); err != nil {
		return file{}, fmt.Errorf("encode parquet: %w", err)
	}
	if date == "" {
		first := int64(math.MaxInt64)
		for _, p := range b.parts {
			first = min(first, p.MinTime)
		}
		date = time.UnixMicro(first).UTC().Format(time.DateOnly)
	}
	sum := sha256.Sum256(b.buf.Bytes())
	f := file{data: b.buf.Bytes(), parts: b.parts}
	f.row = meta.LakeFile{
		Path:      fmt.Sprintf("%s/date=%s/site=%s/%s.parquet", class, date, site, hex.EncodeToString(sum[:16])),
		Class:     int64(class),
		Date:      date,
		Site:      site,
		Bytes:     int64(b.buf.Len()),
		CreatedAt: meta.Now(),
	}
	for i := range f.parts {
		f.parts[i].Path, f.parts[i].Class = f.row.Path, int64(class)
		f.row.Rows += f.parts[i].Rows
	}
	return f, nil
}
