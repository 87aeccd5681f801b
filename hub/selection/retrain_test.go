package selection

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/sequential"
)

// turned is a forecast of one device whose next value an input drives with the other sign from a row
// on.
func turned(rows, change int) Problem {
	p := Problem{Task: "turned", Kind: artifact.KindForecast, HorizonUS: hourUS, Seed: 3, Inputs: []feature.Input{{Name: "y"}, {Name: "x"}}}
	rng := rand.New(rand.NewPCG(1, 2))
	s := Series{Device: "d"}
	x, y := 0.0, 0.0
	for i := range rows {
		s.Times, s.Values, s.Baseline = append(s.Times, int64(i)*hourUS), append(s.Values, []float64{y, x}), append(s.Baseline, y)
		if y = 0.8 * x; i >= change {
			y = -y
		}
		y += 0.3 * rng.NormFloat64()
		x = 0.5*x + rng.NormFloat64()
		s.Target = append(s.Target, y)
	}
	p.Devices = []Series{s}
	return p
}

// first is the problem of the first rows of its devices.
func (p Problem) first(n int) Problem {
	p.Devices = slices.Clone(p.Devices)
	for i, s := range p.Devices {
		s.Baseline = s.Baseline[:n]
		p.Devices[i] = s.upTo(n)
	}
	return p
}

func retrain(t *testing.T, p Problem, o Options, champion *artifact.Artifact) (*Result, Verdict) {
	t.Helper()
	r, v, err := Retrain(t.Context(), p, o, champion)
	if err != nil {
		t.Fatal(err)
	}
	return r, v
}

// TestRetrain: after a change of regime what is returned has learned from the newest rows, beats the
// champion and the last value on those that follow, and passes. The same problem gives the same
// bytes and verdict whatever the number of threads.
func TestRetrain(t *testing.T) {
	if underRace {
		t.Skip("takes long under the race detector: run without -race")
	}
	const change, now = 1500, 2400
	all := turned(now+500, change)
	champion, v := retrain(t, all.first(change), quick(1, "linear"), nil)
	if v.Outcome != sequential.Pass || v.Against != "the last value" || champion.Artifact.Manifest.TrainTo != (change-1)*hourUS {
		t.Errorf("first model: %+v, trained to row %d", v, champion.Artifact.Manifest.TrainTo/hourUS)
	}
	o := quick(1, "linear")
	r, v := retrain(t, all.first(now), o, champion.Artifact)
	if v.Outcome != sequential.Pass || v.Against != "the champion" || v.Hi >= 0 || len(v.Floors) == 0 || v.Rows < judgeRows {
		t.Errorf("retrained: %+v, want it passed", v)
	}
	m := r.Artifact.Manifest
	if m.TrainTo != (now-1)*hourUS || m.Params["window"] == spanNames[everything] || m.TrainFrom < (change-50)*hourUS && m.Params["window"] == spanNames[sinceChange] {
		t.Errorf("retrained on %d rows from %d to %d, %v", m.Rows, m.TrainFrom/hourUS, m.TrainTo/hourUS, m.Params)
	}
	h, err := Evaluate(t.Context(), all, r.Artifact)
	if err != nil || h.Rows < 490 || h.MAE > 0.5*h.MAEBaseline {
		t.Errorf("on the rows that follow: %+v, %v, want half of the last value's error", h, err)
	}
	o.Threads = 3
	again, w := retrain(t, all.first(now), o, champion.Artifact)
	if !bytes.Equal(again.Bytes, r.Bytes) || !reflect.DeepEqual(v, w) {
		t.Errorf("with three threads the artifact or the verdict differs: %+v, then %+v", v, w)
	}
}

// TestRetrainSeesNoFuture: labels after an origin change nothing that is predicted before it.
func TestRetrainSeesNoFuture(t *testing.T) {
	if underRace {
		t.Skip("takes long under the race detector: run without -race")
	}
	rolled := func(p Problem) *roll {
		p.Holdout = originShare
		p.defaults()
		s := &search{p: p, o: quick(2, "gbdt", "linear")}
		if err := errors.Join(s.options(), s.prepare(t.Context()), s.search(t.Context())); err != nil {
			t.Fatal(err)
		}
		r := &roll{search: s, candidates: s.candidates()}
		if err := r.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		return r
	}
	p := turned(1400, 1100)
	a := rolled(p)
	last := a.origins[len(a.origins)-1]
	if len(a.origins) < 3 || len(a.candidates) != 14 {
		t.Fatalf("%d origins, %d candidates", len(a.origins), len(a.candidates))
	}
	for i := last.from; i < 1400; i++ {
		p.Devices[0].Target[i] += 100
	}
	b := rolled(p)
	for i := range a.held {
		if i+a.t.holdout < last.from && !reflect.DeepEqual(a.held[i], b.held[i]) {
			t.Fatalf("the prediction of row %d depends on labels from row %d on", i+a.t.holdout, last.from)
		}
	}
	if len(a.held) != 1400-a.t.holdout {
		t.Errorf("%d rows are judged, want all %d of the hold-out", len(a.held), 1400-a.t.holdout)
	}
}

