package outbox

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"skerry.dev/sync/wire"
)

func openDB(t *testing.T) *bbolt.DB {
	t.Helper()
	// the tests crash by forgetting, not by power loss
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "o.db"), 0o600, &bbolt.Options{NoSync: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func open(t *testing.T, db *bbolt.DB, o Options) *Outbox {
	t.Helper()
	o.Device = "dev"
	b, err := Open(db, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readings(n int, from int64) *Batch {
	b := new(Batch)
	for i := range n {
		b.Readings = append(b.Readings, wire.Reading{Series: "s", Time: from + int64(i), Value: float64(from) + float64(i)*1.7})
	}
	return b
}

func put(t *testing.T, db *bbolt.DB, o *Outbox, b *Batch) {
	t.Helper()
	var a *Added
	if err := db.Update(func(tx *bbolt.Tx) (err error) { a, err = o.Append(tx, b); return err }); err != nil {
		t.Fatal(err)
	}
	o.Committed(a)
}

// next takes one chunk.
func next(o *Outbox, l Lane) (Ref, bool) {
	if refs := o.Next(l, 1, 0); len(refs) > 0 {
		return refs[0], true
	}
	return Ref{}, false
}

func TestSequencesAndSplit(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{})
	put(t, db, o, readings(1200, 0))
	put(t, db, o, readings(3, 5000))
	o.Online(true)
	var got []wire.Range
	for {
		r, ok := next(o, Backfill)
		if !ok {
			break
		}
		b, err := o.Read(db, r)
		if err != nil {
			t.Fatal(err)
		}
		h, err := wire.DecodeHeader(b)
		if err != nil || h.First != r.Range.From || h.Last() != r.Range.To {
			t.Fatalf("chunk %+v holds %+v (%v)", r, h, err)
		}
		got = append(got, r.Range)
	}
	if want := "[{1201 1203} {1001 1200} {501 1000} {1 500}]"; fmt.Sprint(got) != want {
		t.Errorf("backfill order %v, want %s", got, want)
	}
	if s := o.Stats(); s.PendingRecords != 1203 || s.Stored[wire.ClassReading] != 1203 {
		t.Errorf("stats %+v", s)
	}
}

// TestClassesApart: what programs before tasks of many classes cannot read is in chunks of its own,
// behind the others.
func TestClassesApart(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{})
	b := new(Batch)
	for i := range 10 {
		l, p := wire.Label{Task: "level", Row: int64(i)}, wire.Prediction{Task: "level", Row: int64(i)}
		if i%3 == 0 {
			l.Task, l.Classes, l.Chance = "phase", 3, 0.5
			p.Task, p.Chances, p.Set = "phase", []float32{0.25, 0.5, 0.25}, []bool{false, true, true}
		}
		b.Labels, b.Predictions = append(b.Labels, l), append(b.Predictions, p)
	}
	put(t, db, o, b)
	o.Online(true)
	var got []string
	for {
		r, ok := next(o, Backfill)
		if !ok {
			break
		}
		v, err := o.Read(db, r)
		if err != nil {
			t.Fatal(err)
		}
		_, rec, err := wire.Decode(v)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(r.Class, r.Range, v[4]))
		for _, l := range rec.Labels {
			if (l.Task == "phase") != (v[4] == 2) || l.Task == "phase" && l.Chance != 0.5 {
				t.Errorf("%+v in a chunk of version %d", l, v[4])
			}
		}
		for _, p := range rec.Predictions {
			if (p.Task == "phase") != (v[4] == 2) || p.Task == "phase" && !p.Set[2] {
				t.Errorf("%+v in a chunk of version %d", p, v[4])
			}
		}
	}
	if want := "[label {7 10} 2 label {1 6} 1 prediction {7 10} 2 prediction {1 6} 1]"; fmt.Sprint(got) != want {
		t.Errorf("chunks %v, want %s", got, want)
	}
}

func TestRollbackLeavesNothing(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{})
	_ = db.Update(func(tx *bbolt.Tx) error {
		if _, err := o.Append(tx, readings(10, 0)); err != nil {
			t.Fatal(err)
		}
		return fmt.Errorf("no")
	})
	put(t, db, o, readings(2, 0))
	o.Online(true)
	if r, _ := next(o, Backfill); r.Range != (wire.Range{From: 1, To: 2}) {
		t.Errorf("first chunk after a rollback is %+v, want 1..2", r)
	}
}

