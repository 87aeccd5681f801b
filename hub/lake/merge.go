package lake

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"
	"time"

	"skerry.dev/hub/duty"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

const (
	// mergeEvery is how often files are looked for that can be merged.
	mergeEvery = time.Hour
	// maxInputs bounds the files that are open at once.
	maxInputs = 64
	// maxOfToday is how many small files the newest day may have before they are merged.
	maxOfToday = 32
	// patience is how long small files of an older day wait for others before a large one is
	// written again for their sake.
	patience = 12 * time.Hour
	// maxHashes bounds the hashes of readings in memory, eight bytes each.
	maxHashes = 4 << 20
	// maxEqual bounds the hashes that occur more than once and are looked at in one merge.
	maxEqual = 1 << 19
)

// Merged sums up what a merge did.
type Merged struct {
	Files int   `json:"files" doc:"files that were merged into others"`
	Into  int   `json:"into" doc:"files they were merged into"`
	Equal int64 `json:"equal" doc:"readings left out because series, event time and value were there already"`
}

// Merge merges small files of days before now's into files of at least FileBytes, and those of the
// newest day when they are many. Rows of a class and site stay in order of time over the files as
// far as they came so. Of readings that are equal in device, series, event time and value the first
// is kept, and the others are counted. The files that were merged leave the manifest and stay in
// the store for the grace period.
func (l *Lake) Merge(ctx context.Context, now time.Time) (Merged, error) {
	return l.merge(ctx, nil, now, true)
}

// upkeep merges, retires what is too old and deletes what was retired long enough ago.
func (l *Lake) upkeep(ctx context.Context, lease *duty.Lease, now time.Time) error {
	_, err := l.merge(ctx, lease, now, false)
	return errors.Join(err, l.retireOld(ctx, lease, now), l.expire(ctx, lease, now))
}

func (l *Lake) merge(ctx context.Context, lease *duty.Lease, now time.Time, force bool) (Merged, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var done Merged
	for {
		files, err := l.db.Read().LakeFiles(ctx, 0)
		if err != nil {
			return done, err
		}
		files = l.sound(files)
		p := planner{
			target: int64(l.opts.FileBytes),
			today:  now.UTC().Format(time.DateOnly),
			before: now.Add(-patience).UnixMicro(),
			force:  force,
		}
		groups := p.plan(files)
		progress := false
		for _, g := range groups {
			m, err := l.mergeGroup(ctx, lease, g, now)
			if err != nil {
				return done, fmt.Errorf("merge %d files of class %s and site %q from %s on: %w", len(g), wire.Class(g[0].Class), g[0].Site, g[0].Date, err)
			}
			done.Files, done.Into, done.Equal = done.Files+m.Files, done.Into+m.Into, done.Equal+m.Equal
			progress = progress || m.Files > m.Into
		}
		// A round leaves fewer files than it found, or is the last one.
		if !progress {
			return done, nil
		}
	}
}

// sound leaves out files that are known to be damaged: they must not get the name of a sound one.
func (l *Lake) sound(files []meta.LakeFile) []meta.LakeFile {
	l.damage.Lock()
	defer l.damage.Unlock()
	return slices.DeleteFunc(files, func(f meta.LakeFile) bool { _, bad := l.damaged[f.Path]; return bad })
}

// planner decides which files are merged.
type planner struct {
	target int64
	today  string
	before int64 // small files that were written later may wait
	force  bool
}

// plan returns groups of files of one class and site that are to be merged, each of two to
// maxInputs files. After a merge of them it may find more.
func (p planner) plan(files []meta.LakeFile) [][]meta.LakeFile {
	slices.SortFunc(files, func(a, b meta.LakeFile) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Date, b.Date), cmp.Compare(a.Path, b.Path))
	})
	var out [][]meta.LakeFile
	for len(files) > 0 {
		n := 0
		for n < len(files) && files[n].Class == files[0].Class && files[n].Site == files[0].Site {
			n++
		}
		settled := 0
		for settled < n && files[settled].Date < p.today {
			settled++
		}
		for _, bin := range p.bins(files[:settled]) {
			if p.due(bin) {
				out = append(out, bin)
			}
		}
		small := 0
		for _, f := range files[settled:n] {
			if f.Bytes < p.target {
				small++
			}
		}
		if small > maxOfToday {
			out = append(out, p.bins(files[settled:n])...)
		}
		files = files[n:]
	}
	// Many files are merged in steps: those beside each other first.
	var steps [][]meta.LakeFile
	for _, bin := range out {
		for part := range slices.Chunk(bin, maxInputs) {
			if len(part) > 1 {
				steps = append(steps, part)
			}
		}
	}
	return steps
}

