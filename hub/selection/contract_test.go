package selection

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/sequential"
)

// independent is a regression or, with classes, a classification of rows whose truth is a step of
// the first input; every tenth row of the second input is missing.
func independent(kind string, rows int) Problem {
	p := Problem{Task: "step", Kind: kind, Independent: true, Seed: 5, Inputs: []feature.Input{{Name: "x"}, {Name: "z"}}, TargetName: "y"}
	if kind == artifact.KindClassification {
		p.Classes = []string{"low", "high"}
	}
	s := Series{Device: "file"}
	for i := range rows {
		x, z, y := float64(i*7%100), float64(i%13), 0.0
		if x >= 50 {
			y = 1
		}
		if i%10 == 0 {
			z = math.NaN()
		}
		s.Times, s.Values, s.Target = append(s.Times, int64(i)*1e6), append(s.Values, []float64{x, z}), append(s.Target, y)
	}
	p.Devices = []Series{s}
	return p
}

// quick are options that take well below a second.
func quick(trials int, learners ...string) Options {
	return Options{Trials: trials, Threads: 1, Learners: learners}
}

// TestBadProblems: every problem that cannot be one is refused by what is wrong, before any work,
// by Run, by Evaluate and by Judge alike.
func TestBadProblems(t *testing.T) {
	good, err := Run(t.Context(), synthetic(1, 300), quick(1, "linear"))
	if err != nil {
		t.Fatal(err)
	}
	forecast, classes := func() Problem { return synthetic(1, 300) }, func() Problem { return independent(artifact.KindClassification, 300) }
	for _, tt := range []struct {
		name string
		of   func() Problem
		bad  func(p *Problem)
		want string
	}{
		{"no task", forecast, func(p *Problem) { p.Task = "" }, "a problem needs a task and inputs"},
		{"no inputs", forecast, func(p *Problem) { p.Inputs = nil }, "a problem needs a task and inputs"},
		{"no horizon", forecast, func(p *Problem) { p.HorizonUS = 0 }, "forecast of input 0 of 3, 0 µs ahead"},
		{"a target beyond the inputs", forecast, func(p *Problem) { p.TargetIndex = 3 }, "forecast of input 3 of 3"},
		{"a target before them", forecast, func(p *Problem) { p.TargetIndex = -1 }, "forecast of input -1 of 3"},
		{"one class", classes, func(p *Problem) { p.Classes = p.Classes[:1] }, "at least two classes"},
		{"an unknown kind", forecast, func(p *Problem) { p.Kind = "guess" }, `kind "guess"`},
		{"half for the holdout", forecast, func(p *Problem) { p.Holdout = 0.5 }, "holdout 0.5"},
		{"a holdout that is none", forecast, func(p *Problem) { p.Holdout = math.NaN() }, "holdout NaN"},
		{"certainty", forecast, func(p *Problem) { p.Level = 1 }, "level 1"},
		{"a row too few", forecast, func(p *Problem) { p.Devices[0].Values = p.Devices[0].Values[1:] }, `device "a": 300 times, 299 rows`},
		{"a target too few", forecast, func(p *Problem) { p.Devices[0].Target = p.Devices[0].Target[1:] }, "300 rows, 299 targets"},
		{"a baseline too few", forecast, func(p *Problem) { p.Devices[0].Baseline = p.Devices[0].Baseline[1:] }, "299 baselines"},
		{"no baselines", forecast, func(p *Problem) { p.Devices[0].Baseline = nil }, "a forecast needs baselines"},
		{"times that go back", forecast, func(p *Problem) { p.Devices[0].Times[7] = -1 }, `device "a": times go back`},
		{"a row that is too short", forecast, func(p *Problem) { p.Devices[0].Values[7] = []float64{1} }, "row 7 has 1 values for 3 inputs"},
		{"a class beyond the last", classes, func(p *Problem) { p.Devices[0].Target[7] = 2 }, "row 7 has class 2 of 2"},
		{"half a class", classes, func(p *Problem) { p.Devices[0].Target[7] = 0.5 }, "row 7 has class 0.5 of 2"},
		{"a feature of a feature", forecast, func(p *Problem) {
			p.Features = []feature.Column{{Name: "g", Op: feature.OpCross}}
		}, `feature "g" refers to column 0`},
	} {
		p := tt.of()
		tt.bad(&p)
		_, runErr := Run(t.Context(), p, quick(1, "linear"))
		_, evalErr := Evaluate(t.Context(), p, good.Artifact)
		_, judgeErr := Judge(t.Context(), p, nil, good.Artifact)
		for by, err := range map[string]error{"Run": runErr, "Evaluate": evalErr, "Judge": judgeErr} {
			if err == nil || !strings.HasPrefix(err.Error(), "selection: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %s = %v, want %q", tt.name, by, err, tt.want)
			}
		}
	}
}