func TestLanesAndPriority(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{})
	put(t, db, o, readings(1, 1))
	o.Online(true)
	b := readings(1, 2)
	b.Alarms = []wire.Event{{Kind: "fire"}}
	put(t, db, o, b)
	first, _ := next(o, Live)
	second, _ := next(o, Live)
	back, ok := next(o, Backfill)
	if first.Class != wire.ClassAlarm || second.Range.From != 2 || !ok || back.Range.From != 1 {
		t.Errorf("live %v %v, backfill %v %v: want the alarm, reading 2, reading 1", first, second, back, ok)
	}
	if _, ok := next(o, Live); ok {
		t.Error("a chunk in flight is offered twice")
	}
	o.Failed(second)
	if r, ok := next(o, Live); !ok || r != second {
		t.Error("a failed chunk is not offered again")
	}
	o.Online(false)
	o.Online(true)
	n := 0
	for {
		if _, ok := next(o, Backfill); !ok {
			break
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d chunks in backfill after a reconnect, want 3", n)
	}
}

func TestSentIsNotReleased(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{Resend: time.Minute})
	now := time.Unix(1000, 0)
	o.now = func() time.Time { return now }
	put(t, db, o, readings(5, 0))
	o.Online(true)
	r, _ := next(o, Backfill)
	o.Sent(r)
	if o.Stats().PendingRecords != 5 {
		t.Error("a broker's acknowledgement released records")
	}
	if o.Rewind() != 0 {
		t.Error("rewound too early")
	}
	now = now.Add(2 * time.Minute)
	if o.Rewind() != 1 {
		t.Error("a chunk that nobody applied is not sent again")
	}
	if again, ok := next(o, Backfill); !ok || again != r {
		t.Error("the rewound chunk is not offered")
	}
	if n := o.Applied(wire.Applied{Sets: []wire.AppliedSet{{Run: o.Run(), Class: wire.ClassReading, Mark: 5}}}); n != 5 || o.Stats().PendingRecords != 0 {
		t.Errorf("released %d, pending %d", n, o.Stats().PendingRecords)
	}
	o.Applied(wire.Applied{Sets: []wire.AppliedSet{{Run: o.Run(), Class: wire.ClassReading, Mark: 0}}})
	if r, ok := next(o, Backfill); !ok || r.Range.From != 1 {
		t.Error("a restored hub is not offered the tail again")
	}
}

func TestReopenKeepsRunsApart(t *testing.T) {
	db := openDB(t)
	a := open(t, db, Options{})
	put(t, db, a, readings(3, 0))
	b := open(t, db, Options{})
	put(t, db, b, readings(2, 10))
	chain := b.Chain()
	if len(chain) != 2 || chain[0].Run != a.Run() || chain[1].Prev != a.Run() || chain[0].Last[wire.ClassReading] != 3 || chain[1].Last[wire.ClassReading] != 2 {
		t.Errorf("chain %+v", chain)
	}
	b.Applied(wire.Applied{Sets: []wire.AppliedSet{{Run: a.Run(), Class: wire.ClassReading, Mark: 3}}})
	if b.Stats().PendingRecords != 2 || b.Stats().Stored[wire.ClassReading] != 5 {
		t.Errorf("stats %+v", b.Stats())
	}
}

