package gate_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/gate"
	"skerry.dev/agent/source"
	"skerry.dev/compute/state"
	"skerry.dev/sync/outbox"
	"skerry.dev/sync/wire"
	"skerry.dev/test/extreme"
)

var open = gate.Limits{Min: math.Inf(-1), Max: math.Inf(1), MaxFuture: math.MaxInt64 / 2, Number: true}

// keeper is a gate with its store, as the runtime holds them.
type keeper struct {
	*gate.Gate
	store    *cache.Store
	position uint64
	saved    []byte
}

func newKeeper(t *testing.T, pages int) *keeper {
	t.Helper()
	s, err := cache.Open(cache.Options{Dir: t.TempDir(), Outbox: outbox.Options{Device: "d", MaxBytes: 64 << 20, ClockOK: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &keeper{Gate: gate.New(s, pages), store: s}
}

// commit stores the pages; the newest of them are read from the store afterwards.
func (k *keeper) commit(t *testing.T) {
	t.Helper()
	pages, generation, err := k.TakePages(k.position)
	if err != nil {
		t.Fatal(err)
	}
	var c cache.Commit
	for _, p := range pages {
		c.Seen = append(c.Seen, cache.SeenPage{Series: p.Series, Start: p.Start, Data: p.Data})
	}
	if err := k.store.Commit(&c); err != nil {
		t.Fatal(err)
	}
	k.position = generation
	k.saved = k.Save()
}

// restart begins with what is stored.
func (k *keeper) restart(t *testing.T) {
	t.Helper()
	k.Gate, k.position = gate.New(k.store, 0), 0
	if err := k.Load(k.saved); err != nil {
		t.Fatal(err)
	}
}

func (k *keeper) admit(series uint32, at int64, v float64) (wire.Flags, bool) {
	f, repeated, _ := k.Admit(series, &source.Message{Arrival: at, ClockOK: true}, source.Reading{Time: at, HasTime: true, Value: v}, open)
	return f, repeated
}

// TestRepeatsOfTheWholeHistory: whatever was accepted is known again, in any order, after any
// restart, and what is new between old readings is not taken for a repeat.
func TestRepeatsOfTheWholeHistory(t *testing.T) {
	const n = 100_000
	k := newKeeper(t, 0)
	rng := rand.New(rand.NewPCG(1, 2))
	at := func(i int) int64 { return int64(i)*60e6 - n/2*60e6 } // from before 1970 on
	order := rng.Perm(n)
	for i := range n / 2 { // half in order, half as it comes
		order[i] = 2 * i
	}
	rest := order[n/2 : n/2]
	for _, i := range rng.Perm(n / 2) {
		rest = append(rest, 2*i+1)
	}
	for j, i := range order {
		if f, repeated := k.admit(7, at(i), float64(i%10)); repeated || f&wire.FlagConflict != 0 {
			t.Fatalf("reading %d (the %dth to come): flags %b, repeated %v, want a new one", i, j, f, repeated)
		}
		if j%1000 == 0 {
			k.commit(t)
		}
	}
	k.commit(t)
	k.restart(t)
	for j, i := range rng.Perm(n) {
		if _, repeated := k.admit(7, at(i), float64(i%10)); !repeated {
			t.Fatalf("reading %d is not known any more", i)
		}
		if j%10_000 == 0 {
			if f, repeated := k.admit(7, at(i), 99); repeated || f&wire.FlagConflict == 0 {
				t.Fatalf("another value at the time of reading %d: flags %b, repeated %v", i, f, repeated)
			}
			if f, repeated := k.admit(7, at(i)+1, 1); repeated || f&wire.FlagConflict != 0 {
				t.Fatalf("a new time beside reading %d: flags %b, repeated %v", i, f, repeated)
			}
			if _, repeated := k.admit(8, at(i), float64(i%10)); repeated {
				t.Fatalf("reading %d is known of another series", i)
			}
			k.commit(t)
			k.restart(t)
		}
	}
}

// TestPagesBehindACrash: the pages of a commit whose state was not stored with them are ahead of
// the state; the journal brings it there again.
func TestPagesBehindACrash(t *testing.T) {
	k := newKeeper(t, 0)
	old := k.Save()
	type reading struct {
		at int64
		v  float64
	}
	var journal []reading
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 5000 {
		at := int64(i) * 1e6
		if i%3 == 0 {
			at = rng.Int64N(5000) * 1e6
		}
		v := float64(i % 7)
		if _, repeated := k.admit(1, at, v); !repeated {
			journal = append(journal, reading{at, v})
		}
		if i%500 == 0 {
			k.commit(t)
		}
	}
	k.commit(t)
	k.saved = old
	k.restart(t)
	for _, r := range journal {
		k.Remember(1, r.at, r.v, 0)
	}
	for i, r := range journal {
		if _, repeated := k.admit(1, r.at, r.v); !repeated {
			t.Fatalf("reading %d of the journal is not known after the crash", i)
		}
	}
}

// TestOldPagesAreDropped: a series has a bound; what is beyond is taken as new, once each time.
func TestOldPagesAreDropped(t *testing.T) {
	k := newKeeper(t, 8)
	for i := range 20_000 {
		k.admit(1, int64(i)*1e6, 1)
		if i%100 == 0 {
			k.commit(t)
		}
	}
	k.commit(t)
	starts, err := k.store.Starts(1)
	if err != nil {
		t.Fatal(err)
	}
	if len(starts) < 8 || len(starts) > 8+16 {
		t.Errorf("%d pages are kept, want 8 and those made since the last look", len(starts))
	}
	if _, repeated := k.admit(1, 19_900*1e6, 1); !repeated {
		t.Error("a new reading is forgotten")
	}
	if _, repeated := k.admit(1, 5*1e6, 1); repeated {
		t.Error("the oldest reading is still known: the bound does not hold")
	}
}

// TestManyValuesOfOneTime: a sender that gives one time ever new values makes no page large.
func TestManyValuesOfOneTime(t *testing.T) {
	k := newKeeper(t, 0)
	for i := range 50_000 {
		k.admit(1, 1e6, float64(i))
	}
	for i := range 200 {
		k.admit(1, int64(i)*1e6, 1)
	}
	k.commit(t)
	_, data, err := k.store.Page(1, 1e6)
	if err != nil || len(data) > 4096 {
		t.Errorf("its page has %d bytes (%v), want some hundred", len(data), err)
	}
	if len(k.saved) > 4096 {
		t.Errorf("the state has %d bytes", len(k.saved))
	}
}

// TestStateOfEarlierBuilds loads the state that builds before 2026-12 wrote: the newest readings in
// the order in which they came.
func TestStateOfEarlierBuilds(t *testing.T) {
	var times []int64
	var values []float64
	for i := range int64(256) {
		times, values = append(times, (i+100)%256*1e6), append(values, float64(i))
	}
	k := newKeeper(t, 0)
	k.admit(3, 5, 5) // for how a sensor without history is written
	own := k.Save()
	health := own[8*(2+1+1+2)+8*2:]
	var w state.Writer
	w.Int(1)
	w.Int(3)
	w.Ints(times)
	w.Floats(values)
	w.Int(17)
	w.Int(255e6)
	w.B = append(w.B, health...)
	k = newKeeper(t, 0)
	if err := k.Load(w.B); err != nil {
		t.Fatal(err)
	}
	for i, at := range times {
		if _, repeated := k.admit(3, at, values[i]); !repeated {
			t.Fatalf("reading %d is not known", i)
		}
	}
	if again := gate.New(nil, 0); again.Load(k.Save()) != nil || !bytes.Equal(again.Save(), k.Save()) {
		t.Error("it is not saved as it is loaded")
	}
}

// TestTimeOf: the time of a row is found by its id, from memory, pages and after restarts, and an id
// that is used again is that of its newest row.
func TestTimeOf(t *testing.T) {
	k := newKeeper(t, 0)
	key := func(i int) uint64 { return source.Key(strconv.Itoa(i)) }
	const rows = 3000
	add := func(i, at int) {
		k.admit(7, int64(at)*1e6, math.Float64frombits(key(i)))
	}
	for i := range rows {
		add(i, i)
		switch i {
		case 1000:
			k.commit(t)
		case 1500: // asked for the first time, with pages stored and not
			if at, ok := k.TimeOf(7, key(3)); !ok || at != 3e6 {
				t.Errorf("TimeOf(3) = %d, %v", at, ok)
			}
		}
	}
	add(42, rows)
	k.commit(t)
	for _, when := range []string{"running", "after a restart"} {
		for i := range rows {
			want := int64(i) * 1e6
			if i == 42 {
				want = rows * 1e6
			}
			if at, ok := k.TimeOf(7, key(i)); !ok || at != want {
				t.Fatalf("%s: TimeOf(%d) = %d, %v, want %d", when, i, at, ok, want)
			}
		}
		for series, i := range map[uint32]int{7: rows + 1, 8: 3} {
			if at, ok := k.TimeOf(series, key(i)); ok {
				t.Errorf("%s: TimeOf(%d) of series %d = %d, want none", when, i, series, at)
			}
		}
		k.restart(t)
	}
	if extreme.Slower > 1 {
		return // what follows starts no goroutine, and takes a minute under the race detector
	}
	k = newKeeper(t, 0)
	k.TimeOf(7, 0)
	for i := range 100_002 {
		add(i, i)
	}
	if _, ok := k.TimeOf(7, key(1)); ok {
		t.Error("an id is known after 100,000 newer ones")
	}
	if at, ok := k.TimeOf(7, key(2)); !ok || at != 2e6 {
		t.Errorf("TimeOf the oldest of the newest 100,000 = %d, %v", at, ok)
	}
	for i := range 150_000 { // a carrier that comes again and again, and others
		add(3, 200_000+2*i)
		if i%10 == 0 {
			add(300_000+i, 200_001+2*i)
		}
	}
	if at, ok := k.TimeOf(7, key(3)); !ok || at != (200_000+2*149_999)*1e6 {
		t.Errorf("TimeOf an id that comes again = %d, %v", at, ok)
	}
	if at, ok := k.TimeOf(7, key(100_001)); !ok || at != 100_001e6 {
		t.Errorf("TimeOf one of the newest 100,000 ids = %d, %v: one that comes again takes the room of one", at, ok)
	}
}
