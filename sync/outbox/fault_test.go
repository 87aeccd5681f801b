package outbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"skerry.dev/sync/wire"
)

// noise is text that does not shrink when it is packed.
func noise(rng *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/"[rng.IntN(64)]
	}
	return string(b)
}

// heavy is n predictions of about a kilobyte each.
func heavy(rng *rand.Rand, n int) *Batch {
	b := new(Batch)
	for range n {
		b.Predictions = append(b.Predictions, wire.Prediction{Task: "t", Model: noise(rng, 1024)})
	}
	return b
}

// drain takes everything that waits and returns the ranges of a class, and the records of all.
func drain(t *testing.T, db *bbolt.DB, o *Outbox, c wire.Class) (have Set, all []*wire.Records) {
	t.Helper()
	o.Online(true)
	for {
		r, ok := next(o, Backfill)
		if !ok {
			return have, all
		}
		raw, err := o.Read(db, r)
		if err != nil {
			t.Fatal(err)
		}
		_, rec, err := wire.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if r.Class == c {
			have.Add(r.Range)
		}
		all = append(all, rec)
	}
}

// gapsOf reads the gap records among drained ones.
func gapsOf(t *testing.T, all []*wire.Records, c wire.Class) (gone Set, gaps []wire.Gap) {
	t.Helper()
	for _, rec := range all {
		for _, e := range rec.Events {
			var g wire.Gap
			if e.Kind != wire.GapKind {
				continue
			}
			if err := json.Unmarshal([]byte(e.Detail), &g); err != nil {
				t.Fatal(err)
			}
			if g.Class == c {
				gone.Add(wire.Range{From: g.From, To: g.To})
				gaps = append(gaps, g)
			}
		}
	}
	return gone, gaps
}

// TestLargeRecordsAreSplit stores records that one message cannot carry: they become several
// chunks, in order and without a hole, none above the limit.
func TestLargeRecordsAreSplit(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{})
	rng := rand.New(rand.NewPCG(1, 2))
	b := new(Batch)
	for i := range 40 {
		b.Events = append(b.Events, wire.Event{Time: int64(i), Kind: "k", Detail: noise(rng, 60_000)})
	}
	put(t, db, o, b)
	o.Online(true)
	var chunks []Ref
	for {
		r, ok := next(o, Backfill)
		if !ok {
			break
		}
		chunks = append(chunks, r)
	}
	slices.Reverse(chunks) // backfill is newest first
	seq := uint64(1)
	for _, r := range chunks {
		raw, err := o.Read(db, r)
		if err != nil || len(raw) != r.Bytes || len(raw) > wire.MaxChunkBytes {
			t.Fatalf("chunk %+v has %d bytes, %v", r, len(raw), err)
		}
		_, rec, err := wire.Decode(raw)
		if err != nil || r.Range.From != seq {
			t.Fatalf("chunk %+v, want one from %d: %v", r, seq, err)
		}
		for _, e := range rec.Events {
			if e.Time != int64(seq)-1 {
				t.Fatalf("record %d is event %d", seq, e.Time)
			}
			seq++
		}
	}
	if seq != 41 || len(chunks) < 3 {
		t.Errorf("%d chunks up to record %d, want at least 3 up to 40", len(chunks), seq-1)
	}
	// What has no form on the wire is changed until it has: it must not keep everything after it out.
	put(t, db, o, &Batch{Records: wire.Records{
		Events: []wire.Event{{Kind: "a"}, {Kind: "b", Detail: noise(rng, 70_000)}, {Kind: "c\xff", Task: strings.Repeat("t", 70_000)}},
	}})
	put(t, db, o, &Batch{Records: wire.Records{Readings: []wire.Reading{{Series: "\xffx", Value: 1}}}})
	_, records := drain(t, db, o, wire.ClassEvent)
	var events []wire.Event
	for _, r := range records {
		events = append(events, r.Events...)
	}
	for _, e := range events {
		switch {
		case e.Kind == "b" && !strings.HasPrefix(e.Detail, `{"begins":`), e.Kind == "c\uFFFD" && len(e.Task) != wire.MaxDetail:
			t.Errorf("a record too long is stored as %.80v", e)
		}
	}
	if n := len(events); n != 43 {
		t.Errorf("%d events, want 43", n)
	}
	put(t, db, o, &Batch{Records: wire.Records{Events: []wire.Event{{Kind: "a"}}}})
	if got := o.Chain()[0].Last[wire.ClassEvent]; got != 44 {
		t.Errorf("the next record is %d, want 44", got)
	}
}