// TestTooFewRows holds the least that is learned from, and that rows without a truth, or without
// the last value that a forecast starts from, do not count.
func TestTooFewRows(t *testing.T) {
	labels := func(n int, drop func(s *Series, i int)) Problem {
		p := synthetic(1, 400) // the last row has no label
		for i := n; i < 400; i++ {
			drop(&p.Devices[0], i)
		}
		return p
	}
	truth := func(s *Series, i int) { s.Target[i] = math.NaN() }
	for _, tt := range []struct {
		name string
		p    Problem
		few  bool
	}{
		{"200 labels", labels(200, truth), false},
		{"199 labels", labels(199, truth), true},
		{"199 last values", labels(199, func(s *Series, i int) { s.Baseline[i] = math.NaN() }), true},
		{"199 finite labels", labels(199, func(s *Series, i int) { s.Target[i] = math.Inf(-1) }), true},
		{"a horizon as long as the data", func() Problem { p := labels(399, truth); p.HorizonUS = 399 * hourUS; return p }(), true},
		{"no devices", func() Problem { p := labels(399, truth); p.Devices = nil; return p }(), true},
	} {
		_, err := Run(t.Context(), tt.p, quick(1, "linear"))
		if errors.Is(err, ErrTooFewRows) != tt.few || !tt.few && err != nil {
			t.Errorf("%s: Run = %v, want too few %v", tt.name, err, tt.few)
		}
		if tt.few && err != nil && !strings.Contains(err.Error(), `select model for "synthetic"`) {
			t.Errorf("%s: Run = %v, want the task in it", tt.name, err)
		}
	}
}

// TestFewRows: of independent rows a model is learned from as few as there are, and is better than
// the mean where there is something to learn.
func TestFewRows(t *testing.T) {
	for _, n := range []int{12, 30, 120} {
		for _, kind := range []string{artifact.KindRegression, artifact.KindClassification} {
			p := independent(kind, n)
			r, err := Run(t.Context(), p, quick(12))
			if err != nil {
				t.Errorf("%s of %d rows: %v", kind, n, err)
				continue
			}
			for _, e := range r.Leaderboard {
				if e.Folds != 4 && !e.OverBudget {
					t.Errorf("%s of %d rows: %s was tried on %d folds, want 4", kind, n, e.Learner, e.Folds)
				}
			}
			if n == 120 && !(r.Leaderboard[0].Relative < 0.9) {
				t.Errorf("%s of %d rows: the best has %.3f of the baseline's loss", kind, n, r.Leaderboard[0].Relative)
			}
		}
	}
	if _, err := Run(t.Context(), independent(artifact.KindRegression, 9), quick(1)); !errors.Is(err, ErrTooFewRows) {
		t.Errorf("9 rows: %v, want ErrTooFewRows", err)
	}
}

