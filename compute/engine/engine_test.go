package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/internal/race"
	"skerry.dev/compute/metric"
	"skerry.dev/test/realdata"
)

const hour = int64(3600 * 1_000_000)

func airConfig() Config {
	nan := math.NaN()
	var series []Series
	for _, n := range []string{"pm25", "pm10", "so2", "no2", "co", "o3", "temp", "pres", "dewp", "rain", "wspm"} {
		series = append(series, Series{Name: n, Min: nan, Max: nan})
	}
	series[0].Min, series[0].Max = 0, 1500
	return Config{Task: "pm25", Kind: Forecast, Series: series, Target: 0, Horizon: hour, Tolerance: hour / 2, On: 0, MaxAge: 3 * hour, Level: 0.9, Adapt: true, Low: 0, High: 1500}
}

// batches are the messages of a stream.
type batches [][]Reading

// synthetic makes a stream with the same shape as the real one: a daily cycle, a random walk and
// missing values.
func synthetic(n int, seed uint64) batches {
	rng := rand.New(rand.NewPCG(seed, 7))
	level := 50.0
	var out batches
	for i := range n {
		t := int64(i) * hour
		level = max(5, level+rng.NormFloat64()*5+3*math.Sin(float64(i)/24*2*math.Pi))
		var b []Reading
		for s := range 11 {
			v := level*float64(s+1)/3 + rng.NormFloat64()
			if s == 0 {
				v = math.Round(level)
			}
			if rng.Float64() < 0.03 {
				continue
			}
			b = append(b, Reading{s, t, v})
		}
		out = append(out, b)
	}
	return out
}

func station(t *testing.T, name string) batches {
	t.Helper()
	_, rows := realdata.CSV(t, "fleet", "beijing_air_"+name+".csv.gz")
	cols := []int{4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15}
	var out batches
	for _, r := range rows {
		var d [4]int
		for i := range d {
			d[i], _ = strconv.Atoi(r[i])
		}
		at := time.Date(d[0], time.Month(d[1]), d[2], d[3], 0, 0, 0, time.UTC).UnixMicro()
		var b []Reading
		for s, c := range cols {
			if v, err := strconv.ParseFloat(r[c], 64); err == nil {
				b = append(b, Reading{s, at, v})
			}
		}
		out = append(out, b)
	}
	return out
}

// halfway is a model that expects half of the last change to go on; its quantiles are a fixed band.
type halfway struct{ bias float64 }

func (m halfway) Predict(h *feature.History, back int) (float64, float64, float64, error) {
	if back+1 >= h.Len() {
		return m.bias, m.bias - 10, m.bias + 10, nil
	}
	d := m.bias + 0.3*(h.Row(back)[0]-h.Row(back + 1)[0])
	return d, d - 10, d + 10, nil
}

