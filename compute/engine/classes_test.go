package engine

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/feature"
	"skerry.dev/test/realdata"
)

// kiln is a classification of three classes, whose labels come some rows late: what the oven does
// shows in two noisy series, and it goes on doing it for a while.
type kiln struct {
	rng  *rand.Rand
	mode int
	at   int64
	wait []Reading // labels
}

var kilnModes = []string{"idle", "heat", "hold"}

const minute = int64(60e6)

func kilnConfig() Config {
	return Config{Task: "kiln", Kind: Classification, Classes: kilnModes, Target: -1, Series: []Series{open("power"), open("temp")}, On: 0, MaxAge: 5 * minute, Tolerance: 1e6, Level: 0.9, Adapt: true}
}

func newKiln(seed uint64) *kiln {
	return &kiln{rng: rand.New(rand.NewPCG(seed, 7)), at: 1_700_000_000_000_000}
}

// next is the next message, and what is known before it: the label of the row late rows before the
// last.
func (k *kiln) next(late int) (label, row []Reading) {
	k.at += minute
	if k.rng.Float64() < 0.3 {
		k.mode = k.rng.IntN(3)
	}
	power := []float64{0, 3, 1.5}[k.mode] + 1.2*k.rng.NormFloat64()
	temp := []float64{0, 1, 3}[k.mode] + 1.5*k.rng.NormFloat64()
	row = []Reading{{0, k.at, power}, {1, k.at, temp}}
	if n := len(k.wait); n > late {
		label = k.wait[n-1-late : n-late]
	}
	k.wait = append(k.wait, Reading{LabelSeries, k.at, float64(k.mode)})
	return label, row
}

// TestClasses streams three classes: the committee beats the baseline, sets cover what they should
// and are never empty, probabilities add up, and the status tells it.
func TestClasses(t *testing.T) {
	for _, late := range []int{0, 25} {
		e, err := New(kilnConfig())
		if err != nil {
			t.Fatal(err)
		}
		k := newKiln(3)
		var n, wrong, wrongLast, covered, nats, natsLast, size float64
		for i := range 6000 {
			label, row := k.next(late)
			for _, l := range e.Ingest(NoArrival, label).Labels {
				if i < 500 {
					continue
				}
				a, b := l.Wrong()
				x, y := l.LogLoss()
				n, wrong, wrongLast, nats, natsLast, size = n+1, wrong+indicator(a), wrongLast+indicator(b), nats+x, natsLast+y, size+float64(l.SetSize)
				covered += indicator(l.Covered)
			}
			out := e.Ingest(NoArrival, row)
			for _, p := range out.Predictions {
				if math.IsNaN(p.Value) {
					if e.stats.Labels > 0 {
						t.Fatalf("no prediction for row %d, after %d labels", i, e.stats.Labels)
					}
					continue
				}
				sum := 0.0
				for _, v := range p.Classes {
					if !(v >= 0 && v <= 1) {
						t.Fatalf("probabilities %v", p.Classes)
					}
					sum += v
				}
				if math.Abs(sum-1) > 1e-9 || len(p.Classes) != 3 || p.Class() != int(top(p.Classes)) {
					t.Fatalf("probabilities %v, class %d", p.Classes, p.Class())
				}
				if !p.Set[p.Class()] {
					t.Fatalf("the set %v lacks the most probable class %d", p.Set, p.Class())
				}
			}
		}
		cover := covered / n
		if cover < 0.88 || cover > 0.92 {
			t.Errorf("labels %d rows late: %.3f of the truths are in their set, want 0.9", late, cover)
		}
		if !(wrong < 0.8*wrongLast) || !(nats < 0.8*natsLast) {
			t.Errorf("labels %d rows late: %.3f wrong and log loss %.3f, the baseline %.3f and %.3f", late, wrong/n, nats/n, wrongLast/n, natsLast/n)
		}
		t.Logf("labels %d rows late: %.3f wrong, log loss %.3f, baseline %.3f and %.3f, sets of %.2f classes cover %.3f", late, wrong/n, nats/n, wrongLast/n, natsLast/n, size/n, cover)
		s := e.Status()
		if c := s.Classes; c == nil || math.Abs(c.Error-wrong/n) > 0.08 || math.Abs(c.LogLoss-nats/n) > 0.2 || !(c.SetSize >= 1 && c.SetSize < 3) || math.Abs(s.Coverage-0.9) > 0.06 {
			t.Errorf("status %+v %+v", s, s.Classes)
		}
		if !slices.ContainsFunc(s.Experts, func(x Expert) bool { return x.Name == "linear" && x.Loss > 0 }) {
			t.Errorf("experts %+v", s.Experts)
		}
	}
}

