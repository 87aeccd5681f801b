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
// transaction. Alarms and events, which report the gaps, have a share of the cap.
func (o *Outbox) makeRoom(tx *bbolt.Tx, a *Added) error {
	if err := o.fold(tx, a); err != nil {
		return err
	}
	size := o.bytes
	for _, e := range a.entries {
		size += int64(e.Bytes)
	}
	for _, e := range slices.Concat(a.swept, a.folded) {
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
			break // see fold
		}
		for _, e := range o.waiting(c) {
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

// waiting lists the chunks of a class that are neither applied nor under way, the oldest first.
func (o *Outbox) waiting(c wire.Class) []*entry {
	return o.runsOldestFirst(func(e *entry) bool { return !e.applied && e.Class == c && !e.inflight })
}

// shares are what the classes that report gaps may have of the cap, in eighths: above the first they
// are folded down to the second.
var shares = map[wire.Class][2]int64{wire.ClassAlarm: {6, 4}, wire.ClassEvent: {2, 1}}

// folded are gaps, those of one run, class and reason that touch as one.
type folded []wire.Gap

func (f *folded) add(g wire.Gap) {
	for i := range *f {
		old := &(*f)[i]
		if old.Run != g.Run || old.Class != g.Class || old.Reason != g.Reason || g.From > old.To+1 || g.To+1 < old.From {
			continue
		}
		old.From, old.To, old.LeftOut = min(old.From, g.From), max(old.To, g.To), max(old.LeftOut, g.LeftOut)
		if old.Series == nil {
			old.Series = g.Series
		} else {
			merge(old.Series, g.Series)
		}
		return
	}
	*f = append(*f, g)
}

// fold keeps alarms and events to their shares. Of their oldest chunks the gaps stay, those that
// touch as one, with as much of what is known of the values as has room; the rest is dropped for a
// gap of its own class.
func (o *Outbox) fold(tx *bbolt.Tx, a *Added) error {
	for _, c := range []wire.Class{wire.ClassAlarm, wire.ClassEvent} {
		share, size := shares[c], int64(0)
		for _, e := range o.waiting(c) {
			size += int64(e.Bytes)
		}
		// twice of what was left: gaps that are few but do not touch are not folded again and again
		if size <= max(o.limit()*share[0]/8, 2*o.unfolded[c]) {
			continue
		}
		var gaps folded
		for _, e := range o.waiting(c) {
			if size <= o.limit()*share[1]/8 {
				break
			}
			b, err := classBucket(tx, e.Run, e.Class)
			if err != nil {
				return err
			}
			_, r, err := wire.Decode(b.Get(key(e.Range.From)))
			if err != nil { // damaged: nobody knows what it held
				r, a.lost = &wire.Records{}, a.lost+e.records()
			}
			for _, ev := range r.Events {
				var g wire.Gap
				if ev.Kind == wire.GapKind && json.Unmarshal([]byte(ev.Detail), &g) == nil && g.From > 0 && g.From <= g.To {
					gaps.add(g)
				} else {
					a.lost++
				}
			}
			if err := b.Delete(key(e.Range.From)); err != nil {
				return err
			}
			gaps.add(wire.Gap{Run: e.Run, Class: e.Class, From: e.Range.From, To: e.Range.To, Reason: "cap"})
			a.folded = append(a.folded, e)
			size -= int64(e.Bytes)
		}
		before := len(a.entries)
		most := int(o.limit() * share[1] / 8 / int64(len(gaps)+1))
		var b Batch
		for _, g := range gaps {
			detail, err := gapDetail(g, most)
			if err != nil {
				return err
			}
			b.Events = append(b.Events, wire.Event{Time: o.now().UnixMicro(), Kind: wire.GapKind, Detail: string(detail)})
		}
		if err := o.appendClass(tx, a, wire.ClassEvent, &b); err != nil {
			return err
		}
		for _, e := range a.entries[before:] {
			size += int64(e.Bytes)
		}
		o.unfolded[c] = size
	}
	return nil
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

// gapBuild collects adjacent dropped chunks, and how many bytes each gap replaces.
type gapBuild struct {
	gaps  []wire.Gap
	bytes []int
}

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
		g.bytes[n-1] += e.Bytes
		if last.Series == nil { // its first chunk could not be read
			last.Series = series
		} else {
			merge(last.Series, series)
		}
		return nil
	}
	g.bytes = append(g.bytes, e.Bytes)
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
		for i, g := range gaps[k].gaps {
			detail, err := gapDetail(g, gaps[k].bytes[i]/8)
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

// gapDetail encodes a gap as the detail of an event of some bytes: no more than most, which is a
// share of what it replaces, but a thousand anyway, and what a detail may have. Series that have no
// room are left out, those with the fewest readings first.
func gapDetail(g wire.Gap, most int) ([]byte, error) {
	most = min(max(most, 1000), wire.MaxDetail)
	for {
		detail, err := json.Marshal(g)
		if err != nil || len(detail) <= most || len(g.Series) == 0 {
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