// TestRetrainRefuses: a champion of another problem, and too few rows.
func TestRetrainRefuses(t *testing.T) {
	champion, _ := retrain(t, turned(400, 400), quick(1, "linear"), nil)
	p := turned(400, 400)
	p.Inputs = []feature.Input{{Name: "y"}, {Name: "z"}}
	if _, _, err := Retrain(t.Context(), p, quick(1, "linear"), champion.Artifact); !errors.Is(err, ErrOtherProblem) || !strings.Contains(err.Error(), "its inputs are y, x, those of the task y, z") {
		t.Errorf("Retrain with a champion of other inputs = %v", err)
	}
	if _, _, err := Retrain(t.Context(), turned(150, 150), quick(1, "linear"), nil); !errors.Is(err, ErrTooFewRows) {
		t.Errorf("Retrain on 150 rows = %v, want ErrTooFewRows", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Retrain(ctx, turned(400, 400), quick(1, "linear"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Retrain after cancel = %v", err)
	}
}

// TestFloors: a model that beats the last value does not pass where the value of the day before or
// what devices published is better.
func TestFloors(t *testing.T) {
	if underRace {
		t.Skip("takes long under the race detector: run without -race")
	}
	p := turned(1500, 1500)
	s := &p.Devices[0]
	daily := func(i int) float64 { return 10 * math.Sin(2*math.Pi*float64(i)/24) }
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range s.Times { // a cycle, and nothing else but noise
		s.Values[i][0] = daily(i) + 0.1*rng.NormFloat64()
	}
	for i := range s.Times {
		s.Baseline[i] = s.Values[i][0]
		s.Target[i] = math.NaN()
		if i+1 < len(s.Times) {
			s.Target[i] = s.Values[i+1][0]
		}
	}
	good, v := retrain(t, p, quick(1, "linear"), nil)
	if !strings.HasPrefix(v.Against, "the value a ") || v.Challenger > 1.5*v.Champion || v.Champion > 0.2 {
		t.Errorf("verdict %+v, want it against the value a day or a week before", v)
	}
	worse := *good.Artifact // predicts the last value and a little
	worse.Manifest.TrainTo = 900 * hourUS
	worse.Models = map[artifact.Role]artifact.Predictor{artifact.Point: &artifact.Constant{N: worse.Pipeline.Width(), Values: []float64{0.05}}}
	worse.Vectors = artifact.Vectors{}
	if v, err := Judge(t.Context(), p, nil, &worse); err != nil || v.Outcome != sequential.Fail || !strings.HasPrefix(v.Against, "the value a ") {
		t.Errorf("Judge of the last value and a little = %+v, %v, want it surely worse than the value a day or a week before", v, err)
	}
	q := turned(1500, 1500)
	r, v := retrain(t, q, quick(1, "linear"), nil)
	if v.Outcome != sequential.Pass {
		t.Fatalf("without anything published: %+v", v)
	}
	q.Devices[0].Published = make([]float64, 1500)
	for i, y := range q.Devices[0].Target {
		q.Devices[0].Published[i] = y + 0.1
	}
	if _, v := retrain(t, q, quick(1, "linear"), nil); v.Outcome != sequential.Inconclusive || !strings.Contains(v.Reason, publishedName) {
		t.Errorf("beside better predictions of the devices: %+v, want it inconclusive because of them", v)
	}
	if h := r.Holdout; h.Rows < judgeRows || h.MAE > 0.6*h.MAEBaseline || h.Coverage < 0.7 || h.Coverage > 0.98 {
		t.Errorf("held out: %+v", h)
	}
}

// TestInconclusive: what cannot be told from chance says how many rows it would take, in words and as
// a number.
func TestInconclusive(t *testing.T) {
	p := turned(900, 900)
	s := &p.Devices[0]
	rng := rand.New(rand.NewPCG(8, 9))
	for i := range s.Target { // one part in a hundred can be predicted
		s.Target[i] = s.Baseline[i] + 0.1*s.Values[i][1] + rng.NormFloat64()
	}
	_, v := retrain(t, p, quick(1, "linear"), nil)
	if v.Outcome != sequential.Inconclusive || v.Reason == "" {
		t.Errorf("verdict = %+v, want it inconclusive with a reason", v)
	}
	for _, tt := range []struct {
		looks  []look
		want   string
		needed int
	}{
		{[]look{{of: sequential.Estimate{Rows: 400, Mean: -0.1, Half: 0.2}, excess: -0.1}}, "some 1200 more would settle it", 1200},
		{[]look{{of: sequential.Estimate{Rows: 400, Mean: -0.01, Half: 0.2}, excess: -0.01}}, "as good as equal over 400 rows: more than 50 times", 159600},
		{[]look{{of: sequential.Estimate{Rows: 400, Mean: -0.1, Half: math.Inf(1)}, excess: -0.1}}, "better on average over 400 rows, which are too few blocks", 0},
		{[]look{{of: sequential.Estimate{Rows: 400, Mean: 0.1, Half: 0.2}, excess: 0.05}}, "not better on average over 400 rows", 0},
	} {
		if reason, needed := undecided(tt.looks); !strings.Contains(reason, tt.want) || math.Abs(float64(needed-tt.needed)) > 1 {
			t.Errorf("undecided(%+v) = %q, %d, want %q, %d", tt.looks, reason, needed, tt.want, tt.needed)
		}
	}
}

// TestChangePoint finds a step where it is, and nothing in few values.
func TestChangePoint(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	v := make([]float64, 1000)
	for i := range v {
		if v[i] = rng.NormFloat64(); i >= 700 {
			v[i] += 3
		}
	}
	if got := changePoint(v, 100); got < 695 || got > 705 {
		t.Errorf("changePoint of a step at 700 = %d", got)
	}
	if got := changePoint(v[:199], 100); got != 0 {
		t.Errorf("changePoint of 199 values = %d, want none", got)
	}
	rows := thinned(800, 1)
	if !slices.IsSorted(rows) || len(rows) != 50+50+50+100 || rows[len(rows)-1] != 799 || rows[len(rows)-100] != 700 {
		t.Errorf("thinned(800) = %v", rows)
	}
}