// TestClassesResume stops in the middle: what a snapshot brings back predicts the same bits.
func TestClassesResume(t *testing.T) {
	a, err := New(kilnConfig())
	if err != nil {
		t.Fatal(err)
	}
	k := newKiln(5)
	model := Loaded{ID: "m", Model: &oracle{}, Classes: []string{"hold", "idle", "heat"}}
	candidate := Loaded{ID: "s", Model: &oracle{}, Classes: kilnModes}
	resolve := func(id string) (Loaded, error) {
		if id == "s" {
			return candidate, nil
		}
		return model, nil
	}
	for i := range 900 {
		if i == 300 {
			if err := errors.Join(a.Install(model), a.Shadow(candidate)); err != nil {
				t.Fatal(err)
			}
		}
		label, row := k.next(7)
		a.Ingest(NoArrival, label)
		a.Ingest(NoArrival, row)
		if i%150 != 149 {
			continue
		}
		b, err := New(kilnConfig())
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Load(a.Save(nil), resolve); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a.Save(nil), b.Save(nil)) {
			t.Fatalf("row %d: a state that was loaded is saved as another", i)
		}
		for range 3 {
			label, row := k.next(7)
			a.Ingest(NoArrival, label)
			b.Ingest(NoArrival, label)
			p, q := a.Ingest(NoArrival, row).Predictions[0], b.Ingest(NoArrival, row).Predictions[0]
			if !slices.Equal(p.Classes, q.Classes) || !slices.Equal(p.Set, q.Set) {
				t.Fatalf("row %d: %+v, after a restart %+v", i, p, q)
			}
		}
	}
}

// oracle is a model of the kiln that knows more than can be learned locally. Its classes are in the
// order hold, idle, heat.
type oracle struct {
	p     [3]float64
	wrong bool // gives no numbers
}

func (o *oracle) Predict(h *feature.History, back int) (p, lo, hi float64, err error) {
	row, sum := h.Row(back), 0.0
	for c, at := range [][2]float64{{1.5, 3}, {0, 0}, {3, 1}} {
		a, b := (row[0]-at[0])/1.2, (row[1]-at[1])/1.5
		o.p[c] = math.Exp(-(a*a + b*b) / 2)
		sum += o.p[c]
	}
	for c := range o.p {
		o.p[c] /= sum
	}
	if o.wrong {
		o.p[1] = math.NaN()
	}
	return o.p[2], math.NaN(), math.NaN(), nil
}

func (o *oracle) Classes() []float64 { return o.p[:] }

// numbers is a model without probabilities.
type numbers struct{}

func (numbers) Predict(*feature.History, int) (p, lo, hi float64, err error) {
	return 0.5, math.NaN(), math.NaN(), nil
}

