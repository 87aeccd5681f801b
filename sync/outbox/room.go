package outbox

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"skerry.dev/sync/wire"
)

// sweep deletes the tail beyond its cap, oldest first.
func (o *Outbox) sweep(tx *bbolt.Tx, a *Added) error {
	over := o.tail - o.opts.TailBytes
	for _, s := range o.runs {
		for _, c := range wire.Classes {
			for _, e := range s.classes[c] {
				if over <= 0 {
					return nil
				}
				if e.applied {
					if err := o.delete(tx, e); err != nil {
						return err
					}
					a.swept = append(a.swept, e)
					over -= int64(e.Bytes)
				}
			}
		}
	}
	return nil
}

func (o *Outbox) delete(tx *bbolt.Tx, e *entry) error {
	b, err := classBucket(tx, e.Run, e.Class)
	if err != nil {
		return err
	}
	return b.Delete(key(e.Range.From))
}

// makeRoom drops chunks until the store fits its cap: the tail first, then class by class from
// the least important, oldest first. Every dropped range is replaced by a gap record in the same
// transaction.
func (o *Outbox) makeRoom(tx *bbolt.Tx, a *Added) error {
	size := o.bytes
	for _, e := range a.entries {
		size += int64(e.Bytes)
	}
	for _, e := range a.swept {
		size -= int64(e.Bytes)
	}
	for _, e := range o.runsOldestFirst(func(e *entry) bool { return e.applied }) {
		if size <= o.limit() {
			return nil
		}
		if slices.Contains(a.swept, e) {
			continue
		}
		if err := o.delete(tx, e); err != nil {
			return err
		}
		a.swept = append(a.swept, e)
		size -= int64(e.Bytes)
	}
	if size <= o.limit() {
		return nil
	}
	target := o.limit() - o.limit()/20 // some air, so that not every commit has to drop
	gaps := map[string]*gapBuild{}
	for i := len(wire.Classes) - 1; i >= 0 && size > target; i-- {
		c := wire.Classes[i]
		if c <= wire.ClassEvent {
			break // alarms and events are what reports gaps
		}
		for _, e := range o.runsOldestFirst(func(e *entry) bool { return !e.applied && e.Class == c && !e.inflight }) {
			if size <= target {
				break
			}
			if err := o.dropInto(tx, gaps, e, "cap"); err != nil {
				return err
			}
			a.dropped = append(a.dropped, e)
			size -= int64(e.Bytes)
		}
	}
	return o.writeGaps(tx, a, gaps)
}

func (o *Outbox) runsOldestFirst(want func(*entry) bool) []*entry {
	var out []*entry
	for _, s := range o.runs {
		for _, c := range wire.Classes {
			for _, e := range s.classes[c] {
				if want(e) {
					out = append(out, e)
				}
			}
		}
	}
	return out
}

// gapBuild collects adjacent dropped chunks.
type gapBuild struct{ gaps []wire.Gap }

func (o *Outbox) dropInto(tx *bbolt.Tx, gaps map[string]*gapBuild, e *entry, reason string) error {
	b, err := classBucket(tx, e.Run, e.Class)
	if err != nil {
		return err
	}
	var series map[string]wire.GapSeries
	if _, r, err := wire.Decode(b.Get(key(e.Range.From))); err == nil {
		series = aggregate(r.Readings)
	}
	if err := b.Delete(key(e.Range.From)); err != nil {
		return err
	}
	k := e.Run.String() + e.Class.String()
	g := gaps[k]
	if g == nil {
		g = &gapBuild{}
		gaps[k] = g
	}
	if n := len(g.gaps); n > 0 && g.gaps[n-1].To+1 == e.Range.From {
		last := &g.gaps[n-1]
		last.To = e.Range.To
		if last.Series == nil { // its first chunk could not be read
			last.Series = series
		} else {
			merge(last.Series, series)
		}
		return nil
	}
	g.gaps = append(g.gaps, wire.Gap{
		Run:    e.Run,
		Class:  e.Class,
		From:   e.Range.From,
		To:     e.Range.To,
		Reason: reason,
		Series: series,
	})
	return nil
}

func (o *Outbox) writeGaps(tx *bbolt.Tx, a *Added, gaps map[string]*gapBuild) error {
	var keys []string
	for k := range gaps {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	var b Batch
	for _, k := range keys {
		for _, g := range gaps[k].gaps {
			detail, err := gapDetail(g)
			if err != nil {
				return err
			}
			b.Events = append(b.Events, wire.Event{
				Time:   o.now().UnixMicro(),
				Kind:   wire.GapKind,
				Detail: string(detail),
			})
		}
	}
	return o.appendClass(tx, a, wire.ClassEvent, &b)
}

// gapDetail encodes a gap as the detail of an event, which has a bound that its series need not keep.
func gapDetail(g wire.Gap) ([]byte, error) {
	for {
		detail, err := json.Marshal(g)
		if err != nil || len(detail) <= wire.MaxDetail {
			return detail, err
		}
		names := slices.SortedFunc(maps.Keys(g.Series), func(a, b string) int {
			return cmp.Or(cmp.Compare(g.Series[b].Count, g.Series[a].Count), cmp.Compare(a, b))
		})
		kept := map[string]wire.GapSeries{}
		for _, n := range names[:len(names)/2] {
			kept[n] = g.Series[n]
		}
		g.LeftOut += len(g.Series) - len(kept)
		g.Series = kept
	}
}

func aggregate(rs []wire.Reading) map[string]wire.GapSeries {
	if len(rs) == 0 {
		return nil
	}
	m := map[string]wire.GapSeries{}
	for _, r := range rs {
		if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) { // JSON has neither
			continue
		}
		merge(m, map[string]wire.GapSeries{r.Series: {
			Count:    1,
			FromTime: r.Time,
			ToTime:   r.Time,
			Min:      r.Value,
			Max:      r.Value,
			Mean:     r.Value,
		}})
	}
	return m
}

func merge(into, from map[string]wire.GapSeries) {
	for k, b := range from {
		a, ok := into[k]
		if !ok {
			into[k] = b
			continue
		}
		n := a.Count + b.Count
		share := float64(b.Count) / float64(n)
		a.Mean = (1-share)*a.Mean + share*b.Mean // between both: a difference or a sum may overflow
		a.Count = n
		a.FromTime, a.ToTime = min(a.FromTime, b.FromTime), max(a.ToTime, b.ToTime)
		a.Min, a.Max = min(a.Min, b.Min), max(a.Max, b.Max)
		into[k] = a
	}
}