// TestFullDisk fills a database whose size is bounded, as a disk is, until a commit fails. The
// failed commit changes nothing; when the outbox has shrunk, the same batch is stored, what made
// room is declared, and the cap that was configured comes back.
func TestFullDisk(t *testing.T) {
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "o.db"), 0o600, &bbolt.Options{NoSync: true, MaxSize: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	o := open(t, db, Options{MaxBytes: 100 << 20})
	rng := rand.New(rand.NewPCG(3, 4))
	add := func(b *Batch) error {
		var a *Added
		err := db.Update(func(tx *bbolt.Tx) (err error) { a, err = o.Append(tx, b); return err })
		if err == nil {
			o.Committed(a)
		}
		return err
	}
	stored := 0
	for err == nil && stored < 20_000 {
		before := o.Stats()
		b := heavy(rng, 100)
		if err = add(b); err == nil {
			stored += 100
			continue
		}
		if !errors.Is(err, berrors.ErrMaxSizeReached) {
			t.Fatalf("a full database = %v, want %v", err, berrors.ErrMaxSizeReached)
		}
		if after := o.Stats(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("a failed commit changes the numbers from %+v to %+v", before, after)
		}
	}
	if stored < 1000 || err == nil {
		t.Fatalf("%d records fill 8 MiB: %v", stored, err)
	}
	o.Shrink(0.75)
	if c := o.limit(); c >= 8<<20 {
		t.Errorf("the cap is %d after shrinking to three quarters of what is stored", c)
	}
	o.Shrink(0.75) // again before anything could be stored: the configured cap is not forgotten
	for range 30 {
		if err := add(&Batch{}); err != nil { // frees what the next may use
			t.Fatal(err)
		}
	}
	if err := add(heavy(rng, 100)); err != nil {
		t.Fatalf("after shrinking Append = %v", err)
	}
	stored += 100
	if o.Stats().Dropped == 0 {
		t.Error("nothing was dropped to make room")
	}
	o.Restore()
	o.Restore()
	if c := o.limit(); c != 100<<20 {
		t.Errorf("the cap is %d after Restore, want what was configured", c)
	}
	have, all := drain(t, db, o, wire.ClassPrediction)
	gone, gaps := gapsOf(t, all, wire.ClassPrediction)
	for _, r := range gone {
		have.Add(r)
	}
	if have.Mark() != uint64(stored) || int64(gone.Count()) != o.Stats().Dropped {
		t.Errorf("%d of %d records are stored or declared, %d of them declared, %d dropped", have.Mark(), stored, gone.Count(), o.Stats().Dropped)
	}
	for _, g := range gaps {
		if g.Reason != "cap" || g.Run != o.Run() {
			t.Errorf("gap %+v, want the run and cap as its reason", g)
		}
	}
}

