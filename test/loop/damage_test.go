package loop

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skerry.dev/test/rig"
)

// TestDamagedCache kills an agent that has no link, damages its database, and starts it again: it
// comes up, keeps the old file aside, raises an alarm, predicts, and hands over once what could
// be saved. What is missing between the saved is declared lost; of what came after the last saved
// one nobody knows.
func TestDamagedCache(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", 4*time.Minute)
	kinds := []struct {
		name   string
		damage func(b []byte, rng *rand.Rand) []byte
	}{
		{"bits", func(b []byte, rng *rand.Rand) []byte {
			for range 40 {
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			}
			return b
		}},
		{"zeroed pages", func(b []byte, rng *rand.Rand) []byte {
			for range 3 {
				k := 2 + rng.IntN(len(b)/4096-2) // the two meta pages stay
				clear(b[k*4096 : (k+1)*4096])
			}
			return b
		}},
		{"truncated", func(b []byte, rng *rand.Rand) []byte { return b[:len(b)/4+rng.IntN(len(b)/2)] }},
		{"zeroed tail", func(b []byte, rng *rand.Rand) []byte {
			clear(b[len(b)/3+rng.IntN(len(b)/3):])
			return b
		}},
		{"no database at all", func(b []byte, _ *rand.Rand) []byte { return []byte(strings.Repeat("x", 5000)) }},
	}
	for k, kind := range kinds {
		for seed := range count(3, 1) {
			name := fmt.Sprintf("d%d-%d", k, seed)
			t.Run(kind.name+"/"+name, func(t *testing.T) {
				outer := w.t
				w.t = t
				defer func() { w.t = outer }()
				w.damaged(name, kind.damage, rand.New(rand.NewPCG(uint64(seed), uint64(k))))
			})
		}
	}
}

func (w *world) damaged(name string, damage func([]byte, *rand.Rand) []byte, rng *rand.Rand) {
	t := w.t
	a := w.agent(name, name, func(o *rig.AgentOptions) { o.Config = "cache:\n  commit_interval: 100ms\n" })
	heard := w.listen(name)
	s := newSeries(uint64(80 + rng.IntN(100)))
	p := w.sensor(name, s)
	p.publish(60)
	p.settle()
	w.drained(20*time.Second, a, p.next-1, len(s.took))
	a.SetCut(true)
	w.until(20*time.Second, "the agent notices", func() (bool, string) {
		d, err := a.Detail(w.ctx)
		return err == nil && !d.Links["hub"], fmt.Sprint(d.Links, err)
	})
	p.publish(400)
	p.settle()
	w.until(20*time.Second, "everything is stored", func() (bool, string) {
		st, err := a.State(w.ctx)
		return err == nil && st.Outbox.Stored["reading"] == uint64(len(s.took)), fmt.Sprint(st.Outbox.Stored, err)
	})
	time.Sleep(200 * time.Millisecond) // the last acknowledgements
	a.Kill()
	db := filepath.Join(a.StateDir(), "skerry.db")
	b, err := os.ReadFile(db)
	w.must(err)
	w.must(os.WriteFile(db, damage(b, rng), 0o600))
	before := len(s.took)

	began := time.Now()
	w.must(a.Start())
	w.until(10*time.Second, "the agent is back", func() (bool, string) {
		if err, gone := a.Exited(); gone {
			return false, fmt.Sprintf("it ended: %v: %s", err, a.Tail())
		}
		d, err := a.Detail(w.ctx)
		return err == nil && d.Links["mqtt"], fmt.Sprint(err)
	})
	up := time.Since(began)
	a.SetCut(false)
	w.must(a.WaitUp(w.ctx, true))
	aside, err := filepath.Glob(db + ".corrupt-*")
	w.must(err)
	p.publish(50)
	p.settle()
	last := fmt.Sprintf(`{"ts":%q`, at(p.next-1).Format(time.RFC3339))
	w.until(20*time.Second, "predictions go on", func() (bool, string) {
		rows, _, _ := heard.copy()
		return rows[last] != "", "the newest row is missing"
	})
	w.until(30*time.Second, "everything is handed over", func() (bool, string) {
		st, err := a.State(w.ctx)
		return err == nil && st.Outbox.PendingRecords == 0 && w.inLake(name, p.next-50, p.next) == 50, fmt.Sprint(st.Outbox.PendingRecords, err)
	})
	if len(aside) == 0 { // the bits hit only free pages: then nothing may be missing
		w.exactlyOnce(a, s.took)
		t.Logf("the damage hit nothing in use; up after %s", up.Round(time.Millisecond))
		return
	}
	lake, err := w.api.LakeReadings(w.ctx, name)
	w.must(err)
	kept := 0
	for k, n := range lake {
		if n != 1 || !s.took[k] {
			t.Errorf("%s at %s is in the lake %d times", k.Series, time.UnixMicro(k.At).UTC(), n)
		}
		if k.At <= at(459).UnixMicro() {
			kept++
		}
	}
	for i := p.next - 50; i < p.next; i++ {
		if lake[rig.Key{Series: "y", At: at(i).UnixMicro()}] != 1 {
			t.Errorf("hour %d, published after the damage, is not in the lake", i)
		}
	}
	w.until(20*time.Second, "an alarm at the hub", func() (bool, string) {
		return len(w.events("device="+name+"&class=alarm&kind=cache_damaged")) > 0, "none"
	})
	var gaps rig.Items[struct {
		Class    int64
		From, To int64
		Reason   string
	}]
	w.must(w.api.Call(w.ctx, "GET", "/v1/gaps?limit=1000&device="+name, nil, &gaps))
	declared := int64(0)
	for _, g := range gaps.Items {
		if g.Class == 4 {
			declared += g.To - g.From + 1
		}
	}
	t.Logf("up after %s, %d of %d readings saved, %d readings declared lost in %d gaps", up.Round(time.Millisecond), kept, before, declared, len(gaps.Items))
	if lost := int64(before - kept); declared > lost {
		t.Errorf("%d readings are declared lost, %d are", declared, lost)
	} else if declared < lost {
		t.Logf("%d lost readings are declared nowhere", lost-declared)
	}
}
