package engine

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/test/realdata"
)

// press is a classification of two classes whose labels come five rows late.
type press struct {
	rng  *rand.Rand
	at   int64
	wait []Reading
}

func pressConfig() Config {
	return Config{Task: "press", Kind: Classification, Target: -1, Series: []Series{open("force"), open("speed")}, On: 0, MaxAge: 300e6, Tolerance: 1e6, Level: 0.9, Adapt: true}
}

func (p *press) feed(e *Engine, rows int, visit func(*Prediction)) {
	for range rows {
		p.at += 60e6
		force, speed := math.Round(1000*p.rng.NormFloat64())/1000, math.Round(1000*p.rng.NormFloat64())/1000
		bad := 0.0
		if force+0.5*speed+math.Round(1000*p.rng.NormFloat64())/1000 > 1.2 {
			bad = 1
		}
		if n := len(p.wait); n > 5 {
			e.Ingest(NoArrival, p.wait[n-6:n-5])
		}
		p.wait = append(p.wait, Reading{LabelSeries, p.at, bad})
		for _, q := range e.Ingest(NoArrival, []Reading{{0, p.at, force}, {1, p.at, speed}}).Predictions {
			visit(&q)
		}
	}
}

func newPress() *press { return &press{rng: rand.New(rand.NewPCG(5, 5)), at: 1_700_000_000_000_000} }

// hashed adds what is published to a hash.
func hashed() (add func(*Prediction), sum func() uint64) {
	h := fnv.New64a()
	return func(p *Prediction) {
		for _, v := range []float64{p.Value, p.Lower, p.Upper, p.Persistence} {
			if math.IsNaN(v) {
				v = math.NaN()
			}
			fmt.Fprintf(h, "%d %x ", p.Row, math.Float64bits(v))
		}
	}, h.Sum64
}

// TestTwoClassesAsBefore holds that a task of two classes predicts, to the bit, what it did before
// there were tasks of more, from the beginning and from a snapshot of that time, and that only what
// judges by another loss since begins anew there. The hashes are of the windows of errors that
// intervals have had since conformal.NewBlend doubled them, and of the committee's mixtures as the
// whole log loss weighs them, with and without the model, and of these two sides as mixture.Duel
// weighs them.
func TestTwoClassesAsBefore(t *testing.T) {
	const begun, resumed = uint64(0xade40b68297f2d4b), uint64(0x4b793705fbb83e19)
	p := newPress()
	e, err := New(pressConfig())
	if err != nil {
		t.Fatal(err)
	}
	models := map[string]Loaded{"m": {ID: "m", Model: fixed(0.4)}, "s": {ID: "s", Model: fixed(0.3)}}
	if err := errors.Join(e.Install(models["m"]), e.Shadow(models["s"])); err != nil {
		t.Fatal(err)
	}
	add, sum := hashed()
	p.feed(e, 700, add)
	if sum() != begun {
		t.Errorf("700 predictions have hash %x, want %x", sum(), begun)
	}
	old, err := New(pressConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Load(realdata.Gunzip(t, "testdata/two-classes-v6.gz"), func(id string) (Loaded, error) { return models[id], nil }); err != nil {
		t.Fatal(err)
	}
	if trial, _, ok := old.Trial(); !ok || trial.Labelled != 0 || old.Status().Labels != e.Status().Labels {
		t.Errorf("the snapshot has trial %+v, %v and %d labels, want a trial begun anew and %d labels", trial, ok, old.Status().Labels, e.Status().Labels)
	}
	add, sum = hashed()
	p.feed(old, 300, add)
	if sum() != resumed {
		t.Errorf("300 predictions after the snapshot have hash %x, want %x", sum(), resumed)
	}
	again, err := New(pressConfig())
	if err == nil {
		err = again.Load(old.Save(nil), func(id string) (Loaded, error) { return models[id], nil })
	}
	if c := again.Status().Classes; err != nil || c == nil || !(c.LogLoss > 0 && c.LogLoss < 1) || !(c.Error > 0 && c.Error < 0.5) || !(c.ErrorLast > 0) {
		t.Errorf("the state is saved and read as %+v, %v", c, err)
	}
}

// TestOddsOfBefore holds that a snapshot of the version that weighed the two sides by fixed share
// goes on with its learners, its weights and its odds.
func TestOddsOfBefore(t *testing.T) {
	e, err := New(pressConfig())
	if err != nil {
		t.Fatal(err)
	}
	models := map[string]Loaded{"m": {ID: "m", Model: fixed(0.4)}, "s": {ID: "s", Model: fixed(0.3)}}
	if err := e.Load(realdata.Gunzip(t, "testdata/two-classes-v8.gz"), func(id string) (Loaded, error) { return models[id], nil }); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"model": 0.003, "model+corrector": 0.036, "model+slow-corrector": 0.008, "linear": 0.945, "last": 0.008} // as they were saved
	st := e.Status()
	for _, x := range st.Experts {
		if math.Abs(x.Weight-want[x.Name]) > 0.002 {
			t.Errorf("expert %s has weight %.4f, want %.3f", x.Name, x.Weight, want[x.Name])
		}
	}
	if st.Labels != 694 || len(st.Experts) != len(want) {
		t.Errorf("%d labels and %d experts, want 694 and %d", st.Labels, len(st.Experts), len(want))
	}
}