// TestImportantGoesLast holds the order of dropping: telemetry of the host, predictions, readings,
// labels; alarms and events never. What is under way is not dropped.
func TestImportantGoesLast(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{MaxBytes: 30_000})
	rng := rand.New(rand.NewPCG(5, 6))
	o.Online(true)
	put(t, db, o, &Batch{Records: wire.Records{Hosts: []wire.Host{{Metric: noise(rng, 2000)}}}})
	flying, ok := next(o, Live)
	if !ok {
		t.Fatal("nothing to send")
	}
	classes := map[wire.Class]func(b *Batch, text string){
		wire.ClassAlarm:      func(b *Batch, s string) { b.Alarms = []wire.Event{{Detail: s}} },
		wire.ClassLabel:      func(b *Batch, s string) { b.Labels = []wire.Label{{Task: s}} },
		wire.ClassReading:    func(b *Batch, s string) { b.Readings = []wire.Reading{{Series: s}} },
		wire.ClassPrediction: func(b *Batch, s string) { b.Predictions = []wire.Prediction{{Task: s}} },
		wire.ClassHost:       func(b *Batch, s string) { b.Hosts = []wire.Host{{Metric: s}} },
	}
	last := map[wire.Class]int64{}
	for range 4 { // 4 of each, some 2 kB
		for _, c := range wire.Classes {
			if f := classes[c]; f != nil {
				b := new(Batch)
				f(b, noise(rng, 2000))
				put(t, db, o, b)
			}
		}
	}
	count := func() map[wire.Class]int64 {
		n := map[wire.Class]int64{}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.each(func(e *entry) { n[e.Class] += e.records() })
		return n
	}
	for i := range 7 { // with them alarms have less than their share
		b := new(Batch)
		b.Alarms = []wire.Event{{Detail: noise(rng, 2000)}}
		put(t, db, o, b)
		n := count()
		order := []wire.Class{wire.ClassHost, wire.ClassPrediction, wire.ClassReading, wire.ClassLabel}
		for k, c := range order[:3] {
			left := n[c]
			if c == wire.ClassHost {
				left-- // the one under way
			}
			if left > 0 && n[order[k+1]] < last[order[k+1]] {
				t.Errorf("alarm %d: %s is dropped while %d of %s are left", i, order[k+1], left, c)
			}
		}
		if n[wire.ClassAlarm] != int64(5+i) {
			t.Errorf("alarm %d: %d alarms are left, want %d", i, n[wire.ClassAlarm], 5+i)
		}
		last = n
	}
	if last[wire.ClassHost] != 1 || last[wire.ClassPrediction] != 0 {
		t.Errorf("%v are left, want none of the unimportant but what is under way", last)
	}
	if _, err := o.Read(db, flying); err != nil {
		t.Errorf("a chunk under way is gone: %v", err)
	}
}