// TestHoles loses chunks of an earlier run behind the outbox's back, as damage does.
func TestHoles(t *testing.T) {
	db := openDB(t)
	a := open(t, db, Options{})
	for i := range 6 {
		put(t, db, a, readings(10, int64(i*10)))
	}
	run := a.Run()
	err := db.Update(func(tx *bbolt.Tx) error {
		for _, first := range []uint64{1, 21, 31} {
			if err := tx.Bucket(bucketOutbox).Bucket(run[:]).Bucket([]byte{byte(wire.ClassReading)}).Delete(key(first)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, db, Options{})
	put(t, db, b, readings(3, 100))
	got := b.Holes(wire.Applied{Sets: []wire.AppliedSet{{Run: run, Class: wire.ClassReading, Mark: 10}}})
	if len(got) != 1 || got[0].From != 21 || got[0].To != 40 || got[0].Run != run || got[0].Reason != "damage" {
		t.Errorf("holes %+v, want 21..40 of the first run", got)
	}
}

// TestCapDropsWithGapRecords fills the outbox far beyond its cap and checks the ledger: every
// record is stored or in a declared gap, alarms stay, and the aggregates of the gaps are those of
// the dropped values.
func TestCapDropsWithGapRecords(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{MaxBytes: 60_000})
	rng := rand.New(rand.NewPCG(1, 1))
	truth := map[uint64]float64{}
	seq := uint64(0)
	for i := range 200 {
		b := new(Batch)
		for j := range 100 {
			v := rng.Float64()
			seq++
			truth[seq] = v
			b.Readings = append(b.Readings, wire.Reading{Series: "s", Time: int64(i*100 + j), Value: v})
			b.Hosts = append(b.Hosts, wire.Host{Time: int64(i), Metric: "m", Value: rng.Float64()})
		}
		if i%50 == 0 {
			b.Alarms = []wire.Event{{Kind: "alarm"}}
		}
		put(t, db, o, b)
		if s := o.Stats(); s.PendingBytes > 62_000 {
			t.Fatalf("step %d: %d bytes stored above the cap of 60000", i, s.PendingBytes)
		}
	}
	var have, gone Set
	var alarms int
	var sum float64
	o.Online(true)
	for {
		r, ok := next(o, Backfill)
		if !ok {
			break
		}
		raw, err := o.Read(db, r)
		if err != nil {
			t.Fatal(err)
		}
		_, rec, err := wire.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		switch r.Class {
		case wire.ClassReading:
			have.Add(r.Range)
		case wire.ClassAlarm:
			alarms += len(rec.Events)
		case wire.ClassEvent:
			for _, e := range rec.Events {
				var g wire.Gap
				if err := json.Unmarshal([]byte(e.Detail), &g); err != nil || e.Kind != wire.GapKind {
					t.Fatalf("event %+v: %v", e, err)
				}
				if g.Class == wire.ClassReading {
					gone.Add(wire.Range{From: g.From, To: g.To})
					sum += g.Series["s"].Mean * float64(g.Series["s"].Count)
					for q := g.From; q <= g.To; q++ {
						sum -= truth[q]
					}
				}
			}
		}
	}
	all := append(Set{}, have...)
	for _, r := range gone {
		all.Add(r)
	}
	if alarms != 4 || all.Mark() != seq || have.Count()+gone.Count() != seq {
		t.Errorf("%d alarms; stored %d and declared gone %d of %d readings, mark %d", alarms, have.Count(), gone.Count(), seq, all.Mark())
	}
	if gone.Count() == 0 || sum > 1e-9*float64(seq) || sum < -1e-9*float64(seq) {
		t.Errorf("%d dropped, aggregates are off by %g", gone.Count(), sum)
	}
}

// TestSetAgainstBits compares the interval set with a plain bitmap over random insertions.
func TestSetAgainstBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for range 300 {
		var s Set
		var bits [80]bool
		for range rng.IntN(30) {
			from := rng.Uint64N(70) + 1
			to := min(from+rng.Uint64N(10), 79)
			s.Add(wire.Range{From: from, To: to})
			for q := from; q <= to; q++ {
				bits[q] = true
			}
		}
		mark := uint64(0)
		for mark+1 < 80 && bits[mark+1] {
			mark++
		}
		var n uint64
		for q := uint64(1); q < 80; q++ {
			if bits[q] {
				n++
			}
			if s.Contains(wire.Range{From: q, To: q}) != bits[q] {
				t.Fatalf("%v contains %d: %v, want %v", s, q, !bits[q], bits[q])
			}
		}
		if s.Mark() != mark || s.Count() != n {
			t.Fatalf("%v: mark %d count %d, want %d and %d", s, s.Mark(), s.Count(), mark, n)
		}
	}
}

// FuzzSimulate runs a device and a hub through random stores, losses, repeats, crashes and
// restores of the hub, then lets them drain: every record that was stored is applied exactly once
// or lies in a declared gap.
func FuzzSimulate(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { simulate(t, seed) })
}

