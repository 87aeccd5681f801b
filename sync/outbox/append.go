package outbox

import (
	"encoding/json"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"skerry.dev/sync/wire"
)

// Batch is what one transaction adds.
type Batch struct {
	wire.Records
	Alarms []wire.Event
}

// Added is what an Append stored; it becomes visible with Committed.
type Added struct {
	entries []*entry
	dropped []*entry
	swept   []*entry
	folded  []*entry
	lost    int64 // records of the folded ones that are not reported any more
	last    [8]uint64
	totals  [8]uint64
}

// Append stores the records as chunks of the current run and makes room for them if need be. It
// must be followed by Committed after the transaction has been committed; if it was rolled back,
// nothing has happened.
func (o *Outbox) Append(tx *bbolt.Tx, b *Batch) (*Added, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := &Added{last: o.cur.last, totals: o.totals}
	if err := o.sweep(tx, a); err != nil {
		return nil, err
	}
	for _, c := range wire.Classes {
		if err := o.appendClass(tx, a, c, b); err != nil {
			return nil, err
		}
	}
	if err := o.makeRoom(tx, a); err != nil {
		return nil, err
	}
	totals := tx.Bucket(bucketTotals)
	for _, c := range wire.Classes {
		if n := a.last[c] - o.cur.last[c]; n > 0 {
			a.totals[c] += n
			if err := totals.Put([]byte{byte(c)}, key(a.totals[c])); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

func (o *Outbox) appendClass(tx *bbolt.Tx, a *Added, c wire.Class, b *Batch) error {
	r := b.Records
	if c == wire.ClassAlarm {
		r.Events = b.Alarms
	}
	plain, many := r.Split(c)
	for _, r := range []wire.Records{plain, many} {
		for n := r.Len(c); n > 0; n = r.Len(c) {
			part := take(&r, c, min(n, wire.MaxRecords))
			if err := o.put(tx, a, c, &part); err != nil {
				return err
			}
		}
	}
	return nil
}

// put stores one chunk, halved as often as its size demands.
func (o *Outbox) put(tx *bbolt.Tx, a *Added, c wire.Class, part *wire.Records) error {
	h := wire.Header{Device: o.opts.Device, Run: o.cur.Run, Class: c, First: a.last[c] + 1}
	v, err := wire.Encode(h, part)
	if n := part.Len(c); err != nil && n > 1 {
		rest := *part
		first := take(&rest, c, n/2)
		if err := o.put(tx, a, c, &first); err != nil {
			return err
		}
		return o.put(tx, a, c, &rest)
	}
	if err != nil { // one record that has no form on the wire: better changed than nothing stored
		fit := fitting(part)
		v, err = wire.Encode(h, &fit)
	}
	if err != nil {
		return err
	}
	bucket, err := classBucket(tx, o.cur.Run, c)
	if err != nil {
		return err
	}
	if err := bucket.Put(key(h.First), v); err != nil {
		return err
	}
	to := a.last[c] + uint64(part.Len(c))
	a.entries = append(a.entries, &entry{Ref: Ref{o.cur.Run, c, wire.Range{From: h.First, To: to}, len(v)}})
	a.last[c] = to
	return nil
}

// fitting returns a copy of the records whose texts can be encoded: what is no UTF-8 becomes the
// replacement character, and a detail that is too long becomes its beginning, marked as cut.
func fitting(r *wire.Records) wire.Records {
	text := func(s *string) {
		if *s = strings.ToValidUTF8(*s, "\uFFFD"); len(*s) > wire.MaxDetail {
			*s = strings.ToValidUTF8((*s)[:wire.MaxDetail], "")
		}
	}
	out := wire.Records{
		Readings:    slices.Clone(r.Readings),
		Labels:      slices.Clone(r.Labels),
		Predictions: slices.Clone(r.Predictions),
		Hosts:       slices.Clone(r.Hosts),
		Events:      slices.Clone(r.Events),
	}
	for i := range out.Readings {
		text(&out.Readings[i].Series)
	}
	for i := range out.Labels {
		text(&out.Labels[i].Task)
		text(&out.Labels[i].ChampionID)
		text(&out.Labels[i].ShadowID)
	}
	for i := range out.Predictions {
		text(&out.Predictions[i].Task)
		text(&out.Predictions[i].Model)
	}
	for i := range out.Hosts {
		text(&out.Hosts[i].Metric)
	}
	for i := range out.Events {
		e := &out.Events[i]
		text(&e.Kind)
		text(&e.Task)
		if e.Detail = strings.ToValidUTF8(e.Detail, "\uFFFD"); len(e.Detail) > wire.MaxDetail {
			cut, err := json.Marshal(map[string]any{"cut": true, "bytes": len(e.Detail), "begins": e.Detail[:1000]})
			if err != nil {
				cut = []byte(`{"cut":true}`)
			}
			e.Detail = string(cut)
		}
	}
	return out
}

func classBucket(tx *bbolt.Tx, run wire.Run, c wire.Class) (*bbolt.Bucket, error) {
	b, err := tx.Bucket(bucketOutbox).CreateBucketIfNotExists(run[:])
	if err != nil {
		return nil, err
	}
	b, err = b.CreateBucketIfNotExists([]byte{byte(c)})
	if err == nil {
		b.FillPercent = 0.9 // keys grow, pages fill to the end
	}
	return b, err
}

// take cuts the first n records of class c off r.
func take(r *wire.Records, c wire.Class, n int) (part wire.Records) {
	switch c {
	case wire.ClassReading:
		part.Readings, r.Readings = r.Readings[:n], r.Readings[n:]
	case wire.ClassLabel:
		part.Labels, r.Labels = r.Labels[:n], r.Labels[n:]
	case wire.ClassPrediction:
		part.Predictions, r.Predictions = r.Predictions[:n], r.Predictions[n:]
	case wire.ClassHost:
		part.Hosts, r.Hosts = r.Hosts[:n], r.Hosts[n:]
	default:
		part.Events, r.Events = r.Events[:n], r.Events[n:]
	}
	return part
}

// Committed makes the chunks of a committed Append visible to the sender.
func (o *Outbox) Committed(a *Added) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cur.last, o.totals = a.last, a.totals
	var bytes int64
	for _, e := range a.entries {
		e.live = o.online
		o.insert(o.cur, e.Class, e)
		bytes += int64(e.Bytes)
	}
	for _, e := range slices.Concat(a.dropped, a.swept, a.folded) {
		o.remove(e)
	}
	for _, e := range a.dropped {
		o.dropped += e.records()
	}
	o.dropped += a.lost
	o.rate(bytes)
	o.signal()
}

func (o *Outbox) remove(e *entry) {
	for _, s := range o.runs {
		if s.Run == e.Run {
			s.classes[e.Class] = slices.DeleteFunc(s.classes[e.Class], func(x *entry) bool { return x.Range == e.Range })
		}
	}
	o.bytes -= int64(e.Bytes)
	if e.applied {
		o.tail -= int64(e.Bytes)
	} else {
		o.pending -= e.records()
	}
}
