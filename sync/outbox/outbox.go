package outbox

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"skerry.dev/sync/wire"
)

// Options tune an outbox; the zero value has sensible defaults.
type Options struct {
	Device string // name put into every chunk
	// MaxBytes bounds the chunks kept, pending and tail together. Default 256 MiB.
	MaxBytes int64
	// TailBytes bounds the released chunks kept for a restored hub. Default an eighth of MaxBytes.
	TailBytes int64
	// Resend is how long a sent chunk may stay unapplied before the send cursor rewinds. Default
	// 60 s.
	Resend time.Duration
	// BootID, StartedAt (microseconds) and ClockOK describe the process start for the run chain.
	BootID    string
	StartedAt int64
	ClockOK   bool
}

// Lane is one of the two ways to the hub.
type Lane uint8

// The lanes.
const (
	Live     Lane = iota // made since the link came up
	Backfill             // made before
)

var (
	bucketOutbox = []byte("outbox") // run → class → first sequence number → chunk
	bucketRuns   = []byte("runs")   // ordinal → runRecord
	bucketTotals = []byte("totals") // class → records ever stored
)

// runRecord is the durable part of a run.
type runRecord struct {
	Run       wire.Run  `json:"run"`
	Prev      wire.Run  `json:"prev"`
	BootID    string    `json:"boot_id"`
	StartedAt int64     `json:"started_at"`
	ClockOK   bool      `json:"clock_ok"`
	Last      [8]uint64 `json:"last"` // by class; written when the run has ended
}

// Ref names a stored chunk.
type Ref struct {
	Run   wire.Run
	Class wire.Class
	Range wire.Range
	Bytes int
}

type entry struct {
	Ref
	live     bool
	sent     bool
	applied  bool
	sentAt   time.Time
	inflight bool
}

type runState struct {
	runRecord
	ordinal uint64
	classes [8][]*entry // by class, sorted by first sequence number
	last    [8]uint64
}

// Outbox is the send queue of one device.
type Outbox struct {
	opts Options
	now  func() time.Time

	mu         sync.Mutex // guards everything below
	runs       []*runState
	cur        *runState
	bytes      int64 // all chunks
	tail       int64 // applied chunks
	pending    int64 // records not applied
	online     bool
	wake       chan struct{}
	dropped    int64 // records dropped under pressure, since Open
	configured int64 // MaxBytes while a full disk has lowered it, else 0
	added      []sample
	totals     [8]uint64 // records ever stored, by class
}

type sample struct {
	at    time.Time
	bytes int64
}

// Open reads what earlier runs left in db and stores the start of a new run, in a transaction of
// its own.
func Open(db *bbolt.DB, opts Options) (*Outbox, error) {
	if opts.MaxBytes == 0 {
		opts.MaxBytes = 256 << 20
	}
	if opts.TailBytes == 0 {
		opts.TailBytes = opts.MaxBytes / 8
	}
	if opts.Resend == 0 {
		opts.Resend = 60 * time.Second
	}
	o := &Outbox{opts: opts, now: time.Now, wake: make(chan struct{}, 1)}
	if err := db.Update(o.begin); err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	return o, nil
}