// TestClassModels puts a model beside the local learners: its classes are found by their names, its
// log loss is measured, and one that does not fit is refused.
func TestClassModels(t *testing.T) {
	e, err := New(kilnConfig())
	if err != nil {
		t.Fatal(err)
	}
	k := newKiln(11)
	good := Loaded{ID: "good", Model: &oracle{}, Classes: []string{"hold", "idle", "heat"}}
	bad := Loaded{ID: "bad", Model: &oracle{}, Classes: []string{"heat", "hold", "idle"}} // mistakes every class
	for name, m := range map[string]Loaded{
		"gives no probabilities": {ID: "x", Model: numbers{}},
		"does not know class":    {ID: "x", Model: &oracle{}, Classes: []string{"hold", "idle", "burn"}},
		"has 2 classes":          {ID: "x", Model: &oracle{}, Classes: []string{"hold", "idle"}},
	} {
		if err := e.Install(m); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a model that %s: %v", name, err)
		}
	}
	run := func(rows int) (loss Chances, n float64) {
		for range rows {
			label, row := k.next(0)
			for _, l := range e.Ingest(NoArrival, label).Labels {
				if l.ChampionID == "good" && l.ShadowID == "bad" {
					n++
					loss.Champion += min(-math.Log(l.ChanceOf.Champion), 4)
					loss.Shadow += min(-math.Log(l.ChanceOf.Shadow), 4)
				}
			}
			e.Ingest(NoArrival, row)
		}
		return loss, n
	}
	run(100)
	if err := errors.Join(e.Install(good), e.Shadow(bad)); err != nil {
		t.Fatal(err)
	}
	loss, n := run(400)
	p, _, ok := e.Trial()
	if !ok || n < 390 || p.Labelled != int64(n) || math.Abs(p.SumIncumbent-loss.Champion) > 1e-6 || math.Abs(p.SumCandidate-loss.Shadow) > 1e-6 {
		t.Errorf("the trial has %+v, want %v losses of %v", p, n, loss)
	}
	if !(loss.Champion < 0.8*n) || !(loss.Shadow > 1.2*n) {
		t.Errorf("mean log losses %v of %v labels: the classes of a model are mixed up", loss, n)
	}
	if x := e.Status().Experts; !(x[0].Loss < 0.6) || !(x[1].Loss < 0.7) || !(x[0].Weight > 0) {
		t.Errorf("the model and its correction among the experts: %+v", x)
	}
	e.champion.Model.(*oracle).wrong = true
	before := e.Status().NonFinite
	run(10)
	if s := e.Status(); s.NonFinite != before+10 {
		t.Errorf("%d predictions without a number, want 10 more than %d", s.NonFinite, before)
	}
}

// TestTwoClassModelInOtherOrder: of two classes the probability of the second is that of the task's
// second, in whatever order a model has them.
func TestTwoClassModelInOtherOrder(t *testing.T) {
	cfg := kilnConfig()
	cfg.Classes, cfg.Adapt = []string{"off", "on"}, false
	for _, order := range [][]string{{"off", "on"}, {"on", "off"}} {
		e, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Install(Loaded{ID: "m", Model: fixed(0.9), Classes: order}); err != nil {
			t.Fatal(err)
		}
		p := e.Ingest(NoArrival, []Reading{{0, 60e6, 1}, {1, 60e6, 1}}).Predictions[0]
		want := map[string]float64{"on": 0.9, "off": 0.1}[order[1]]
		if math.Abs(p.Value-want) > 1e-12 || math.Abs(p.Classes[1]-want) > 1e-12 || p.Class() != int(math.Round(want)) {
			t.Errorf("a model of %v that gives its second 0.9: %+v, want %v", order, p, want)
		}
	}
}

type fixed float64

func (f fixed) Predict(*feature.History, int) (p, lo, hi float64, err error) {
	return float64(f), math.NaN(), math.NaN(), nil
}

// TestTooManyClasses refuses what cannot be learned, and takes as many as can.
func TestTooManyClasses(t *testing.T) {
	cfg := kilnConfig()
	cfg.Classes = nil
	for i := range MaxClasses + 1 {
		cfg.Classes = append(cfg.Classes, fmt.Sprint(i))
	}
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "257 classes, must be 2 to 256") {
		t.Errorf("New = %v", err)
	}
	cfg.Classes = cfg.Classes[:MaxClasses]
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	k := newKiln(1)
	for range 40 {
		label, row := k.next(0)
		e.Ingest(NoArrival, label)
		if p := e.Ingest(NoArrival, row).Predictions[0]; e.stats.Labels > 0 && len(p.Set) != MaxClasses {
			t.Fatalf("prediction %+v", p)
		}
	}
	if waits := 8 * e.pend.most * (e.pend.width + e.pend.room + 2*MaxClasses); e.pend.most < 200 || waits > classBytes {
		t.Errorf("%d predictions of %d classes may wait, %d bytes", e.pend.most, MaxClasses, waits)
	}
}