// TestFewRowsOfAForecast: of a file of readings, too, a model is learned from ten rows on, on four
// folds that are split by time; where the horizon leaves too few before a fold, the message says so.
func TestFewRowsOfAForecast(t *testing.T) {
	few := func(n int) Problem {
		p := synthetic(1, n+1) // the last row has no label
		p.Few = true
		return p
	}
	for _, n := range []int{10, 12, 30, 120, 199} {
		r, err := Run(t.Context(), few(n), quick(12))
		if err != nil {
			t.Errorf("%d rows: %v", n, err)
			continue
		}
		for _, e := range r.Leaderboard {
			if e.Folds != 4 && !e.OverBudget {
				t.Errorf("%d rows: %s was tried on %d folds, want 4", n, e.Learner, e.Folds)
			}
		}
	}
	if _, err := Run(t.Context(), few(9), quick(1)); !errors.Is(err, ErrTooFewRows) {
		t.Errorf("9 rows: %v, want ErrTooFewRows", err)
	}
	p := few(30)
	p.HorizonUS = 10 * hourUS
	if _, err := Run(t.Context(), p, quick(1)); !errors.Is(err, ErrTooFewRows) || !strings.Contains(err.Error(), "horizon of 10h0m0s ahead") {
		t.Errorf("30 rows and a horizon of 10: %v, want ErrTooFewRows and what the horizon has to do with it", err)
	}
}

// TestSeed: the same problem twice gives the same artifact, leaderboard and experience, whatever
// came before; another seed draws other settings.
func TestSeed(t *testing.T) {
	p := independent(artifact.KindRegression, 400)
	first := run(t, p, quick(5, "gbdt"))
	again := run(t, p, quick(5, "gbdt"))
	settings := func(r *Result) (out []string) {
		for _, e := range r.Leaderboard {
			out = append(out, fmt.Sprint(e.Learner, e.Params, e.Score, e.Relative, e.Folds, e.Bytes))
		}
		return out
	}
	if !bytes.Equal(first.Bytes, again.Bytes) || !slices.Equal(settings(first), settings(again)) || first.Holdout != again.Holdout {
		t.Errorf("the same run twice gives\n%v\n%v", settings(first), settings(again))
	}
	if !slices.Equal(first.Run.Meta, again.Run.Meta) || !maps.Equal(first.Run.Params, again.Run.Params) || len(first.Run.Meta) != len(MetaNames) {
		t.Errorf("experience %+v, then %+v, want %d numbers", first.Run, again.Run, len(MetaNames))
	}
	p.Seed++
	if other := run(t, p, quick(5, "gbdt")); slices.Equal(settings(first), settings(other)) {
		t.Error("another seed tries the same settings")
	}
}

// TestLeaderboard holds its order: what saw both folds first, then by the relative loss; every line
// names its learner and what it cost; the artifact is the first one's.
func TestLeaderboard(t *testing.T) {
	var seen []Progress
	o := quick(5, "gbdt", "linear")
	o.Progress = func(p Progress) { seen = append(seen, p) }
	r := run(t, independent(artifact.KindRegression, 400), o)
	if r.Trials != 5 || len(r.Leaderboard) != 5 || r.Artifact.Manifest.Learner != r.Leaderboard[0].Learner || r.Run.Learner != r.Leaderboard[0].Learner {
		t.Fatalf("%d trials of 5, artifact of %s, leaderboard %+v", r.Trials, r.Artifact.Manifest.Learner, r.Leaderboard)
	}
	for i, e := range r.Leaderboard {
		if e.Learner != "gbdt" && e.Learner != "linear" || e.Bytes <= 0 || e.Seconds <= 0 || !(e.LatencyUS > 0) || e.OverBudget {
			t.Errorf("line %d = %+v, want a learner that was asked for and its cost", i, e)
		}
		if want := map[bool]int{true: 2, false: 1}[i < 2]; e.Folds != want {
			t.Errorf("line %d saw %d folds, want %d", i, e.Folds, want)
		}
		if i > 0 && e.Folds == r.Leaderboard[i-1].Folds && e.Relative < r.Leaderboard[i-1].Relative {
			t.Errorf("line %d with %v comes after %v", i, e.Relative, r.Leaderboard[i-1].Relative)
		}
	}
	if seen[0].Stage != "features" || !math.IsNaN(seen[0].Best) || seen[0].Learner != "" {
		t.Errorf("progress begins with %+v, want no best yet", seen[0])
	}
	best, done := math.Inf(1), 0
	for _, p := range seen {
		if p.Trials != 5 || p.Done < done && p.Stage == "search" {
			t.Errorf("progress %+v after %d trials", p, done)
		}
		if p.Stage != "search" || p.Done == done { // the best two are tried anew on all folds
			continue
		}
		done = p.Done
		if p.Best > best || p.Learner == "" {
			t.Errorf("progress %+v, the best was %v before", p, best)
		}
		best = p.Best
	}
	if done != 5 {
		t.Errorf("progress ends at %d trials of the search, want 5", done)
	}
}

