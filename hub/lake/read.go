package lake

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/parquet-go/parquet-go"

	"skerry.dev/hub/blob"
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

// Devices lists the devices that have readings.
func (l *Lake) Devices(ctx context.Context) ([]string, error) {
	return l.db.Read().DataDevices(ctx, int64(wire.ClassReading))
}

// source is one sorted run of rows: a part of a file, opened when its turn comes, or the staged
// chunks.
type source[T any] struct {
	key  Key // of the next row, or a lower bound while the source is not open
	part *meta.LakePart
	obj  *blob.Object
	file *parquet.GenericReader[T]
	rows []T // read ahead
	pos  int
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

func (s *source[T]) close() {
	if s.file != nil {
		_ = s.file.Close() // read only
		_ = s.obj.Close()
		s.file = nil
	}
}

const readAhead = 1024

// fill makes the next row of a device available; it reports false at the end.
func fill[T any, P row[T]](ctx context.Context, l *Lake, s *source[T], device string) (bool, error) {
	for {
		for s.pos < len(s.rows) {
			dev, key, _ := P(&s.rows[s.pos]).head()
			if dev == device {
				s.key = key
				return true, nil
			}
			if dev > device { // files are sorted by device
				return false, nil
			}
			s.pos++
		}
		if s.part == nil {
			return false, nil
		}
		if s.file == nil {
			obj, err := l.blobs.Open(ctx, s.part.Path)
			if err != nil {
				return false, err
			}
			f, err := parquet.OpenFile(obj, obj.Size)
			if err != nil {
				return false, fmt.Errorf("open %s: %w", s.part.Path, err)
			}
			s.obj, s.file, s.rows = obj, parquet.NewGenericReader[T](f), make([]T, readAhead)
		}
		n, err := s.file.Read(s.rows[:readAhead])
		s.rows, s.pos = s.rows[:n], 0
		if n == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				return false, nil
			}
			return false, fmt.Errorf("read %s: %w", s.part.Path, err)
		}
	}
}

func scan[T any, P row[T]](ctx context.Context, l *Lake, device string, class wire.Class, from, to int64, after Key,
	rows func(place, *wire.Records) []T, keep func(P) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		h, err := open(ctx, l, device, class, from, to, rows)
		if err != nil {
			yield(zero, fmt.Errorf("read lake of device %q: %w", device, err))
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
			opened := s.file != nil || s.part == nil
			ok, err := fill[T, P](ctx, l, s, device)
			if err != nil {
				yield(zero, fmt.Errorf("read lake of device %q: %w", device, err))
				return
			}
			if !ok {
				s.close()
				heap.Pop(&h)
				continue
			}
			if !opened {
				heap.Fix(&h, 0)
				continue // its first row may come after that of another source
			}
			r := s.rows[s.pos]
			s.pos++
			_, key, t := P(&r).head()
			if t >= from && t <= to && after.less(key) && keep(&r) && !yield(r, nil) {
				return
			}
			ok, err = fill[T, P](ctx, l, s, device)
			switch {
			case err != nil:
				yield(zero, fmt.Errorf("read lake of device %q: %w", device, err))
				return
			case ok:
				heap.Fix(&h, 0)
			default:
				s.close()
				heap.Pop(&h)
			}
		}
	}
}

func open[T any](ctx context.Context, l *Lake, device string, class wire.Class, from, to int64, rows func(place, *wire.Records) []T) (sources[T], error) {
	var h sources[T]
	err := l.db.View(ctx, func(q *meta.Queries) error {
		parts, err := q.LakeParts(ctx, device, int64(class), from, to)
		if err != nil {
			return err
		}
		for _, p := range parts {
			h = append(h, &source[T]{key: Key{p.MinOrdinal, p.MinSeq}, part: &p})
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
	return c, nil
}

const (
	minTime = -1 << 62
	maxTime = 1 << 62
)