// labelled reads a table as a stream of rows a minute apart, numbers as inputs and the target as the
// class.
func labelled(t testing.TB, file, target string) (c Config, rows [][]Reading, labels []Reading) {
	t.Helper()
	head, records := realdata.CSV(t, file)
	c = Config{Task: file, Kind: Classification, Target: -1, On: 0, MaxAge: minute, Tolerance: 1e6, Level: 0.9, Adapt: true}
	columns := map[int]int{} // of series
	for _, name := range slices.Sorted(maps.Keys(head)) {
		if i := head[name]; name != target && !math.IsNaN(realdata.Number(records[0][i])) {
			columns[len(c.Series)] = i
			c.Series = append(c.Series, open(name))
		}
	}
	for i, r := range records {
		at := 1_600_000_000_000_000 + int64(i)*minute
		class := slices.Index(c.Classes, r[head[target]])
		if class < 0 {
			class = len(c.Classes)
			c.Classes = append(c.Classes, r[head[target]])
		}
		row := make([]Reading, len(c.Series))
		for s := range row {
			row[s] = Reading{s, at, realdata.Number(r[columns[s]])}
		}
		rows, labels = append(rows, row), append(labels, Reading{LabelSeries, at, float64(class)})
	}
	return c, rows, labels
}

// TestClassesOfTables streams real tables in their order: load types of a steel works, which are
// known a day late, kinds of waves, and parts of pictures.
func TestClassesOfTables(t *testing.T) {
	for _, tt := range []struct {
		file, target string
		late         int     // rows
		better       float64 // log loss, as a share of the baseline's
	}{
		{"forecast/steel_energy.csv.gz", "Load_Type", 96, 0.7},
		{"tabular/meta/clf_waveform5000.csv.gz", "target", 1, 0.5},
		{"drift/river_image_segments.csv.gz", "category", 1, 0.3},
	} {
		t.Run(tt.file, func(t *testing.T) {
			c, rows, labels := labelled(t, tt.file, tt.target)
			e, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			var n, wrong, wrongLast, nats, natsLast, covered, size float64
			for i, row := range rows {
				for _, p := range e.Ingest(NoArrival, row).Predictions {
					if !math.IsNaN(p.Value) && !p.Set[p.Class()] {
						t.Fatalf("row %d: the set %v lacks class %d", i, p.Set, p.Class())
					}
				}
				if i < tt.late {
					continue
				}
				for _, l := range e.Ingest(NoArrival, labels[i-tt.late:i-tt.late+1]).Labels {
					if i < 500 {
						continue
					}
					a, b := l.Wrong()
					x, y := l.LogLoss()
					n, wrong, wrongLast, nats, natsLast = n+1, wrong+indicator(a), wrongLast+indicator(b), nats+x, natsLast+y
					covered, size = covered+indicator(l.Covered), size+float64(l.SetSize)
				}
			}
			t.Logf("%d classes, %.0f rows: %.3f wrong (baseline %.3f), log loss %.3f (%.3f), sets of %.2f classes cover %.3f", len(c.Classes), n, wrong/n, wrongLast/n, nats/n, natsLast/n, size/n, covered/n)
			if cover := covered / n; cover < 0.88 || cover > 0.92 {
				t.Errorf("sets cover %.3f, want 0.9", cover)
			}
			if !(wrong < 0.85*wrongLast) || !(nats < tt.better*natsLast) {
				t.Errorf("%.3f wrong and log loss %.3f, the baseline has %.3f and %.3f", wrong/n, nats/n, wrongLast/n, natsLast/n)
			}
		})
	}
}
