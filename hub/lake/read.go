package lake

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"iter"
	"slices"

	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

// Readings yields a device's readings with event times in [from, to], in order of (run ordinal,
// sequence number). No series means all. The sequence is a snapshot of the moment it starts; it
// ends after the first error.
func (l *Lake) Readings(ctx context.Context, device string, series []string, from, to int64) iter.Seq2[Reading, error] {
	return scan(ctx, l, device, wire.ClassReading, from, to, Key{}, readingRows, func(r *Reading) bool {
		return len(series) == 0 || slices.Contains(series, r.Series)
	})
}

// ReadingsAfter is Readings behind a key, for paging.
func (l *Lake) ReadingsAfter(ctx context.Context, device string, series []string, from, to int64, after Key) iter.Seq2[Reading, error] {
	return scan(ctx, l, device, wire.ClassReading, from, to, after, readingRows, func(r *Reading) bool {
		return len(series) == 0 || slices.Contains(series, r.Series)
	})
}

// Labels yields the matured predictions of a device's task ("" for all) with row times in [from,
// to], in order of arrival on the device.
func (l *Lake) Labels(ctx context.Context, device, task string, from, to int64) iter.Seq2[Label, error] {
	return scan(ctx, l, device, wire.ClassLabel, from, to, Key{}, labelRows, func(r *Label) bool { return task == "" || r.Task == task })
}

// Predictions yields the synced predictions of a device's task ("" for all) with row times in
// [from, to].
func (l *Lake) Predictions(ctx context.Context, device, task string, from, to int64) iter.Seq2[Prediction, error] {
	return scan(ctx, l, device, wire.ClassPrediction, from, to, Key{}, predictionRows, func(r *Prediction) bool { return task == "" || r.Task == task })
}

// Events yields a device's events, alarms apart, in the order in which the device stored them.
func (l *Lake) Events(ctx context.Context, device string) iter.Seq2[Event, error] {
	return scan(ctx, l, device, wire.ClassEvent, minTime, maxTime, Key{}, eventRows, func(*Event) bool { return true })
}

// Devices lists the devices that have readings.
func (l *Lake) Devices(ctx context.Context) ([]string, error) {
	return l.db.Read().DataDevices(ctx, int64(wire.ClassReading))
}

// source is one sorted run of a device's rows: a part of a file, or the staged chunks.
type source[T any] struct {
	stream[T]
	key    Key // of the next row, or a lower bound before it was read
	opened bool
}

// sources is a heap by key.
type sources[T any] []*source[T]

func (s sources[T]) Len() int           { return len(s) }
func (s sources[T]) Less(i, j int) bool { return s[i].key.less(s[j].key) }
func (s sources[T]) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *sources[T]) Push(x any)        { *s = append(*s, x.(*source[T])) }
func (s *sources[T]) Pop() any {
	old := *s
	x := old[len(old)-1]
	*s = old[:len(old)-1]
	return x
}

// fill returns the next row of a device, nil at the end.
func fill[T any, P row[T]](ctx context.Context, s *source[T], device string) (*T, error) {
	s.opened = true
	for {
		r, err := s.peek(ctx)
		if r == nil || err != nil {
			return nil, err
		}
		dev, key, _ := P(r).head()
		switch {
		case dev == device:
			s.key = key
			return r, nil
		case dev > device: // files are sorted by device
			return nil, nil
		}
		s.advance()
	}
}

func scan[T any, P row[T]](ctx context.Context, l *Lake, device string, class wire.Class, from, to int64, after Key,
	rows func(place, *wire.Records) []T, keep func(P) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		fail := func(err error) { yield(zero, fmt.Errorf("read lake of device %q: %w", device, err)) }
		h, err := open(ctx, l, device, class, from, to, after, rows)
		if err != nil {
			fail(err)
			return
		}
		defer func() {
			for _, s := range h {
				s.close()
			}
		}()
		for len(h) > 0 {
			if err := ctx.Err(); err != nil {
				yield(zero, err)
				return
			}
			s := h[0]
			opened := s.opened
			next, err := fill[T, P](ctx, s, device)
			switch {
			case err != nil:
				fail(err)
				return
			case next == nil:
				s.close()
				heap.Pop(&h)
				continue
			case !opened:
				heap.Fix(&h, 0)
				continue // its first row may come after that of another source
			}
			r := *next
			s.advance()
			_, key, t := P(&r).head()
			if t >= from && t <= to && after.less(key) && keep(&r) && !yield(r, nil) {
				return
			}
			next, err = fill[T, P](ctx, s, device)
			switch {
			case err != nil:
				fail(err)
				return
			case next != nil:
				heap.Fix(&h, 0)
			default:
				s.close()
				heap.Pop(&h)
			}
		}
	}
}