// TestDropsADamagedChunk loses the bytes of one chunk behind the outbox's back and then needs
// room: the damaged one goes like the others, only without its aggregates.
func TestDropsADamagedChunk(t *testing.T) {
	for name, harm := range map[string]func(b *bbolt.Bucket, k []byte) error{
		"missing": func(b *bbolt.Bucket, k []byte) error { return b.Delete(k) },
		"damaged": func(b *bbolt.Bucket, k []byte) error { return b.Put(k, []byte("SKCH?")) },
	} {
		db := openDB(t)
		o := open(t, db, Options{MaxBytes: 20_000})
		put(t, db, o, readings(500, 0))
		err := db.Update(func(tx *bbolt.Tx) error {
			b, err := classBucket(tx, o.Run(), wire.ClassReading)
			if err != nil {
				return err
			}
			return harm(b, key(1))
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 60 {
			put(t, db, o, readings(500, int64(500*(i+1))))
		}
		have, all := drain(t, db, o, wire.ClassReading)
		gone, gaps := gapsOf(t, all, wire.ClassReading)
		if len(gaps) == 0 || gaps[len(gaps)-1].From != 1 && gaps[0].From != 1 {
			t.Fatalf("%s: gaps %+v, want one from 1", name, gaps)
		}
		for _, r := range gone {
			have.Add(r)
		}
		if have.Mark() != 61*500 {
			t.Errorf("%s: records up to %d are stored or declared, want %d", name, have.Mark(), 61*500)
		}
		n := uint64(0)
		for _, g := range gaps {
			n += uint64(g.Series["s"].Count)
		}
		if n != gone.Count()-500 {
			t.Errorf("%s: aggregates of %d records, want those of all dropped but the damaged 500: %d", name, n, gone.Count()-500)
		}
	}
}

// TestGapsOfExtremeValues drops values that JSON cannot express, and finite ones whose differences
// are not: a gap record that cannot be written would keep everything else from being stored.
func TestGapsOfExtremeValues(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{MaxBytes: 10_000})
	values := []float64{math.Inf(1), math.NaN(), math.MaxFloat64, -math.MaxFloat64, math.Inf(-1), 5e-324}
	rng := rand.New(rand.NewPCG(13, 14))
	for i := range 40 {
		b := new(Batch)
		for k := range 300 {
			b.Readings = append(b.Readings, wire.Reading{Series: "s", Time: rng.Int64N(1 << 50), Value: values[(i+k)%len(values)]})
		}
		put(t, db, o, b)
	}
	_, all := drain(t, db, o, wire.ClassReading)
	gone, gaps := gapsOf(t, all, wire.ClassReading)
	var finite uint64
	for _, g := range gaps {
		s := g.Series["s"]
		finite += uint64(s.Count)
		if s.Min != -math.MaxFloat64 || s.Max != math.MaxFloat64 || !(math.Abs(s.Mean) < 1e307) {
			t.Errorf("gap %d to %d has %+v, want all finite values between the largest there are", g.From, g.To, s)
		}
	}
	if gone.Count() == 0 || finite != gone.Count()/2 {
		t.Errorf("%d readings are dropped, their aggregates are of %d, want half: the others are not finite", gone.Count(), finite)
	}
}

// TestOpenNamesADamagedChunk: the store's owner has to learn which chunk it is.
func TestOpenNamesADamagedChunk(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{})
	put(t, db, o, readings(5, 0))
	put(t, db, o, readings(5, 5))
	for name, harm := range map[string]func(v []byte) []byte{
		"torn":    func(v []byte) []byte { return v[:len(v)-3] },
		"flipped": func(v []byte) []byte { v[40] ^= 1; return v },
		"empty":   func([]byte) []byte { return []byte{} },
	} {
		var good []byte
		set := func(f func(v []byte) []byte) {
			if err := db.Update(func(tx *bbolt.Tx) error {
				b, err := classBucket(tx, o.Run(), wire.ClassReading)
				if err != nil {
					return err
				}
				if good == nil {
					good = slices.Clone(b.Get(key(6)))
				}
				return b.Put(key(6), f(slices.Clone(good)))
			}); err != nil {
				t.Fatal(err)
			}
		}
		set(harm)
		_, err := Open(db, Options{Device: "dev"})
		if !errors.Is(err, wire.ErrCorrupt) || !strings.Contains(err.Error(), fmt.Sprintf("chunk %s/reading/6", o.Run())) {
			t.Errorf("%s: Open = %v, want ErrCorrupt of chunk 6", name, err)
		}
		set(func(v []byte) []byte { return v })
		again, err := Open(db, Options{Device: "dev"})
		if err != nil || again.Stats().PendingRecords != 10 {
			t.Errorf("%s: Open of what was repaired = %v", name, err)
		}
	}
}

// TestTailIsSwept holds that applied chunks stay as long as the tail has room for them, that the
// oldest go first, and that a chunk which is gone is reported as such.
func TestTailIsSwept(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{TailBytes: 10_000})
	rng := rand.New(rand.NewPCG(7, 8))
	o.Online(true)
	var refs []Ref
	for range 8 {
		put(t, db, o, heavy(rng, 3))
		r, ok := next(o, Live)
		if !ok {
			t.Fatal("nothing to send")
		}
		refs = append(refs, r)
		o.Confirm(r)
	}
	put(t, db, o, &Batch{})
	s := o.Stats()
	if s.TailBytes > 10_000 || s.TailBytes < 5_000 || s.PendingRecords != 0 || s.PendingBytes != 0 {
		t.Errorf("stats %+v, want a tail of at most 10000 bytes and nothing pending", s)
	}
	gone := 0
	for i, r := range refs {
		_, err := o.Read(db, r)
		if errors.Is(err, ErrGone) {
			if gone != i {
				t.Errorf("chunk %d is gone before older ones", i)
			}
			gone++
		} else if err != nil {
			t.Errorf("chunk %d: %v", i, err)
		}
	}
	if gone == 0 || gone == len(refs) {
		t.Errorf("%d of %d applied chunks are gone", gone, len(refs))
	}
	for name, r := range map[string]Ref{
		"of another run":     {Run: wire.Run{1}, Class: wire.ClassReading, Range: wire.Range{From: 1, To: 1}},
		"of an unused class": {Run: o.Run(), Class: wire.ClassAlarm, Range: wire.Range{From: 1, To: 1}},
	} {
		if _, err := o.Read(db, r); !errors.Is(err, ErrGone) {
			t.Errorf("Read of a chunk %s = %v, want ErrGone", name, err)
		}
	}
}

