package outbox

import (
	"cmp"
	"slices"
	"time"

	"skerry.dev/sync/wire"
)

// Online records that the link is up (true, after the hello was answered) or down. What is stored
// while it is up travels in the live lane; when it goes down everything not yet applied becomes
// backfill and will be sent again.
func (o *Outbox) Online(up bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.online = up
	o.each(func(e *entry) {
		e.live, e.sent, e.inflight = false, false, false
	})
	o.signal()
}

func (o *Outbox) each(f func(*entry)) {
	for _, s := range o.runs {
		for c := range s.classes {
			for _, e := range s.classes[c] {
				f(e)
			}
		}
	}
}

// Next returns the next chunks of the lane to send as one message, and marks them as in flight;
// call Applied, Confirm, Sent or Failed with them. In the live lane the oldest of the most
// important class comes first, in backfill the newest of the most important class, so that what
// matters now arrives first. A message carries at most maxChunks chunks and, unless its first
// chunk is larger, maxBytes bytes; alarms and events travel by themselves. It returns nothing when
// nothing waits.
func (o *Outbox) Next(l Lane, maxChunks, maxBytes int) (out []Ref) {
	o.mu.Lock()
	defer o.mu.Unlock()
	bytes := 0
	take := func(e *entry) (more bool) {
		if e.live != (l == Live) || !e.waiting() {
			return true
		}
		bytes += e.Bytes + wire.PackOverhead
		if len(out) > 0 && bytes > maxBytes {
			return false
		}
		e.inflight = true
		out = append(out, e.Ref)
		return len(out) < maxChunks
	}
	for _, c := range wire.Classes {
		if len(out) > 0 && (c <= wire.ClassEvent) != (out[0].Class <= wire.ClassEvent) {
			return out
		}
		if !o.visit(l, c, take) {
			return out
		}
	}
	return out
}

// visit calls fn with the chunks of a class in the order in which the lane sends them, until fn
// returns false. It reports whether fn never did.
func (o *Outbox) visit(l Lane, c wire.Class, fn func(*entry) bool) bool {
	if l == Live {
		for _, s := range o.runs {
			for _, e := range s.classes[c] {
				if !fn(e) {
					return false
				}
			}
		}
		return true
	}
	for _, s := range slices.Backward(o.runs) {
		for _, e := range slices.Backward(s.classes[c]) {
			if !fn(e) {
				return false
			}
		}
	}
	return true
}

func (e *entry) waiting() bool { return !e.applied && !e.sent && !e.inflight }

// Sent records that chunks are taken, or refused, and not applied. It is not progress: they come
// again after Options.Resend unless Applied or Confirm releases them first.
func (o *Outbox) Sent(refs ...Ref) { o.mark(refs, true) }

// Failed puts chunks back in their lane.
func (o *Outbox) Failed(refs ...Ref) { o.mark(refs, false) }

func (o *Outbox) mark(refs []Ref, sent bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range refs {
		if e := o.find(r); e != nil {
			e.inflight, e.sent, e.sentAt = false, sent, o.now()
		}
	}
}

// Confirm releases chunks that the hub has answered for: they are in its ledger. Unlike Applied it
// leaves everything else as it is.
func (o *Outbox) Confirm(refs ...Ref) (released int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range refs {
		if e := o.find(r); e != nil && !e.applied {
			released += o.release(e)
		}
	}
	return released
}

func (o *Outbox) release(e *entry) int64 {
	e.applied, e.sent, e.inflight = true, true, false
	o.tail += int64(e.Bytes)
	o.pending -= e.records()
	return e.records()
}

func (o *Outbox) find(r Ref) *entry {
	for _, s := range o.runs {
		if s.Run != r.Run {
			continue
		}
		es := s.classes[r.Class]
		i, ok := slices.BinarySearchFunc(es, r.Range.From, func(e *entry, from uint64) int { return cmp.Compare(e.Range.From, from) })
		if ok && es[i].Range == r.Range {
			return es[i]
		}
	}
	return nil
}

// Rewind puts chunks back that were sent longer than Options.Resend ago and never applied, and
// returns how many.
func (o *Outbox) Rewind() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	limit := o.now().Add(-o.opts.Resend)
	o.each(func(e *entry) {
		if e.sent && !e.applied && e.sentAt.Before(limit) {
			e.sent = false
			n++
		}
	})
	if n > 0 {
		o.signal()
	}
	return n
}

// Applied takes what the hub reports as applied. For the runs and classes named it replaces what
// was known: a chunk that is in the tail here and missing there is pending again.
func (o *Outbox) Applied(a wire.Applied) (released int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	type part struct {
		run   wire.Run
		class wire.Class
	}
	known := map[wire.Run]bool{}
	for _, s := range o.runs {
		known[s.Run] = true
	}
	named := map[part][]wire.Range{} // one part may be named more than once
	for _, set := range a.Sets {
		if !set.Class.Valid() || !known[set.Run] {
			continue
		}
		p := part{set.Run, set.Class}
		named[p] = append(append(named[p], wire.Range{From: 1, To: set.Mark}), set.Ranges...)
	}
	for _, s := range o.runs {
		for c := range s.classes {
			ranges, ok := named[part{s.Run, wire.Class(c)}]
			if !ok {
				continue
			}
			have := setOf(ranges)
			for _, e := range s.classes[c] {
				in := have.Contains(e.Range)
				switch {
				case in && !e.applied:
					released += o.release(e)
				case !in && e.applied:
					e.applied, e.sent, e.inflight, e.live = false, false, false, false
					o.tail -= int64(e.Bytes)
					o.pending += e.records()
					o.signal()
				}
			}
		}
	}
	return released
}

