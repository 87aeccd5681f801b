package outbox

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"skerry.dev/sync/wire"
)

// Options tune an outbox; the zero value has sensible defaults.
type Options struct {
	Device string // name put into every chunk
	// Inherit has the newest chunk stored name the device, where there is one, in place of Device.
	Inherit bool
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

	mu      sync.Mutex // guards everything below
	runs    []*runState
	cur     *runState
	bytes   int64 // all chunks
	tail    int64 // applied chunks
	pending int64 // records not applied
	online  bool
	wake    chan struct{}
	dropped int64 // records dropped under pressure, since Open
	room    int64 // bytes that the file has for chunks, see Bound; 0: MaxBytes
	tight   bool  // see Tight
	shrunk  int64 // bytes that a full disk leaves to them, else 0
	added   []sample
	totals  [8]uint64 // records ever stored, by class
	// what was left of alarms and events when they were folded last, in bytes
	unfolded [8]int64
}

type sample struct {
	at    time.Time
	bytes int64
}

// DefaultMaxBytes is Options.MaxBytes when it is 0.
const DefaultMaxBytes = 256 << 20

// Open reads what earlier runs left in db and stores the start of a new run, in a transaction of
// its own.
func Open(db *bbolt.DB, opts Options) (*Outbox, error) {
	if opts.MaxBytes == 0 {
		opts.MaxBytes = DefaultMaxBytes
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
			if o.opts.Inherit && h.Device != "" {
				o.opts.Device = h.Device
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

// Device returns the name that is put into every chunk.
func (o *Outbox) Device() string { return o.opts.Device }

// Run returns the current run.
func (o *Outbox) Run() wire.Run { return o.cur.Run }

func (o *Outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Wake receives a value when there may be something to send.
func (o *Outbox) Wake() <-chan struct{} { return o.wake }

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