func mustNew(t *testing.T, c Config) *Engine {
	t.Helper()
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// trace renders an output exactly, bits included.
func trace(o *Output) string {
	var b bytes.Buffer
	for _, p := range o.Predictions {
		fmt.Fprintf(&b, "p %d %d %x %x %x %s\n", p.Row, p.For, math.Float64bits(p.Value), math.Float64bits(p.Lower), math.Float64bits(p.Upper), p.Champion)
	}
	for _, l := range o.Labels {
		fmt.Fprintf(&b, "l %d %x %x %x\n", l.Row, math.Float64bits(l.Truth), math.Float64bits(l.Predicted), math.Float64bits(l.BaselineHi))
	}
	for _, e := range o.Events {
		fmt.Fprintf(&b, "e %s %s %d %x\n", e.Kind, e.Detector, e.Time, math.Float64bits(e.Value))
	}
	return b.String()
}

// TestResumeIsExact cuts a run at many points, restores from the snapshot and demands the same
// bits for the rest, with models coming and going.
func TestResumeIsExact(t *testing.T) {
	stream := synthetic(900, 1)
	// another world: there is something to report
	usual := usualRows(t, calm(500, 1, -1, 0), halfway{0.2})
	resolve := func(id string) (Loaded, error) {
		switch id {
		case "a":
			return Loaded{ID: "a", Model: halfway{0.2}, Usual: usual}, nil
		case "b":
			return Loaded{ID: "b", Model: halfway{-0.1}}, nil
		}
		return Loaded{}, fmt.Errorf("unknown model %q", id)
	}
	control := func(e *Engine, i int) {
		var err error
		switch i {
		case 300:
			m, _ := resolve("a")
			err = e.Shadow(m)
		case 350:
			err = e.Activate("a")
		case 420:
			e.Settle()
		case 500:
			m, _ := resolve("b")
			err = e.Shadow(m)
		case 560:
			err = e.Activate("b")
		case 600:
			err = e.Revert()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	whole := mustNew(t, airConfig())
	var want []string
	snaps := map[int][]byte{}
	for i, b := range stream {
		if i%37 == 0 {
			snaps[i] = whole.Save(nil)
		}
		control(whole, i)
		want = append(want, trace(whole.Ingest(NoArrival, b)))
	}
	for at, snap := range snaps {
		e := mustNew(t, airConfig())
		if err := e.Load(snap, resolve); err != nil {
			t.Fatalf("load at %d: %v", at, err)
		}
		if !bytes.Equal(e.Save(nil), snap) {
			t.Fatalf("snapshot at %d changes when loaded and saved", at)
		}
		for i := at; i < len(stream); i++ {
			control(e, i)
			if got := trace(e.Ingest(NoArrival, stream[i])); got != want[i] {
				t.Fatalf("resumed at %d, message %d:\n-want %s\n+got %s", at, i, want[i], got)
			}
		}
	}
}

// TestChosenLearners runs with learners and detectors that a task names, over a restart, and for
// each kind of target.
func TestChosenLearners(t *testing.T) {
	for _, kind := range []Kind{Forecast, Regression, Classification} {
		cfg := airConfig()
		cfg.Learners, cfg.LearnerBytes, cfg.Detectors = []string{"adaptive-forest", "mondrian-forest", "knn"}, 1<<20, []string{"ddm", "hddm-w"}
		if cfg.Kind = kind; kind != Forecast {
			cfg.Target, cfg.Horizon = -1, 0
		}
		feed := func(e *Engine, i int, b []Reading) string {
			got := trace(e.Ingest(NoArrival, b))
			if kind == Forecast {
				return got
			}
			y := b[0].Value
			if kind == Classification {
				if y = 0; b[0].Value > 50 {
					y = 1
				}
			}
			return got + trace(e.Ingest(NoArrival, []Reading{{Series: LabelSeries, Time: b[0].Time, Value: y}}))
		}
		stream := synthetic(600, 5)
		whole, again := mustNew(t, cfg), mustNew(t, cfg)
		for i, b := range stream {
			if i%150 == 149 {
				snap := again.Save(nil)
				again = mustNew(t, cfg)
				if err := again.Load(snap, nil); err != nil {
					t.Fatalf("kind %d: load at %d: %v", kind, i, err)
				}
			}
			if a, b := feed(whole, i, b), feed(again, i, b); a != b {
				t.Fatalf("kind %d, message %d:\n-without restarts %s\n+with %s", kind, i, a, b)
			}
		}
		s := whole.Status()
		names := ""
		for _, x := range s.Experts {
			names += x.Name + " "
		}
		if names != "model model+corrector model+slow-corrector adaptive-forest mondrian-forest knn last " || s.Labels < 400 {
			t.Errorf("kind %d: experts %s, %d labels", kind, names, s.Labels)
		}
		if kind != Forecast && s.MAE > 0.9*s.MAELast {
			t.Errorf("kind %d: error %v, of the trailing mean %v", kind, s.MAE, s.MAELast)
		}
	}
	cfg := airConfig()
	cfg.Learners, cfg.Detectors = []string{"oracle"}, []string{"tea-leaves"}
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "oracle") || !strings.Contains(err.Error(), "tea-leaves") {
		t.Errorf("New with learners and detectors that are none: %v", err)
	}
}

// TestCorruptSnapshot holds that a damaged snapshot is refused or loads, and never panics.
func TestCorruptSnapshot(t *testing.T) {
	e := mustNew(t, airConfig())
	for _, b := range synthetic(100, 3) {
		e.Ingest(NoArrival, b)
	}
	snap := e.Save(nil)
	none := func(string) (Loaded, error) { return Loaded{}, fmt.Errorf("no models here") }
	for n := 0; n < len(snap); n += 97 {
		if err := mustNew(t, airConfig()).Load(snap[:n], none); err == nil {
			t.Errorf("a snapshot cut to %d of %d bytes loads", n, len(snap))
		}
	}
	rng := rand.New(rand.NewPCG(5, 5))
	for range 2000 {
		bad := slices.Clone(snap)
		bad[rng.IntN(len(bad))] ^= byte(1 << rng.IntN(8))
		fresh := mustNew(t, airConfig())
		if fresh.Load(bad, none) == nil {
			for _, b := range synthetic(5, 4) {
				fresh.Ingest(NoArrival, b)
			}
		}
	}
}

// TestOrderWithinAMessage holds that the readings of one message are one instant.
func TestOrderWithinAMessage(t *testing.T) {
	stream := synthetic(200, 2)
	a, b := mustNew(t, airConfig()), mustNew(t, airConfig())
	for i, m := range stream {
		back := slices.Clone(m)
		slices.Reverse(back)
		if x, y := trace(a.Ingest(NoArrival, m)), trace(b.Ingest(NoArrival, back)); x != y {
			t.Fatalf("message %d: order of readings changes the output", i)
		}
	}
}

func TestJoin(t *testing.T) {
	nan := math.NaN()
	cfg := Config{Task: "j", Kind: Forecast, Series: []Series{{Name: "y", Min: nan, Max: nan}, {Name: "x", Min: nan, Max: nan}}, Target: 0, Horizon: 10, Tolerance: 4, On: 0, MaxAge: 15, Level: 0.9}
	type row struct {
		t    int64
		y, x float64
	}
	tests := map[string]struct {
		lateness int64
		every    int64
		in       [][]Reading
		want     []row
	}{
		"as of":             {in: [][]Reading{{{1, 5, 7}}, {{0, 10, 1}}, {{0, 20, 2}}}, want: []row{{10, 1, 7}, {20, 2, 7}}},
		"too old":           {in: [][]Reading{{{1, 5, 7}}, {{0, 30, 1}}}, want: []row{{30, 1, nan}}},
		"late for its row":  {in: [][]Reading{{{0, 10, 1}}, {{1, 9, 7}}, {{0, 20, 2}}}, want: []row{{10, 1, nan}, {20, 2, 7}}},
		"lateness waits":    {lateness: 5, in: [][]Reading{{{0, 10, 1}}, {{1, 9, 7}}, {{0, 20, 2}}, {{1, 26, 8}}}, want: []row{{10, 1, 7}, {20, 2, 7}}},
		"late target":       {in: [][]Reading{{{0, 10, 1}}, {{0, 20, 2}}, {{0, 15, 9}}, {{0, 30, 3}}}, want: []row{{10, 1, nan}, {20, 2, nan}, {30, 3, nan}}},
		"cadence":           {every: 10, in: [][]Reading{{{0, 10, 1}, {1, 10, 7}}, {{0, 31, 2}}}, want: []row{{10, 1, 7}, {20, 1, 7}, {30, nan, nan}}},
		"missing on series": {in: [][]Reading{{{0, 10, nan}}, {{0, 20, 2}}}, want: []row{{20, 2, nan}}},
	}
	for name, tt := range tests {
		c := cfg
		c.Lateness = tt.lateness
		if tt.every > 0 {
			c.On, c.Every = -1, tt.every
		}
		e := mustNew(t, c)
		var got []row
		for _, m := range tt.in {
			for _, r := range e.Ingest(NoArrival, m).Rows {
				got = append(got, row{r.Time, r.Values[0], r.Values[1]})
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: rows %v, want %v", name, got, tt.want)
		}
	}
}

// TestGap: of a cadence, the time between two readings costs no more rows than the history has. The
// rows stand at multiples of the cadence, and the same come after a snapshot anywhere in between.
func TestGap(t *testing.T) {
	cfg := Config{
		Task:   "gap",
		Kind:   Forecast,
		Series: []Series{{Name: "y", Min: math.NaN(), Max: math.NaN()}, {Name: "x", Min: math.NaN(), Max: math.NaN()}},
		Target: 0, Horizon: 60e6, Tolerance: 1e6, On: -1, Every: 1e6, MaxAge: 30e6, Level: 0.9,
	}
	now := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	stream := batches{{{0, 500, 1}, {1, 500, 2}}} // 1970, as of a sensor before it has the time
	for i := range int64(400) {
		at := now + i*1e6 + 300
		if i >= 200 {
			at += 40 * 24 * 3600e6 // and forty days of silence
		}
		stream = append(stream, []Reading{{0, at, float64(i % 17)}, {1, at, float64(i % 5)}})
	}
	e := mustNew(t, cfg)
	rows := 0
	var want []string
	snaps := map[int][]byte{}
	last := int64(math.MinInt64)
	for i, m := range stream {
		if i%41 == 1 || i > 195 && i < 205 {
			snaps[i] = e.Save(nil)
		}
		o := e.Ingest(m[0].Time, m)
		if n := len(o.Rows); n > HistoryRows+40 {
			t.Fatalf("message %d makes %d rows", i, n)
		}
		for _, r := range o.Rows {
			if r.Time <= last || r.Time%cfg.Every != 0 {
				t.Fatalf("a row at %d after one at %d", r.Time, last)
			}
			last = r.Time
		}
		rows += len(o.Rows)
		want = append(want, trace(o))
	}
	if most := 2*HistoryRows + 500; rows > most || rows < 400 {
		t.Errorf("%d rows, want 400 to %d", rows, most)
	}
	for at, snap := range snaps {
		r := mustNew(t, cfg)
		if err := r.Load(snap, func(string) (Loaded, error) { return Loaded{}, errors.New("no model") }); err != nil {
			t.Fatal(err)
		}
		for i := at; i < len(stream); i++ {
			if got := trace(r.Ingest(stream[i][0].Time, stream[i])); got != want[i] {
				t.Fatalf("resumed at %d, message %d:\n-want %s\n+got %s", at, i, want[i], got)
			}
		}
	}
}

// TestSelfLabel holds that a label is the value read at the due time, within the tolerance, and
// that a missing one is no label.
func TestSelfLabel(t *testing.T) {
	nan := math.NaN()
	cfg := Config{Task: "l", Kind: Forecast, Series: []Series{{Name: "y", Min: nan, Max: nan}}, Horizon: 10, Tolerance: 4, On: 0, MaxAge: 15, Level: 0.9}
	e := mustNew(t, cfg)
	labels := map[int64]float64{}
	for _, r := range []Reading{{0, 10, 1}, {0, 20, 2}, {0, 27, 3}, {0, 40, 4}, {0, 50, nan}, {0, 60, 6}, {0, 75, 7}} {
		for _, l := range e.Ingest(NoArrival, []Reading{r}).Labels {
			labels[l.Row] = l.Truth
		}
	}
	// 10→20 exact; 20→30 takes 27 (3 before); 27→37 finds 27 (10 before, too old); 40→50 is
	// missing; 60→70 finds 60, too old.
	if want := map[int64]float64{10: 2, 20: 3}; fmt.Sprint(labels) != fmt.Sprint(want) {
		t.Errorf("labels %v, want %v", labels, want)
	}
	if e.Status().GivenUp != 3 {
		t.Errorf("given up %d, want 3", e.Status().GivenUp)
	}
}

// TestDelayedLabels drives a regression whose labels arrive by message, out of order.
func TestDelayedLabels(t *testing.T) {
	nan := math.NaN()
	e := mustNew(t, Config{Task: "r", Kind: Regression, Series: []Series{{Name: "x", Min: nan, Max: nan}}, Target: -1, On: 0, MaxAge: 100, Tolerance: 1, Level: 0.9, Adapt: true})
	var got []int64
	for i := int64(0); i < 50; i++ {
		e.Ingest(NoArrival, []Reading{{0, i * 10, float64(i % 7)}})
		if i%2 == 1 {
			o := e.Ingest(NoArrival, []Reading{{LabelSeries, i * 10, float64(i%7) * 2}, {LabelSeries, (i-1)*10 + 1, float64((i-1)%7) * 2}})
			for _, l := range o.Labels {
				got = append(got, l.Row)
			}
		}
	}
	if len(got) == 0 || got[0] != 10 {
		t.Fatalf("labels for rows %v, want 10 first, then 0", got)
	}
	if s := e.Status(); s.Labels < 45 {
		t.Errorf("%d labels of 50: a regression predicts from the first label on", s.Labels)
	}
}

func TestTrialAndProbation(t *testing.T) {
	e := mustNew(t, airConfig())
	stream := synthetic(600, 9)
	good, bad := Loaded{ID: "good", Model: halfway{}}, Loaded{ID: "bad", Model: halfway{30}}
	for _, b := range stream[:300] {
		e.Ingest(NoArrival, b)
	}
	if err := e.Activate("good"); err == nil {
		t.Error("a model that is not in shadow can be activated")
	}
	if err := e.Shadow(bad); err != nil {
		t.Fatal(err)
	}
	p, probation, ok := e.Trial()
	if !ok || probation || p.Warm < 150 || p.SumDiff <= 0 {
		t.Errorf("warm trial of a bad model: %+v probation %v ok %v", p, probation, ok)
	}
	if err := e.Shadow(good); err != nil {
		t.Fatal(err)
	}
	if err := e.Activate("good"); err != nil {
		t.Fatal(err)
	}
	e.Settle()
	if err := e.Shadow(bad); err != nil {
		t.Fatal(err)
	}
	if err := e.Activate("bad"); err != nil {
		t.Fatal(err)
	}
	for _, b := range stream[300:360] {
		e.Ingest(NoArrival, b)
	}
	if p, probation, ok = e.Trial(); !ok || !probation || p.SumDiff <= 0 || p.Labelled < 40 {
		t.Errorf("probation of a bad model: %+v probation %v ok %v", p, probation, ok)
	}
	if err := e.Revert(); err != nil || e.Champion() != "good" || e.ShadowID() != "" {
		t.Errorf("revert: %v, champion %q, shadow %q", err, e.Champion(), e.ShadowID())
	}
	e.Reset()
	if e.Champion() != "" {
		t.Error("reset keeps a champion")
	}
}

// TestFirstModelHasAProbation holds that a first model, which has no model before it, is paired
// with the last value.
func TestFirstModelHasAProbation(t *testing.T) {
	e := mustNew(t, airConfig())
	stream := synthetic(400, 21)
	for _, b := range stream[:300] {
		e.Ingest(NoArrival, b)
	}
	if err := errors.Join(e.Shadow(Loaded{ID: "first", Model: halfway{}}), e.Activate("first")); err != nil {
		t.Fatal(err)
	}
	for _, b := range stream[300:] {
		e.Ingest(NoArrival, b)
	}
	if p, probation, ok := e.Trial(); !ok || !probation || p.Labelled < 80 || p.SumIncumbent == 0 {
		t.Errorf("probation of a first model: %+v, probation %v, ok %v", p, probation, ok)
	}
	if err := e.Revert(); err != nil || e.Champion() != "" {
		t.Errorf("revert of a first model: %v, champion %q, want the baselines", err, e.Champion())
	}
}

// TestNaNModelIsCounted holds that a model without answers never reaches the output.
func TestNaNModelIsCounted(t *testing.T) {
	e := mustNew(t, airConfig())
	stream := synthetic(300, 11)
	if err := e.Install(Loaded{ID: "nan", Model: halfway{math.NaN()}}); err != nil {
		t.Fatal(err)
	}
	for _, b := range stream {
		for _, p := range e.Ingest(NoArrival, b).Predictions {
			if math.IsNaN(p.Value) {
				t.Fatalf("prediction at %d is NaN", p.Row)
			}
		}
	}
	if e.Status().NonFinite == 0 {
		t.Error("non-finite answers were not counted")
	}
}

func TestIngestDoesNotAllocate(t *testing.T) {
	e := mustNew(t, airConfig())
	stream := synthetic(4000, 13)
	for _, b := range stream[:3000] {
		e.Ingest(NoArrival, b)
	}
	i := 3000
	if n := testing.AllocsPerRun(900, func() { e.Ingest(NoArrival, stream[i]); i++ }); n > 0.1 {
		t.Errorf("Ingest allocates %v times per message in the steady state", n)
	}
}

// TestStations runs the baselines over real data: the published value is not worse than the last
// value, and the interval keeps its coverage.
func TestStations(t *testing.T) {
	for _, name := range []string{"gucheng", "dingling"} {
		e := mustNew(t, airConfig())
		var mae, last, cover, score, base float64
		var n, drifts int
		for _, b := range station(t, name) {
			o := e.Ingest(NoArrival, b)
			for _, l := range o.Labels {
				if e.Status().Labels < 1000 {
					continue
				}
				n++
				mae += math.Abs(l.Truth - l.Predicted)
				last += math.Abs(l.Truth - l.Persistence)
				if l.Truth >= l.Lower && l.Truth <= l.Upper {
					cover++
				}
				score += metric.IntervalScore(l.Lower, l.Upper, l.Truth, 0.9)
				base += metric.IntervalScore(l.BaselineLo, l.BaselineHi, l.Truth, 0.9)
			}
			drifts += len(o.Events)
		}
		k := float64(n)
		t.Logf("%s: %d labels, mae %.3f, last value %.3f (%.4f), coverage %.4f, interval score %.2f, trailing quantiles %.2f, events %d, experts %+v",
			name, n, mae/k, last/k, mae/last, cover/k, score/k, base/k, drifts, e.Status().Experts)
		if mae > last*1.005 {
			t.Errorf("%s: mae %.3f, last value %.3f", name, mae/k, last/k)
		}
		if c := cover / k; c < 0.88 || c > 0.92 {
			t.Errorf("%s: coverage %.3f, want 0.9", name, c)
		}
		if score > base {
			t.Errorf("%s: interval score %.2f, trailing quantiles %.2f", name, score/k, base/k)
		}
	}
}

func BenchmarkIngest(b *testing.B) {
	e, err := New(airConfig())
	if err != nil {
		b.Fatal(err)
	}
	stream := synthetic(20000, 17)
	for _, m := range stream[:2000] {
		e.Ingest(NoArrival, m)
	}
	b.ReportAllocs()
	i := 2000
	for b.Loop() {
		m := stream[i%len(stream)]
		for k := range m {
			m[k].Time += int64(len(stream)) * hour // keep event time running when the stream wraps
		}
		e.Ingest(NoArrival, m)
		i++
	}
}

// TestPoison feeds a day of readings that are stuck, missing, 1e308, alternating between extremes
// or dated years ahead, then goes on: the error afterwards must be what it is without them, and
// no number may stay broken.
func TestPoison(t *testing.T) {
	stream := station(t, "gucheng")[:4500]
	const from, rows, settle = 2500, 24, 48
	after := func(poison func(i int, b []Reading) []Reading) (mae, before float64) {
		cfg := airConfig()
		cfg.Learners = []string{"linear", "hoeffding-tree", "knn"}
		e := mustNew(t, cfg)
		var sum, n, sumBefore, nBefore float64
		for i, b := range stream {
			if poison != nil && i >= from && i < from+rows {
				b = poison(i, slices.Clone(b))
			}
			for _, p := range e.Ingest(NoArrival, b).Predictions {
				if math.IsInf(p.Value, 0) || i > from+rows+settle && math.IsNaN(p.Value) && len(b) > 0 && b[0].Series == 0 && !math.IsNaN(b[0].Value) {
					t.Fatalf("row %d: predicts %v", i, p.Value)
				}
			}
			for _, l := range e.out.Labels {
				off := math.Abs(l.Truth - l.Predicted)
				switch row := i - from; {
				case row >= rows+settle && !math.IsNaN(off):
					sum += off
					n++
				case row < 0 && row >= -2000 && !math.IsNaN(off):
					sumBefore += off
					nBefore++
				}
			}
		}
		return sum / n, sumBefore / nBefore
	}
	clean, before := after(nil)
	t.Logf("clean: %.3f before, %.3f after", before, clean)
	set := func(v func(i, series int) float64) func(int, []Reading) []Reading {
		return func(i int, b []Reading) []Reading {
			for k := range b {
				b[k].Value = v(i, b[k].Series)
			}
			return b
		}
	}
	for name, poison := range map[string]func(int, []Reading) []Reading{
		"stuck":    set(func(_, s int) float64 { return 77 + float64(s) }),
		"missing":  set(func(int, int) float64 { return math.NaN() }),
		"infinite": set(func(int, int) float64 { return math.Inf(1) }),
		"huge": set(func(i, s int) float64 {
			if s == 0 { // the target has a declared range, which the agent's gate keeps
				return math.NaN()
			}
			return []float64{1e308, -1e308}[i%2]
		}),
		"extremes": set(func(i, s int) float64 {
			if s == 0 {
				return []float64{0, 1500}[i%2]
			}
			return []float64{1e6, -1e6}[i%2]
		}),
		"nothing": func(int, []Reading) []Reading { return nil },
	} {
		if race.Enabled && name != "extremes" {
			continue
		}
		got, _ := after(poison)
		t.Logf("%s: %.3f", name, got)
		if got > 1.1*clean {
			t.Errorf("%s: error %.3f after recovery, %.3f without the poison", name, got, clean)
		}
	}
}

// TestAnomalyTask scores rows: a level that jumps is found, once, and a restart changes nothing.
// It takes neither models nor labels.
func TestAnomalyTask(t *testing.T) {
	cfg := Config{Task: "pump", Kind: Anomaly, Series: []Series{{Name: "p", Min: math.NaN(), Max: math.NaN()}, {Name: "mode", Categories: []string{"a", "b"}}, {Name: "q", Min: math.NaN(), Max: math.NaN()}}, Target: -1, On: 0, MaxAge: hour, AlarmRate: 0.002, Adapt: true}
	feed := func(e *Engine, i int) string {
		rng := rand.New(rand.NewPCG(uint64(i), 1))
		at := int64(i) * 60_000_000
		p := math.Sin(float64(i)/30) + 0.1*rng.NormFloat64()
		q := 2*p + 0.1*rng.NormFloat64()
		if i >= 3000 && i < 3020 {
			q = -q - 5
		}
		return trace(e.Ingest(NoArrival, []Reading{{0, at, p}, {1, at, float64(i % 2)}, {2, at, q}}))
	}
	whole, again := mustNew(t, cfg), mustNew(t, cfg)
	first := -1
	for i := range 3500 {
		if i%500 == 499 {
			snap := again.Save(nil)
			again = mustNew(t, cfg)
			if err := again.Load(snap, nil); err != nil {
				t.Fatalf("load at %d: %v", i, err)
			}
		}
		if a, b := feed(whole, i), feed(again, i); a != b {
			t.Fatalf("message %d:\n-without restarts %s\n+with %s", i, a, b)
		}
		p := whole.out.Predictions[0]
		if !(p.Value >= 0 && p.Value <= 1) || !math.IsNaN(p.Lower) {
			t.Fatalf("row %d: %+v", i, p)
		}
		for _, ev := range whole.out.Events {
			if ev.Kind != EventAnomaly || ev.Detector != "pca" {
				t.Errorf("row %d: event %+v", i, ev)
			}
			if i >= 3000 && first < 0 {
				first = i
			}
		}
	}
	if first < 3000 || first > 3010 {
		t.Errorf("the jump at 3000 is found at %d", first)
	}
	if n := whole.Status().Anomalies; n < 1 || n > 15 { // 0.2 % of 3500 rows are 7
		t.Errorf("%d anomalies", n)
	}
	m := Loaded{ID: "a", Model: halfway{0}}
	if whole.Shadow(m) == nil || whole.Install(m) == nil {
		t.Error("an anomaly task took a model")
	}
	whole.Ingest(NoArrival, []Reading{{LabelSeries, 0, 1}})
	whole.Reset()
	for name, bad := range map[string]func(*Config){"scorer": func(c *Config) { c.Scorer = "oracle" }, "rate": func(c *Config) { c.AlarmRate = 2 }, "categories only": func(c *Config) { c.Series = c.Series[1:2] }} {
		c := cfg
		if bad(&c); c.Kind == Anomaly {
			if _, err := New(c); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	}
}

// TestOvertaken: readings that make no row, since another input's had moved the watermark on, are
// counted until one makes a row.
func TestOvertaken(t *testing.T) {
	c := airConfig()
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	at := 1000 * hour
	for i := range int64(7) {
		e.Ingest(NoArrival, []Reading{{Series: 1, Time: at + i*1e6, Value: 1}})
		e.Ingest(NoArrival, []Reading{{Series: 0, Time: at + i*1e6 - 2e6, Value: 5}})
	}
	if s := e.Status(); s.Rows != 0 || s.Overtaken != (Overtaken{Readings: 7, InARow: 7, Behind: 2e6}) {
		t.Errorf("rows %d, %+v", s.Rows, s.Overtaken)
	}
	e.Ingest(NoArrival, []Reading{{Series: 0, Time: at + hour, Value: 5}})
	if s := e.Status(); s.Rows != 1 || s.Overtaken.InARow != 0 || s.Overtaken.Readings != 7 {
		t.Errorf("after one in time: rows %d, %+v", s.Rows, s.Overtaken)
	}
}