// bins divides files in order of their dates into runs that can become files of at least the
// target. A run has less than five times of it, and a file that is large enough stands alone unless
// a small one needs it.
func (p planner) bins(files []meta.LakeFile) [][]meta.LakeFile {
	var bins [][]meta.LakeFile
	var sums []int64
	for _, f := range files {
		n := len(bins) - 1
		if n >= 0 && (sums[n] < p.target || f.Bytes < p.target && sums[n] < 3*p.target) {
			bins[n], sums[n] = append(bins[n], f), sums[n]+f.Bytes
			continue
		}
		bins, sums = append(bins, []meta.LakeFile{f}), append(sums, f.Bytes)
	}
	if n := len(bins) - 1; n > 0 && sums[n] < p.target {
		bins[n-1] = append(bins[n-1], bins[n]...)
		bins = bins[:n]
	}
	return bins
}

// due reports whether merging a bin now is worth writing its large files again.
func (p planner) due(bin []meta.LakeFile) bool {
	small, bytes, oldest := 0, int64(0), int64(math.MaxInt64)
	for _, f := range bin {
		if f.Bytes < p.target {
			small, bytes, oldest = small+1, bytes+f.Bytes, min(oldest, f.CreatedAt)
		}
	}
	return len(bin) > 1 && (p.force || small >= maxOfToday || bytes >= p.target/4 || oldest <= p.before)
}

func (l *Lake) mergeGroup(ctx context.Context, lease *duty.Lease, files []meta.LakeFile, now time.Time) (Merged, error) {
	for _, f := range files {
		why, err := l.verify(ctx, f.Path)
		if err != nil {
			return Merged{}, err
		}
		if why != "" {
			l.found(f.Path, why)
		}
	}
	if files = l.sound(files); len(files) < 2 {
		return Merged{}, nil
	}
	switch wire.Class(files[0].Class) {
	case wire.ClassReading:
		return mergeRows[Reading](ctx, l, lease, files, now)
	case wire.ClassLabel:
		return mergeRows[Label](ctx, l, lease, files, now)
	case wire.ClassPrediction:
		return mergeRows[Prediction](ctx, l, lease, files, now)
	case wire.ClassHost:
		return mergeRows[Host](ctx, l, lease, files, now)
	default:
		return mergeRows[Event](ctx, l, lease, files, now)
	}
}