// Chain returns the runs of which something is held, oldest first, the current one last.
func (o *Outbox) Chain() []wire.RunInfo {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []wire.RunInfo
	for _, s := range o.runs {
		info := wire.RunInfo{
			Run:       s.Run,
			Prev:      s.Prev,
			BootID:    s.BootID,
			StartedAt: s.StartedAt,
			ClockOK:   s.ClockOK,
			Last:      map[wire.Class]uint64{},
		}
		for _, c := range wire.Classes {
			if s.last[c] > 0 {
				info.Last[c] = s.last[c]
			}
		}
		out = append(out, info)
	}
	return out
}

// Stats describe the queue.
type Stats struct {
	PendingRecords, PendingBytes int64
	TailBytes                    int64
	CapBytes                     int64
	Dropped                      int64   // records dropped under pressure since Open
	BytesPerDay                  float64 // recent growth
	// how long the device can stay offline at this rate; -1 when unknown
	OfflineDays float64
	// records ever stored on this device, over all runs
	Stored map[wire.Class]uint64
}

// Stats returns the queue's numbers.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := Stats{
		PendingRecords: o.pending,
		PendingBytes:   o.bytes - o.tail,
		TailBytes:      o.tail,
		CapBytes:       o.opts.MaxBytes,
		Dropped:        o.dropped,
		OfflineDays:    -1,
	}
	s.Stored = map[wire.Class]uint64{}
	for _, c := range wire.Classes {
		s.Stored[c] = o.totals[c]
	}
	if n := len(o.added); n > 1 {
		if span := o.added[n-1].at.Sub(o.added[0].at); span > time.Second {
			s.BytesPerDay = float64(o.added[n-1].bytes-o.added[0].bytes) / span.Hours() * 24
		}
	}
	if s.BytesPerDay > 0 {
		s.OfflineDays = float64(o.limit()-s.PendingBytes) / s.BytesPerDay
	}
	return s
}

// rate remembers the growth of the last hours, at most one sample a minute after the first few.
func (o *Outbox) rate(bytes int64) {
	const keep = 360
	at, total := o.now(), bytes
	if n := len(o.added); n > 0 {
		total += o.added[n-1].bytes
		if n > 2 && at.Sub(o.added[n-2].at) < time.Minute {
			o.added[n-1] = sample{at, total}
			return
		}
	}
	if len(o.added) == keep {
		o.added = o.added[1:]
	}
	o.added = append(o.added, sample{at, total})
}

// Shrink lowers the cap to a fraction of what is stored now, so that the next Append makes room:
// the disk is full although the cap is not reached. It returns with Restore.
func (o *Outbox) Shrink(fraction float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shrunk = max(int64(float64(o.bytes)*fraction), 1<<20)
}

// Restore ends a Shrink.
func (o *Outbox) Restore() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shrunk = 0
}

// Bound tells how many bytes of chunks the file has room for, beside what else lies in it. A
// quarter of the cap is theirs in any case.
func (o *Outbox) Bound(bytes int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.room, o.tight = max(bytes, o.opts.MaxBytes/4), bytes < o.opts.MaxBytes/4
}

// Tight reports whether what else is in the file leaves chunks no more than the quarter of the cap
// that they have in any case, so that the file may grow beyond the cap.
func (o *Outbox) Tight() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tight
}

// Bytes returns the size of all chunks.
func (o *Outbox) Bytes() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// limit is how many bytes of chunks may be kept now.
func (o *Outbox) limit() int64 {
	n := o.opts.MaxBytes
	if o.room > 0 {
		n = min(n, o.room)
	}
	if o.shrunk > 0 {
		n = min(n, o.shrunk)
	}
	return n
}

// Holes lists what can never arrive of earlier runs, given what the hub has applied: sequence
// numbers below the last one known that are neither stored here nor applied there. They exist
// only after damage to the store. The caller declares them as gaps.
func (o *Outbox) Holes(a wire.Applied) []wire.Gap {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []wire.Gap
	for _, s := range o.runs {
		if s == o.cur {
			continue
		}
		for _, c := range wire.Classes {
			if s.last[c] == 0 {
				continue
			}
			var have Set
			for _, set := range a.Sets {
				if set.Run == s.Run && set.Class == c {
					have.Add(wire.Range{From: 1, To: set.Mark})
					for _, r := range set.Ranges {
						have.Add(r)
					}
				}
			}
			for _, e := range s.classes[c] {
				have.Add(e.Range)
			}
			next := uint64(1)
			for _, r := range have {
				if r.From > next {
					out = append(out, wire.Gap{
						Run:    s.Run,
						Class:  c,
						From:   next,
						To:     r.From - 1,
						Reason: "damage",
					})
				}
				next = r.To + 1
			}
			if next <= s.last[c] {
				out = append(out, wire.Gap{Run: s.Run, Class: c, From: next, To: s.last[c], Reason: "damage"})
			}
		}
	}
	return out
}
