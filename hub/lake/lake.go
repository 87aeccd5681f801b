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
	"skerry.dev/hub/blob"
	"skerry.dev/hub/duty"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

// Options tune the compactor. The zero value is a sensible default.
type Options struct {
	configs.HubLake
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
		unknown: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "skerry_lake_unknown_files",
			Help: "Files in the lake that the database does not know, at the start.",
		}),
	}
	if opts.Registerer != nil {
		opts.Registerer.MustRegister(l.moved, l.unknown)
	}
	return l
}

// Run removes orphans, then compacts until ctx ends. It is done under a duty: two compactors would
// undo each other's moves, and one would take the other's new files for orphans.
func (l *Lake) Run(ctx context.Context, lease *duty.Lease) error {
	age := time.Duration(0)
	if l.db.Dialect() != "sqlite" {
		age = time.Hour // another hub may compact on command: its files enter the manifest soon
	}
	if err := l.Sweep(ctx, lease, age); err != nil && ctx.Err() == nil {
		l.opts.Log.Error("removing orphaned files failed", "err", err)
	}
	t := time.NewTicker(l.opts.CompactEvery.Std())
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		if _, err := l.compact(ctx, lease, false); err != nil && ctx.Err() == nil {
			l.opts.Log.Error("compaction failed, it will be tried again", "err", err)
		}
		if err := l.Verify(ctx, verifyBytes); err != nil && ctx.Err() == nil {
			l.opts.Log.Error("reading the lake's files failed", "err", err)
		}
		if err := l.tidy(ctx, lease); err != nil && ctx.Err() == nil {
			l.opts.Log.Error("tidying the ledger failed", "err", err)
		}
	}
}

func (l *Lake) tidy(ctx context.Context, lease *duty.Lease) error {
	now := time.Now()
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
	for _, g := range groups {
		due := force || g.Bytes >= int64(l.opts.MinBytes) || time.Since(time.UnixMicro(g.Oldest)) >= l.opts.CompactAge.Std()
		for left := g.Chunks; due && left > 0; {
			n, err := l.move(ctx, lease, g.Class, g.Site)
			total += n
			l.moved.Add(float64(n))
			if err != nil {
				return total, fmt.Errorf("compact class %s of site %q: %w", wire.Class(g.Class), g.Site, err)
			}
			if n == 0 {
				break
			}
			left -= int64(n)
		}
	}
	return total, nil
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
	for _, c := range chunks {
		_, recs, err := wire.Decode(c.Bytes)
		if err != nil {
			return 0, fmt.Errorf("chunk %s/%s/%d: %w", c.Device, c.Run, c.From, err)
		}
		all = append(all, rows(at(c), recs)...)
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
	return len(chunks), l.opts.Step("done")
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
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[T](&buf, parquet.Compression(&zstd.Codec{}), parquet.CreatedBy("skerry", "1", ""))
	_, err := w.Write(rows)
	if err = errors.Join(err, w.Close()); err != nil {
		return file{}, fmt.Errorf("encode parquet: %w", err)
	}
	sum := sha256.Sum256(buf.Bytes())
	f := file{data: buf.Bytes()}
	f.row = meta.LakeFile{
		Path:      fmt.Sprintf("%s/date=%s/site=%s/%s.parquet", class, date, site, hex.EncodeToString(sum[:16])),
		Class:     int64(class),
		Date:      date,
		Site:      site,
		Rows:      int64(len(rows)),
		Bytes:     int64(buf.Len()),
		CreatedAt: meta.Now(),
	}
	for i := range rows {
		dev, key, t := P(&rows[i]).head()
		n := len(f.parts)
		if n == 0 || f.parts[n-1].Device != dev {
			f.parts = append(f.parts, meta.LakePart{
				Path:       f.row.Path,
				Device:     dev,
				Class:      int64(class),
				MinTime:    math.MaxInt64,
				MaxTime:    math.MinInt64,
				MinOrdinal: key.Ordinal,
				MinSeq:     key.Seq,
			})
			n++
		}
		p := &f.parts[n-1]
		p.Rows++
		p.MinTime, p.MaxTime = min(p.MinTime, t), max(p.MaxTime, t)
	}
	return f, nil
}