// TestAcknowledgementInTheMiddle gives what a hub may answer while chunks are under way: parts of a
// chunk, ranges out of order, of other runs and classes, and an answer twice.
func TestAcknowledgementInTheMiddle(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{Resend: time.Minute})
	for i := range 4 {
		put(t, db, o, readings(10, int64(i)*10))
	}
	o.Online(true)
	flying := o.Next(Backfill, 2, 1<<20) // 31..40 and 21..30
	answer := func(mark uint64, ranges ...wire.Range) int64 {
		return o.Applied(wire.Applied{Sets: []wire.AppliedSet{{Run: o.Run(), Class: wire.ClassReading, Mark: mark, Ranges: ranges}}})
	}
	for _, tt := range []struct {
		what     string
		mark     uint64
		ranges   []wire.Range
		released int64
		pending  int64
	}{
		{"half of a chunk", 5, nil, 0, 40},
		{"a chunk and half of the next", 15, nil, 10, 30},
		{"the same again", 15, nil, 0, 30},
		{"in pieces and out of order", 12, []wire.Range{{From: 36, To: 40}, {From: 31, To: 35}}, 10, 20},
		{"a hub that lost some of it", 10, nil, 0, 30},
		{"one that lost all", 0, nil, 0, 40},
		{"all and more", 99, nil, 40, 0},
	} {
		if n := answer(tt.mark, tt.ranges...); n != tt.released || o.Stats().PendingRecords != tt.pending {
			t.Errorf("%s: released %d, %d pending, want %d and %d", tt.what, n, o.Stats().PendingRecords, tt.released, tt.pending)
		}
	}
	o.Failed(flying...) // the answer to the message is lost; its chunks are applied all the same
	if r, ok := next(o, Backfill); ok {
		t.Errorf("chunk %+v is offered after it was applied", r)
	}
	if n := o.Applied(wire.Applied{Sets: []wire.AppliedSet{
		{Run: o.Run(), Class: 99, Mark: 1000},
		{Run: wire.Run{9}, Class: wire.ClassReading, Mark: 1000},
		{Run: o.Run(), Class: wire.ClassLabel, Mark: 1000},
	}}); n != 0 || o.Stats().PendingRecords != 0 {
		t.Errorf("an answer about others released %d, %d pending", n, o.Stats().PendingRecords)
	}
	if n := o.Confirm(flying...); n != 0 {
		t.Errorf("Confirm of what was applied released %d", n)
	}
}

// TestWake: a sender that waits is woken by what is stored, by the link, and by what must be sent
// again; several reasons before it looks are one.
func TestWake(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{Resend: time.Minute})
	now := time.Unix(0, 0)
	o.now = func() time.Time { return now }
	woken := func() bool {
		select {
		case <-o.Wake():
			return true
		default:
			return false
		}
	}
	if woken() {
		t.Error("woken before anything happened")
	}
	put(t, db, o, readings(1, 0))
	put(t, db, o, readings(1, 1))
	if !woken() || woken() {
		t.Error("two commits do not wake once")
	}
	o.Online(true)
	if !woken() {
		t.Error("the link does not wake")
	}
	r, _ := next(o, Backfill)
	o.Sent(r)
	o.Rewind()
	if woken() {
		t.Error("woken although nothing has to be sent again")
	}
	now = now.Add(61 * time.Second)
	if o.Rewind(); !woken() {
		t.Error("what was never applied does not wake")
	}
}