// mergeRows writes the rows of files into as few new ones as keep the size, one after the other, so
// that there is one in memory at a time. What a crash leaves of them is recorded before it is
// written, and the manifest changes in one transaction: every row is in it once at any time.
func mergeRows[T any, P row[T]](ctx context.Context, l *Lake, lease *duty.Lease, files []meta.LakeFile, now time.Time) (Merged, error) {
	m := &merger[T, P]{l: l, files: files, twice: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
	cuts, err := m.survey(ctx)
	if err != nil {
		return Merged{}, err
	}
	var outputs []file
	for {
		outputs = outputs[:0]
		m.equal = map[string]int64{}
		small := false
		for i := 0; i <= len(cuts); i++ {
			from, to := int64(math.MinInt64), int64(math.MaxInt64)
			if i > 0 {
				from = cuts[i-1]
			}
			if i < len(cuts) {
				to = cuts[i] - 1
			}
			f, err := m.write(ctx, from, to)
			if err != nil {
				return Merged{}, err
			}
			if small = len(cuts) > 0 && f.row.Bytes < int64(l.opts.FileBytes); small {
				break
			}
			if err := m.put(ctx, lease, f); err != nil {
				return Merged{}, err
			}
			f.data = nil
			outputs = append(outputs, f)
		}
		if !small {
			break
		}
		// One of them became too small: all rows into one. What was written goes at the end.
		if err := m.drop(ctx, lease, outputs); err != nil {
			return Merged{}, err
		}
		cuts = nil
	}
	if err := l.opts.Step("commit"); err != nil {
		return Merged{}, err
	}
	equal := int64(0)
	for _, n := range m.equal {
		equal += n
	}
	err = l.db.Tx(ctx, func(q *meta.Queries) error {
		if err := lease.Check(ctx, q); err != nil {
			return err
		}
		for _, f := range files {
			r := meta.RetiredFile{Path: f.Path, Reason: "merged", Bytes: f.Bytes, RetiredAt: now.UnixMicro()}
			if err := q.RetireLakeFile(ctx, r); err != nil {
				return err // somebody else merged it: nothing of this merge may count
			}
		}
		for _, f := range outputs {
			if err := errors.Join(q.InsertLakeFile(ctx, f.row, f.parts), q.DeleteLakeIntent(ctx, f.row.Path)); err != nil {
				return err
			}
		}
		for device, n := range m.equal {
			if err := q.AddEqualReadings(ctx, device, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Merged{}, err
	}
	l.merged.Add(float64(len(files)))
	l.equal.Add(float64(equal))
	if equal > 0 {
		l.opts.Log.Info("left out readings that were there already", "readings", equal, "by_device", m.equal)
	}
	return Merged{len(files), len(outputs), equal}, l.opts.Step("done")
}

// merger reads a group of files as one.
type merger[T any, P row[T]] struct {
	l     *Lake
	files []meta.LakeFile
	seed  maphash.Seed
	twice map[uint64]struct{} // hashes of readings that occur more than once
	equal map[string]int64    // readings left out, by device
}

// inputs is a heap of streams by the key of their next rows.
type inputs[T any, P row[T]] []*stream[T]

func (s inputs[T, P]) Len() int { return len(s) }
func (s inputs[T, P]) Less(i, j int) bool {
	da, ka, _ := P(&s[i].rows[s[i].pos]).head()
	db, kb, _ := P(&s[j].rows[s[j].pos]).head()
	if da != db {
		return da < db
	}
	return ka.less(kb)
}
func (s inputs[T, P]) Swap(i, j int) { s[i], s[j] = s[j], s[i] }
func (s *inputs[T, P]) Push(x any)   { *s = append(*s, x.(*stream[T])) }
func (s *inputs[T, P]) Pop() any {
	old := *s
	x := old[len(old)-1]
	*s = old[:len(old)-1]
	return x
}

// each calls fn for the rows with times in [from, to] in order of device, run ordinal and sequence
// number.
func (m *merger[T, P]) each(ctx context.Context, from, to int64, fn func(r *T, device string, time int64) error) error {
	var h inputs[T, P]
	defer func() {
		for _, s := range h {
			s.close()
		}
	}()
	add := func(s *stream[T]) error {
		r, err := s.peek(ctx)
		if err != nil || r == nil {
			s.close()
			return err
		}
		h = append(h, s)
		return nil
	}
	for _, f := range m.files {
		err := add(&stream[T]{blobs: m.l.blobs, path: f.Path, wanted: func(b bounds) bool {
			return !b.time.ok || b.time.max >= from && b.time.min <= to
		}})
		if err != nil {
			return err
		}
	}
	heap.Init(&h)
	for n := 0; len(h) > 0; n++ {
		if n%readAhead == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		s := h[0]
		r := &s.rows[s.pos]
		if device, _, t := P(r).head(); t >= from && t <= to {
			if err := fn(r, device, t); err != nil {
				return err
			}
		}
		s.advance()
		next, err := s.peek(ctx)
		if err != nil {
			return err
		}
		if next != nil {
			heap.Fix(&h, 0)
			continue
		}
		s.close()
		heap.Pop(&h)
	}
	return nil
}

// value is what makes readings of one device equal. A reading that the device flagged as a
// contradiction equals only such ones.
type value struct {
	series   string
	time     int64
	bits     uint64
	conflict bool
}

func valueOf[T any](r *T) (value, bool) {
	x, ok := any(r).(*Reading)
	if !ok {
		return value{}, false
	}
	return value{x.Series, x.Time, math.Float64bits(x.Value), wire.Flags(x.Flags)&wire.FlagConflict != 0}, true
}

// survey finds which readings may be equal, and returns the times at which the rows are best
// divided over several files, none for one file. It reads the files as often as it takes to keep
// the memory bounded.
func (m *merger[T, P]) survey(ctx context.Context) ([]int64, error) {
	rows, size := int64(0), int64(0)
	for _, f := range m.files {
		rows, size = rows+f.Rows, size+f.Bytes
	}
	into := size / (3 * int64(m.l.opts.FileBytes) / 2)
	_, readings := any((*T)(nil)).(*Reading)
	passes := int64(0)
	if readings {
		passes = 1 + rows/maxHashes
	} else if into > 1 {
		passes = 1
	}
	days := map[int64]int64{} // rows by the hour
	const unit = int64(time.Hour / time.Microsecond)
	for pass := range passes {
		var hashes []uint64
		last := ""
		flush := func() {
			slices.Sort(hashes)
			for i := 1; i < len(hashes); i++ {
				if hashes[i] == hashes[i-1] && len(m.twice) < maxEqual {
					m.twice[hashes[i]] = struct{}{}
				}
			}
			hashes = hashes[:0]
		}
		err := m.each(ctx, math.MinInt64, math.MaxInt64, func(r *T, device string, t int64) error {
			if pass == 0 && into > 1 {
				days[floor(t, unit)]++
			}
			v, ok := valueOf(r)
			if !ok {
				return nil
			}
			if device != last {
				flush()
				last = device
			}
			if h := maphash.Comparable(m.seed, v); h%uint64(passes) == uint64(pass) {
				hashes = append(hashes, h)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		flush()
	}
	return cuts(days, rows, into, unit), nil
}

func floor(t, unit int64) int64 {
	f := t / unit
	if t%unit < 0 {
		f--
	}
	return f
}

// cuts divides rows into so many parts of about equal numbers, between days where there are enough
// of them and between hours otherwise. It returns the times at which the second and further parts
// begin.
func cuts(hours map[int64]int64, rows, into, unit int64) []int64 {
	if into < 2 {
		return nil
	}
	days := map[int64]int64{}
	for h, n := range hours {
		days[floor(h, 24)] += n
	}
	if int64(len(days)) >= 3*into {
		hours, unit = days, 24*unit
	}
	var keys []int64
	for k := range hours {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var out []int64
	sum := int64(0)
	for _, k := range keys {
		if int64(len(out)) < into-1 && sum >= rows/into*int64(len(out)+1) && sum > 0 {
			out = append(out, k*unit)
		}
		sum += hours[k]
	}
	return out
}

// write makes a file of the rows with times in [from, to], without those that are equal to one
// before.
func (m *merger[T, P]) write(ctx context.Context, from, to int64) (file, error) {
	b := newBuilder[T, P]()
	buf := make([]T, 0, readAhead)
	seen := map[value]struct{}{}
	last := ""
	err := m.each(ctx, from, to, func(r *T, device string, _ int64) error {
		if device != last {
			clear(seen)
			last = device
		}
		if v, ok := valueOf(r); ok && len(m.twice) > 0 {
			if _, maybe := m.twice[maphash.Comparable(m.seed, v)]; maybe {
				if _, equal := seen[v]; equal {
					m.equal[strings.Clone(device)]++
					return nil
				}
				v.series = strings.Clone(v.series)
				seen[v] = struct{}{}
			}
		}
		if buf = append(buf, *r); len(buf) == cap(buf) {
			err := b.add(buf)
			buf = buf[:0]
			return err
		}
		return nil
	})
	if err == nil {
		err = b.add(buf)
	}
	if err != nil {
		return file{}, err
	}
	return b.finish(wire.Class(m.files[0].Class), "", m.files[0].Site)
}

func (m *merger[T, P]) put(ctx context.Context, lease *duty.Lease, f file) error {
	if err := m.l.opts.Step("intend"); err != nil {
		return err
	}
	err := m.l.db.Tx(ctx, func(q *meta.Queries) error {
		return errors.Join(lease.Check(ctx, q), q.PutLakeIntent(ctx, meta.LakeIntent{Path: f.row.Path, BegunAt: meta.Now()}))
	})
	if err != nil {
		return err
	}
	if err := m.l.opts.Step("write"); err != nil {
		return err
	}
	return m.l.blobs.Put(ctx, f.row.Path, f.data)
}

// drop removes files that were written and are not needed, unless they are in the manifest.
func (m *merger[T, P]) drop(ctx context.Context, lease *duty.Lease, files []file) error {
	for _, f := range files {
		if slices.ContainsFunc(m.files, func(in meta.LakeFile) bool { return in.Path == f.row.Path }) {
			continue
		}
		if err := m.l.blobs.Delete(ctx, f.row.Path); err != nil {
			return err
		}
		err := m.l.db.Tx(ctx, func(q *meta.Queries) error {
			return errors.Join(lease.Check(ctx, q), q.DeleteLakeIntent(ctx, f.row.Path))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// retireOld takes the files out of the manifest whose rows are all older than Keep. When that would
// be everything it does nothing: the clock is more likely to be wrong.
func (l *Lake) retireOld(ctx context.Context, lease *duty.Lease, now time.Time) error {
	if l.opts.Keep <= 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old, err := l.db.Read().LakeFilesBefore(ctx, now.Add(-l.opts.Keep).UnixMicro())
	if err != nil || len(old) == 0 {
		return err
	}
	all, err := l.db.Read().LakeFiles(ctx, 0)
	if err != nil {
		return err
	}
	if len(old) == len(all) {
		l.opts.Log.Warn("every file of the lake is older than keep.lake: nothing is deleted; is the clock right?",
			"files", len(old), "keep", l.opts.Keep, "now", now.UTC())
		return nil
	}
	for _, f := range old {
		err := l.db.Tx(ctx, func(q *meta.Queries) error {
			if err := lease.Check(ctx, q); err != nil {
				return err
			}
			return q.RetireLakeFile(ctx, meta.RetiredFile{Path: f.Path, Reason: "old", Bytes: f.Bytes, RetiredAt: now.UnixMicro()})
		})
		if err != nil {
			return fmt.Errorf("retire %s: %w", f.Path, err)
		}
		l.opts.Log.Info("a file of the lake is older than keep.lake", "path", f.Path, "rows", f.Rows, "bytes", f.Bytes)
	}
	return nil
}

// expire deletes what was retired longer than the grace period ago.
func (l *Lake) expire(ctx context.Context, lease *duty.Lease, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	retired, err := l.db.Read().RetiredFiles(ctx, now.Add(-l.opts.Grace.Std()).UnixMicro())
	if err != nil || len(retired) == 0 {
		return err
	}
	files, err := l.db.Read().LakeFiles(ctx, 0)
	if err != nil {
		return err
	}
	named := make(map[string]bool, len(files))
	for _, f := range files {
		named[f.Path] = true
	}
	for _, f := range retired {
		if err := l.opts.Step("delete"); err != nil {
			return err
		}
		if !named[f.Path] {
			if err := l.blobs.Delete(ctx, f.Path); err != nil {
				return err
			}
			l.deleted.Inc()
			l.opts.Log.Info("deleted a file of the lake", "path", f.Path, "reason", f.Reason, "bytes", f.Bytes, "retired_at", time.UnixMicro(f.RetiredAt).UTC())
		}
		err := l.db.Tx(ctx, func(q *meta.Queries) error {
			return errors.Join(lease.Check(ctx, q), q.DeleteRetired(ctx, f.Path))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Expire retires what is older than Keep and deletes what was retired longer than the grace period
// before now.
func (l *Lake) Expire(ctx context.Context, now time.Time) error {
	return errors.Join(l.retireOld(ctx, nil, now), l.expire(ctx, nil, now))
}