func open[T any](ctx context.Context, l *Lake, device string, class wire.Class, from, to int64, after Key, rows func(place, *wire.Records) []T) (sources[T], error) {
	var h sources[T]
	err := l.db.View(ctx, func(q *meta.Queries) error {
		parts, err := q.LakeParts(ctx, device, int64(class), from, to)
		if err != nil {
			return err
		}
		for _, p := range parts {
			s := &source[T]{key: Key{p.MinOrdinal, p.MinSeq}}
			s.blobs, s.path = l.blobs, p.Path
			s.wanted = func(b bounds) bool { return b.may(device, from, to, after) }
			h = append(h, s)
		}
		staged, err := q.DeviceStaged(ctx, device, int64(class))
		if err != nil {
			return err
		}
		s := &source[T]{}
		for _, c := range staged {
			_, recs, err := wire.Decode(c.Bytes)
			if err != nil {
				return err
			}
			s.rows = append(s.rows, rows(at(c), recs)...)
		}
		if len(staged) > 0 {
			s.key = Key{staged[0].RunOrdinal, staged[0].From}
			h = append(h, s)
		}
		return nil
	})
	heap.Init(&h)
	return h, err
}

// Check reports whether a device's readings arrived exactly once. Readings that the device itself
// flagged as conflicting repeats are counted apart.
type Check struct {
	Device     string                 `json:"device"`
	Readings   int64                  `json:"readings"`
	Distinct   int64                  `json:"distinct" doc:"distinct pairs of series and event time"`
	Duplicates int64                  `json:"duplicates"`
	Conflicts  int64                  `json:"conflicts" doc:"readings the device flagged as repeating a time with another value"`
	Equal      int64                  `json:"equal_left_out" doc:"readings that were left out of the lake because series, event time and value were there already"`
	Series     map[string]CheckSeries `json:"series"`
}

// CheckSeries is the check of one series.
type CheckSeries struct {
	Readings   int64 `json:"readings"`
	Distinct   int64 `json:"distinct"`
	Duplicates int64 `json:"duplicates"`
	FromTime   int64 `json:"from_time"`
	ToTime     int64 `json:"to_time"`
}

// ExactlyOnce reads everything of a device and counts. It needs eight bytes of memory per reading.
func (l *Lake) ExactlyOnce(ctx context.Context, device string) (Check, error) {
	c := Check{Device: device, Series: map[string]CheckSeries{}}
	times := map[string][]int64{}
	for r, err := range l.Readings(ctx, device, nil, minTime, maxTime) {
		if err != nil {
			return c, err
		}
		if wire.Flags(r.Flags)&wire.FlagConflict != 0 {
			c.Conflicts++
			continue
		}
		times[r.Series] = append(times[r.Series], r.Time)
	}
	for series, ts := range times {
		slices.SortFunc(ts, cmp.Compare[int64])
		s := CheckSeries{Readings: int64(len(ts)), FromTime: ts[0], ToTime: ts[len(ts)-1]}
		s.Distinct = int64(len(slices.Compact(ts)))
		s.Duplicates = s.Readings - s.Distinct
		c.Series[series] = s
		c.Readings, c.Distinct, c.Duplicates = c.Readings+s.Readings, c.Distinct+s.Distinct, c.Duplicates+s.Duplicates
	}
	var err error
	c.Equal, err = l.db.Read().EqualReadings(ctx, device)
	return c, err
}

// Summary is what the lake holds.
type Summary struct {
	Classes []ClassSummary `json:"classes"`
	Retired RetiredSummary `json:"retired" doc:"files that were merged or became too old, until their grace period ends"`
	Equal   int64          `json:"equal_left_out" doc:"readings left out because series, event time and value were there already"`
}

// ClassSummary is what the lake holds of one class of records.
type ClassSummary struct {
	Class  string `json:"class"`
	Files  int64  `json:"files"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	Oldest int64  `json:"oldest" doc:"event time, microseconds"`
	Newest int64  `json:"newest" doc:"event time, microseconds"`
	Staged int64  `json:"staged_bytes" doc:"that wait in the database to be moved here"`
}

// RetiredSummary counts files that are in the store and not in the lake.
type RetiredSummary struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Summary adds up what the lake holds, without reading a file.
func (l *Lake) Summary(ctx context.Context) (Summary, error) {
	s := Summary{Classes: []ClassSummary{}}
	err := l.db.View(ctx, func(q *meta.Queries) error {
		sums, err := q.LakeSums(ctx)
		if err != nil {
			return err
		}
		for _, c := range sums {
			s.Classes = append(s.Classes, ClassSummary{
				Class:  wire.Class(c.Class).String(),
				Files:  c.Files,
				Rows:   c.Rows,
				Bytes:  c.Bytes,
				Oldest: c.Oldest,
				Newest: c.Newest,
			})
		}
		groups, err := q.StagedGroups(ctx)
		if err != nil {
			return err
		}
		for _, g := range groups {
			name := wire.Class(g.Class).String()
			i := slices.IndexFunc(s.Classes, func(c ClassSummary) bool { return c.Class == name })
			if i < 0 {
				i = len(s.Classes)
				s.Classes = append(s.Classes, ClassSummary{Class: name})
			}
			s.Classes[i].Staged += g.Bytes
		}
		retired, err := q.RetiredFiles(ctx, maxTime)
		if err != nil {
			return err
		}
		for _, f := range retired {
			s.Retired.Files, s.Retired.Bytes = s.Retired.Files+1, s.Retired.Bytes+f.Bytes
		}
		s.Equal, err = q.EqualReadings(ctx, "")
		return err
	})
	return s, err
}

const (
	minTime = -1 << 62
	maxTime = 1 << 62
)