func simulate(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	db := openDB(t)
	opts := Options{MaxBytes: 1 << 20, Resend: time.Minute}
	o := open(t, db, opts)
	now := time.Unix(1000, 0)
	o.now = func() time.Time { return now }
	type id struct {
		run   wire.Run
		class wire.Class
	}
	ledger := map[id]*Set{}
	applied := map[string]int{} // value → times stored at the hub
	tell := func() wire.Applied {
		var a wire.Applied
		for _, info := range o.Chain() {
			for _, c := range wire.Classes {
				set := wire.AppliedSet{Run: info.Run, Class: c}
				if s := ledger[id{info.Run, c}]; s != nil {
					set.Mark = s.Mark()
					set.Ranges = *s
				}
				a.Sets = append(a.Sets, set)
			}
		}
		return a
	}
	apply := func(r Ref) {
		raw, err := o.Read(db, r)
		if err != nil {
			t.Fatal(err)
		}
		h, rec, err := wire.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		k := id{h.Run, h.Class}
		if ledger[k] == nil {
			ledger[k] = new(Set)
		}
		if ledger[k].Contains(r.Range) {
			return
		}
		ledger[k].Add(r.Range)
		for _, x := range rec.Readings {
			applied[fmt.Sprint(x.Time)]++
		}
	}
	stored := 0
	step := func() {
		now = now.Add(time.Duration(rng.IntN(20)) * time.Second)
		switch rng.IntN(8) {
		case 0, 1, 2:
			n := 1 + rng.IntN(30)
			put(t, db, o, readings(n, int64(stored)))
			stored += n
		case 3:
			o.Online(rng.IntN(2) == 0)
			o.Applied(tell())
		case 4, 5:
			for range rng.IntN(6) {
				r, ok := next(o, Lane(rng.IntN(2)))
				if !ok {
					continue
				}
				switch rng.IntN(4) {
				case 0: // lost on the way
					o.Failed(r)
				case 1: // taken by the broker and lost there
					o.Sent(r)
				case 2: // applied, the answer lost
					apply(r)
					o.Failed(r)
				default:
					apply(r)
					o.Sent(r)
				}
			}
		case 6:
			o.Rewind()
			if rng.IntN(2) == 0 {
				o.Applied(tell())
			}
		case 7:
			if rng.IntN(3) == 0 { // crash: memory is lost
				o = open(t, db, opts)
				o.now = func() time.Time { return now }
			}
		}
	}
	for range 120 {
		step()
	}
	o.Online(true)
	o.Applied(tell())
	for range 3 {
		for _, l := range []Lane{Live, Backfill} {
			for {
				r, ok := next(o, l)
				if !ok {
					break
				}
				apply(r)
				o.Sent(r)
			}
		}
		now = now.Add(2 * time.Minute)
		o.Rewind()
	}
	o.Applied(tell())
	if p := o.Stats().PendingRecords; p != 0 {
		t.Errorf("seed %d: %d records still pending after the drain", seed, p)
	}
	if len(applied) != stored {
		t.Errorf("seed %d: %d of %d records at the hub", seed, len(applied), stored)
	}
	for v, n := range applied {
		if n != 1 {
			t.Errorf("seed %d: record %s stored %d times", seed, v, n)
		}
	}
}

// TestNextJoins holds what may travel together: neighbours of one kind up to the bounds, alarms and
// events apart from telemetry, and a chunk that is too large alone.
func TestNextJoins(t *testing.T) {
	db := openDB(t)
	o := open(t, db, Options{})
	for i := range 5 {
		b := readings(3, int64(i)*10)
		b.Events = []wire.Event{{Kind: "note", Time: int64(i)}}
		put(t, db, o, b)
	}
	classes := func(refs []Ref) (out []wire.Class) {
		for _, r := range refs {
			out = append(out, r.Class)
		}
		return out
	}
	events := o.Next(Backfill, 100, 1<<20)
	if got := classes(events); len(got) != 5 || got[0] != wire.ClassEvent || got[4] != wire.ClassEvent {
		t.Fatalf("first message = %v, want the five events", got)
	}
	if newest := events[0].Range.From; newest != 5 {
		t.Errorf("backfill begins with event %d, want the newest", newest)
	}
	two := o.Next(Backfill, 2, 1<<20)
	if len(two) != 2 {
		t.Fatalf("a message of at most 2 chunks has %d", len(two))
	}
	size := two[0].Bytes + wire.PackOverhead
	if got := o.Next(Backfill, 100, 2*size); len(got) != 2 {
		t.Errorf("a message of at most %d bytes has %d chunks of %d, want 2", 2*size, len(got), size)
	}
	if got := o.Next(Backfill, 100, 1); len(got) != 1 {
		t.Errorf("a message smaller than its first chunk has %d chunks, want 1", len(got))
	}
	if got := o.Next(Backfill, 100, 1<<20); len(got) != 0 {
		t.Errorf("%d chunks are left, all are under way", len(got))
	}
	if n := o.Confirm(append(events, two...)...); n != 5+2*3 {
		t.Errorf("Confirm released %d records, want 11", n)
	}
	if n := o.Confirm(two...); n != 0 {
		t.Errorf("a second Confirm released %d records", n)
	}
	if p := o.Stats().PendingRecords; p != 9 {
		t.Errorf("%d records pending, want 9", p)
	}
}