// TestRescue puts together an outbox from the values of another, in any order and among others:
// every chunk that can be read is there once, under its run, and the older run comes first.
func TestRescue(t *testing.T) {
	db := openDB(t)
	first := open(t, db, Options{StartedAt: 1000, BootID: "one"})
	for i := range 5 {
		put(t, db, first, readings(10, int64(i)*10))
	}
	second := open(t, db, Options{StartedAt: 2000, BootID: "two"})
	b := readings(7, 500)
	b.Alarms = []wire.Event{{Kind: "fire"}}
	put(t, db, second, b)
	var values [][]byte
	var collect func(b *bbolt.Bucket) error
	collect = func(b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			if v == nil {
				return collect(b.Bucket(k))
			}
			values = append(values, slices.Clone(v))
			return nil
		})
	}
	if err := db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return collect(b) })
	}); err != nil {
		t.Fatal(err)
	}
	// chunks of the first run that overlap those that are there, as an old page may hold
	over, err := wire.Encode(wire.Header{Device: "dev", Run: first.Run(), Class: wire.ClassReading, First: 8}, &readings(5, 7).Records)
	if err != nil {
		t.Fatal(err)
	}
	values = append(values, nil, []byte("junk"), []byte("{}"), []byte(`{"run":"x"}`), over[:len(over)-1])
	rng := rand.New(rand.NewPCG(9, 10))
	rng.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
	values = append(values, over, values[0]) // last: what came first is kept

	to := openDB(t)
	var n int
	if err := to.Update(func(tx *bbolt.Tx) (err error) { n, err = Rescue(tx, values); return err }); err != nil {
		t.Fatal(err)
	}
	if n != 7 {
		t.Errorf("Rescue = %d chunks, want 7", n)
	}
	if err := to.View(CheckTx); err != nil {
		t.Errorf("CheckTx of what was rescued = %v", err)
	}
	o := open(t, to, Options{})
	chain := o.Chain()
	if len(chain) != 3 || chain[0].Run != first.Run() || chain[1].Run != second.Run() || chain[0].BootID != "one" || chain[1].StartedAt != 2000 {
		t.Fatalf("chain %+v, want the first run, the second and a new one", chain)
	}
	if chain[0].Last[wire.ClassReading] != 50 || chain[1].Last[wire.ClassReading] != 7 || chain[1].Last[wire.ClassAlarm] != 1 {
		t.Errorf("chain %+v, want the last numbers of each", chain)
	}
	if p := o.Stats().PendingRecords; p != 58 {
		t.Errorf("%d records pending, want 58", p)
	}
	_, all := drain(t, to, o, wire.ClassReading)
	times := map[int64]int{}
	for _, rec := range all {
		for _, r := range rec.Readings {
			times[r.Time]++
		}
	}
	for i := range int64(50) {
		if times[i] != 1 {
			t.Errorf("reading %d is there %d times", i, times[i])
		}
	}
}

// TestCheckTx names what Open could not read.
func TestCheckTx(t *testing.T) {
	db := openDB(t)
	if err := db.View(CheckTx); err != nil {
		t.Errorf("CheckTx of an empty file = %v", err)
	}
	open(t, db, Options{})
	if err := db.View(CheckTx); err != nil {
		t.Errorf("CheckTx of a good outbox = %v", err)
	}
	for _, tt := range []struct {
		k    []byte
		v    string
		want string
	}{
		{[]byte{1, 2}, "{}", "run with a key of 2 bytes"},
		{binary.BigEndian.AppendUint64(nil, 7), "{", "run 7: "},
		{binary.BigEndian.AppendUint64(nil, 7), `{"run":"zz"}`, "run 7: "},
	} {
		if err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketRuns).Put(tt.k, []byte(tt.v)) }); err != nil {
			t.Fatal(err)
		}
		if err := db.View(CheckTx); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("CheckTx with %x=%s = %v, want %q", tt.k, tt.v, err, tt.want)
		}
		if err := db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketRuns).Delete(tt.k) }); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOfflineDays: how long the device can stay alone is what is left over the recent growth.
func TestOfflineDays(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{MaxBytes: 10 << 20})
	now := time.Unix(0, 0)
	o.now = func() time.Time { return now }
	if d := o.Stats().OfflineDays; d != -1 {
		t.Errorf("OfflineDays = %v before anything was stored, want -1", d)
	}
	rng := rand.New(rand.NewPCG(11, 12))
	for range 400 { // more samples than are kept
		put(t, db, o, heavy(rng, 1))
		now = now.Add(time.Hour)
	}
	s := o.Stats()
	perDay := float64(s.PendingBytes) / 400 * 24
	if s.BytesPerDay < 0.98*perDay || s.BytesPerDay > 1.02*perDay {
		t.Errorf("BytesPerDay = %v, want about %v", s.BytesPerDay, perDay)
	}
	if want := float64(s.CapBytes-s.PendingBytes) / s.BytesPerDay; s.OfflineDays != want || want < 100 {
		t.Errorf("OfflineDays = %v, want %v", s.OfflineDays, want)
	}
}