func (o *Outbox) begin(tx *bbolt.Tx) error {
	runs, err := tx.CreateBucketIfNotExists(bucketRuns)
	if err != nil {
		return err
	}
	chunks, err := tx.CreateBucketIfNotExists(bucketOutbox)
	if err != nil {
		return err
	}
	totals, err := tx.CreateBucketIfNotExists(bucketTotals)
	if err != nil {
		return err
	}
	for _, c := range wire.Classes {
		if v := totals.Get([]byte{byte(c)}); len(v) == 8 {
			o.totals[c] = binary.BigEndian.Uint64(v)
		}
	}
	next := uint64(1)
	var prev wire.Run
	err = runs.ForEach(func(k, v []byte) error {
		s := &runState{ordinal: binary.BigEndian.Uint64(k)}
		if err := json.Unmarshal(v, &s.runRecord); err != nil {
			return fmt.Errorf("run %d: %w", s.ordinal, err)
		}
		s.last = s.Last
		if err := o.index(chunks, s); err != nil {
			return err
		}
		next, prev = s.ordinal+1, s.Run
		o.runs = append(o.runs, s)
		return nil
	})
	if err != nil {
		return err
	}
	// a run without chunks is of no more use, except as the link to the next
	for i, s := range o.runs {
		if i < len(o.runs)-1 && s.empty() {
			if err := runs.Delete(key(s.ordinal)); err != nil {
				return err
			}
			if b := chunks.Bucket(s.Run[:]); b != nil {
				if err := chunks.DeleteBucket(s.Run[:]); err != nil {
					return err
				}
			}
		}
	}
	n := len(o.runs)
	o.runs = slices.DeleteFunc(o.runs, func(s *runState) bool { return s.empty() && s != o.runs[n-1] })

	s := &runState{
		ordinal: next,
		runRecord: runRecord{
			Prev:      prev,
			BootID:    o.opts.BootID,
			StartedAt: o.opts.StartedAt,
			ClockOK:   o.opts.ClockOK,
		},
	}
	if _, err := rand.Read(s.Run[:]); err != nil {
		return err
	}
	o.cur, o.runs = s, append(o.runs, s)
	return putRun(runs, s)
}

func putRun(b *bbolt.Bucket, s *runState) error {
	s.Last = s.last
	v, err := json.Marshal(s.runRecord)
	if err != nil {
		return err
	}
	return b.Put(key(s.ordinal), v)
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func (s *runState) empty() bool {
	for _, c := range wire.Classes {
		if len(s.classes[c]) > 0 {
			return false
		}
	}
	return true
}

// index reads the headers of a run's chunks.
func (o *Outbox) index(chunks *bbolt.Bucket, s *runState) error {
	run := chunks.Bucket(s.Run[:])
	if run == nil {
		return nil
	}
	for _, c := range wire.Classes {
		b := run.Bucket([]byte{byte(c)})
		if b == nil {
			continue
		}
		err := b.ForEach(func(k, v []byte) error {
			h, err := wire.DecodeHeader(v)
			if err != nil {
				return fmt.Errorf("chunk %s/%s/%d: %w", s.Run, c, binary.BigEndian.Uint64(k), err)
			}
			o.insert(s, c, &entry{Ref: Ref{s.Run, c, wire.Range{From: h.First, To: h.Last()}, len(v)}})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *Outbox) insert(s *runState, c wire.Class, e *entry) {
	s.classes[c] = append(s.classes[c], e)
	s.last[c] = max(s.last[c], e.Range.To)
	o.bytes += int64(e.Bytes)
	o.pending += e.records()
}

func (r Ref) records() int64 { return int64(r.Range.To - r.Range.From + 1) }

// Run returns the current run.
func (o *Outbox) Run() wire.Run { return o.cur.Run }

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
	for n := r.Len(c); n > 0; n = r.Len(c) {
		part := take(&r, c, min(n, wire.MaxRecords))
		if err := o.put(tx, a, c, &part); err != nil {
			return err
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
	for _, e := range slices.Concat(a.dropped, a.swept) {
		o.remove(e)
	}
	for _, e := range a.dropped {
		o.dropped += e.records()
	}
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

func (o *Outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Wake receives a value when there may be something to send.
func (o *Outbox) Wake() <-chan struct{} { return o.wake }

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
		if size <= o.opts.MaxBytes {
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
	if size <= o.opts.MaxBytes {
		return nil
	}
	target := o.opts.MaxBytes - o.opts.MaxBytes/20 // some air, so that not every commit has to drop
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
			detail, err := json.Marshal(g)
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

// ErrGone means that a chunk is no longer stored: it was applied and swept, or dropped for a gap
// record.
var ErrGone = errors.New("chunk is no longer in the outbox")

// Read returns a chunk's bytes.
func (o *Outbox) Read(db *bbolt.DB, r Ref) (chunk []byte, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketOutbox).Bucket(r.Run[:])
		if b == nil {
			return ErrGone
		}
		if b = b.Bucket([]byte{byte(r.Class)}); b == nil {
			return ErrGone
		}
		v := b.Get(key(r.Range.From))
		if v == nil {
			return ErrGone
		}
		chunk = slices.Clone(v)
		return nil
	})
	return chunk, err
}