// TestBudgetOfLatency: what would be too slow for the device is marked and comes last, and a learner
// within the budget is taken although it is worse.
func TestBudgetOfLatency(t *testing.T) {
	p := independent(artifact.KindRegression, 400)
	free := run(t, p, quick(2, "gbdt", "linear"))
	if free.Artifact.Manifest.Learner != "gbdt" {
		t.Fatalf("without a budget %s wins, want gbdt on a step", free.Artifact.Manifest.Learner)
	}
	p.BudgetLatency = 500 * time.Nanosecond // eight trees
	r := run(t, p, quick(2, "gbdt", "linear"))
	if b := r.Leaderboard; b[0].Learner != "linear" || b[0].OverBudget || b[1].Learner != "gbdt" || !b[1].OverBudget {
		t.Errorf("leaderboard = %+v, want linear before a gbdt over the budget", b)
	}
	if got := r.Artifact.Manifest; got.Learner != "linear" || got.Budget.Bytes != 4_000_000 {
		t.Errorf("the artifact is of %s with budget %+v, want linear", got.Learner, got.Budget)
	}
}

// TestBudgetOfTime: when the time is over at once, the first candidate alone is tried and refitted.
func TestBudgetOfTime(t *testing.T) {
	o := quick(9, "linear")
	o.TimeBudget = time.Nanosecond
	if r := run(t, independent(artifact.KindRegression, 400), o); r.Trials != 1 || len(r.Leaderboard) != 1 || r.Leaderboard[0].Folds != 2 {
		t.Errorf("after a nanosecond %d trials, %+v, want one on both folds", r.Trials, r.Leaderboard)
	}
}

// TestPriorIsJudged: what won elsewhere is left out when it is of another kind of task, did not beat
// its baseline, has other numbers, or is no learner that was asked for.
func TestPriorIsJudged(t *testing.T) {
	p := independent(artifact.KindRegression, 400)
	past := run(t, p, quick(1, "linear")).Run
	past.Params = map[string]float64{"l2": 0.125}
	for _, tt := range []struct {
		name string
		bad  func(r *PastRun)
		used bool
	}{
		{"the same data", func(*PastRun) {}, true},
		{"another kind", func(r *PastRun) { r.Meta[0] = 1 }, false},
		{"no better than the baseline", func(r *PastRun) { r.Relative = 1 }, false},
		{"a loss that is none", func(r *PastRun) { r.Relative = math.NaN() }, false},
		{"fewer numbers", func(r *PastRun) { r.Meta = r.Meta[1:] }, false},
		{"a learner that is not asked for", func(r *PastRun) { r.Learner = "gbdt" }, false},
		{"a learner that is gone", func(r *PastRun) { r.Learner = "oracle" }, false},
	} {
		prior := past
		prior.Meta, prior.Relative = slices.Clone(past.Meta), 0.5
		tt.bad(&prior)
		o := quick(1, "linear")
		o.Prior = []PastRun{prior}
		if r := run(t, p, o); (r.Leaderboard[0].Params["l2"] == 0.125) != tt.used || r.Leaderboard[0].Learner != "linear" {
			t.Errorf("%s: tried is %+v, want the prior used %v", tt.name, r.Leaderboard[0], tt.used)
		}
	}
}