// TestGapOfManySeries drops readings of more series than a gap record has room for: the record names
// those with the most readings, and how many it left out.
func TestGapOfManySeries(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{MaxBytes: 1 << 20})
	rng := rand.New(rand.NewPCG(5, 6))
	for i := 0; o.Stats().Dropped == 0; i++ {
		if i > 2000 {
			t.Fatal("nothing is dropped")
		}
		b := &Batch{}
		for k := range 400 {
			b.Readings = append(b.Readings, wire.Reading{Series: fmt.Sprintf("%0100d", k*(i%3)), Time: int64(i), Value: rng.Float64()})
		}
		put(t, db, o, b)
	}
	_, all := drain(t, db, o, wire.ClassEvent)
	left := 0
	var events []wire.Event
	for _, r := range all {
		events = append(events, r.Events...)
	}
	for _, e := range events {
		var g wire.Gap
		if e.Kind != wire.GapKind || len(e.Detail) > wire.MaxDetail || json.Unmarshal([]byte(e.Detail), &g) != nil {
			t.Fatalf("event %s of %d bytes", e.Kind, len(e.Detail))
		}
		if left += g.LeftOut; len(g.Series) == 0 || g.LeftOut > 0 && g.Series[strings.Repeat("0", 100)].Count == 0 {
			t.Errorf("the gap [%d, %d] names %d series and leaves %d out, and lacks the one with the most readings", g.From, g.To, len(g.Series), g.LeftOut)
		}
	}
	if left == 0 {
		t.Error("no gap leaves a series out: the test has too few")
	}
}

// TestCapHoldsWhateverIsDropped takes readings of a thousand series for far longer than the cap has
// room for: what is reported of the dropped ones does not crowd out the rest, the cap holds, and at
// the end every record is here or named by a gap.
func TestCapHoldsWhateverIsDropped(t *testing.T) {
	db := openDB(t)
	const limit = 256 << 10
	o := open(t, db, Options{MaxBytes: limit})
	rng := rand.New(rand.NewPCG(5, 6))
	n, most, least := 0, int64(0), int64(math.MaxInt64)
	for i := range 1500 {
		b := &Batch{}
		for range 100 {
			b.Readings = append(b.Readings, wire.Reading{Series: fmt.Sprintf("plant.line4.machine.sensor-%05d", n%1000), Time: 1_795_955_508_777_036 + int64(n)*1000, Value: rng.Float64()})
			n++
		}
		if i%50 == 0 {
			b.Events = []wire.Event{{Time: int64(n), Kind: "drift", Detail: noise(rng, 1000)}}
		}
		put(t, db, o, b)
		if st := o.Stats(); i > 750 {
			most, least = max(most, st.PendingBytes), min(least, st.PendingRecords)
		}
	}
	if most > limit {
		t.Errorf("%d bytes wait, the cap is %d", most, limit)
	}
	if least < 8000 {
		t.Errorf("%d records wait at some time, want the cap's worth of readings", least)
	}
	last := o.cur.last
	have, all := map[wire.Class]*Set{}, []*wire.Records{}
	o.Online(true)
	for r, ok := next(o, Backfill); ok; r, ok = next(o, Backfill) {
		raw, err := o.Read(db, r)
		if err != nil {
			t.Fatal(err)
		}
		_, rec, err := wire.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if have[r.Class] == nil {
			have[r.Class] = &Set{}
		}
		have[r.Class].Add(r.Range)
		all = append(all, rec)
	}
	for _, c := range []wire.Class{wire.ClassReading, wire.ClassEvent} {
		gone, _ := gapsOf(t, all, c)
		for _, r := range gone {
			have[c].Add(r)
		}
		if want := (Set{{From: 1, To: last[c]}}); !slices.Equal(*have[c], want) {
			t.Errorf("of class %s there are or are named %v, want %v", c, *have[c], want)
		}
	}
}