// TestEvaluateKinds scores artifacts on rows that came after their training, by figures that follow
// from the rows: the step is learned, its baseline is wrong half of the time.
func TestEvaluateKinds(t *testing.T) {
	for _, kind := range []string{artifact.KindRegression, artifact.KindClassification} {
		t.Run(kind, func(t *testing.T) {
			p := independent(kind, 800)
			past := p
			past.Devices = []Series{p.Devices[0].upTo(400)}
			a := run(t, past, quick(1, "gbdt")).Artifact
			h, err := Evaluate(t.Context(), p, a)
			if err != nil {
				t.Fatal(err)
			}
			newer := 0
			for _, at := range p.Devices[0].Times {
				if at > a.Manifest.TrainTo {
					newer++
				}
			}
			if h.Rows != newer || newer < 400 {
				t.Errorf("Evaluate scores %d rows, want the %d that are newer than the training", h.Rows, newer)
			}
			if kind == artifact.KindClassification {
				if h.Accuracy != 1 || h.LogLoss > 0.1 || h.MAE != 0 || h.Coverage != 0 {
					t.Errorf("Evaluate = %+v, want every class right and no figure of numbers", h)
				}
			} else if h.MAE > 0.05 || h.RMSE < h.MAE || math.Abs(h.MAEBaseline-0.5) > 0.02 || h.Accuracy != 0 || h.LogLoss != 0 {
				t.Errorf("Evaluate = %+v, want next to no error, of the mean a half, and no figure of classes", h)
			}
			v, err := Judge(t.Context(), p, nil, a)
			if err != nil || v.Outcome != sequential.Pass || v.Rows > newer || v.Rows < judgeRows || v.N != v.Rows || v.Champion < 0.4 || v.Challenger > 0.1 {
				t.Errorf("Judge against the baseline = %+v, %v, want it passed on %d rows", v, err, newer)
			}
			const few = 60 // rows beyond the training are not enough to judge by
			short := p
			short.Devices = []Series{p.Devices[0].upTo(800 - newer + few)}
			if v, err = Judge(t.Context(), short, nil, a); err != nil || v.Outcome != sequential.Inconclusive || v.N != few || !strings.HasPrefix(v.Reason, "too few labelled rows") || v.Champion < 0.3 {
				t.Errorf("Judge on %d rows = %+v, %v, want it inconclusive with the mean losses", few, v, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := Evaluate(ctx, p, a); !errors.Is(err, context.Canceled) {
				t.Errorf("Evaluate after cancel = %v", err)
			}
		})
	}
}

// upTo is the series of the first n rows.
func (s Series) upTo(n int) Series {
	s.Times, s.Values, s.Target = s.Times[:n], s.Values[:n], s.Target[:n]
	return s
}

// TestThin keeps the ends and the order, and drops what is no number.
func TestThin(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, tt := range []struct {
		v    []float64
		n    int
		want []float64
	}{
		{nil, 3, nil},
		{[]float64{nan, inf, -inf}, 3, nil},
		{[]float64{3, 1, nan, 2}, 3, []float64{1, 2, 3}},
		{[]float64{9, 8, 7, 6, 5, 4, 3, 2, 1}, 3, []float64{1, 5, 9}},
		{[]float64{1, 1, 1, 1}, 2, []float64{1, 1}},
	} {
		before := slices.Clone(tt.v)
		if got := Thin(tt.v, tt.n); !slices.Equal(got, tt.want) {
			t.Errorf("Thin(%v, %d) = %v, want %v", tt.v, tt.n, got, tt.want)
		}
		if !slices.EqualFunc(before, tt.v, func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }) {
			t.Errorf("Thin changes its argument to %v", tt.v)
		}
	}
}
