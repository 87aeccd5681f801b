package selection

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/sequential"
)

// synthetic is a forecast on devices whose next value depends on an input and on the hour.
func synthetic(devices, rows int) Problem {
	p := Problem{Task: "synthetic", Kind: artifact.KindForecast, HorizonUS: hourUS, Seed: 3,
		Inputs: []feature.Input{{Name: "y", Unit: "K"}, {Name: "push"}, {Name: "mode", Categories: []string{"a", "b"}}}}
	for d := range devices {
		rng := rand.New(rand.NewPCG(uint64(d), 9))
		s := Series{Device: string(rune('a' + d))}
		y := 20.0
		for i := range rows {
			push := rng.NormFloat64()
			row := []float64{y, push, float64(rng.IntN(2))}
			if rng.IntN(20) == 0 {
				row[1] = math.NaN()
			}
			s.Times, s.Values, s.Baseline = append(s.Times, int64(i)*hourUS), append(s.Values, row), append(s.Baseline, y)
			y += 2*push*(0.5+row[2]) + 0.2*(20-y) + 0.3*rng.NormFloat64()
			s.Target = append(s.Target, y)
		}
		s.Target[rows-1] = math.NaN()
		p.Devices = append(p.Devices, s)
	}
	return p
}

func run(t *testing.T, p Problem, o Options) *Result {
	t.Helper()
	if (testing.Short() || underRace) && o.Learners == nil {
		o.Learners = []string{"gbdt", "linear"} // the others take minutes under the race detector
	}
	r, err := Run(context.Background(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRunRepeatsForEveryThreadCount(t *testing.T) {
	rows, names := 600, Learners()
	if testing.Short() || underRace {
		rows, names = 250, names[:1]
	}
	p := synthetic(2, rows)
	for _, name := range names {
		var want []byte
		for _, threads := range []int{1, 3} {
			r := run(t, p, Options{Trials: 1, Threads: threads, Learners: []string{name}})
			if want == nil {
				want = r.Bytes
				t.Logf("%s: relative %.3f, holdout MAE %.3f of %.3f, coverage %.3f, %d bytes", name, r.Leaderboard[0].Relative, r.Holdout.MAE,
					r.Holdout.MAEBaseline, r.Holdout.Coverage, len(r.Bytes))
				if r.Holdout.MAE > 0.6*r.Holdout.MAEBaseline {
					t.Errorf("%s: MAE %v, last value %v", name, r.Holdout.MAE, r.Holdout.MAEBaseline)
				}
				if r.Holdout.Coverage < 0.75 || r.Holdout.Coverage > 0.98 {
					t.Errorf("%s: interval of level 0.9 covers %v", name, r.Holdout.Coverage)
				}
			} else if !bytes.Equal(want, r.Bytes) {
				t.Errorf("%s: the artifact of %d threads differs from that of 1", name, threads)
			}
		}
	}
}

// TestHoldoutIsUntouched changes the newest rows' labels: nothing that is learned may change,
// only what is measured on them.
func TestHoldoutIsUntouched(t *testing.T) {
	p := synthetic(1, 600)
	a := run(t, p, Options{Trials: 2, Learners: []string{"gbdt"}})
	for i := 600 * 85 / 100; i < 599; i++ {
		p.Devices[0].Target[i] += 100
	}
	b := run(t, p, Options{Trials: 2, Learners: []string{"gbdt"}})
	for role := range a.Artifact.Models {
		x, _ := a.Artifact.Models[role].(interface {
			AppendBinary([]byte) ([]byte, error)
		}).AppendBinary(nil)
		y, _ := b.Artifact.Models[role].(interface {
			AppendBinary([]byte) ([]byte, error)
		}).AppendBinary(nil)
		if !bytes.Equal(x, y) {
			t.Errorf("the %s model depends on labels of the holdout", role)
		}
	}
	if b.Holdout.MAE < 50 {
		t.Errorf("holdout MAE %v does not notice labels that are off by 100", b.Holdout.MAE)
	}
}

func TestRunClassifiesAndRegresses(t *testing.T) {
	if underRace {
		t.Skip("takes long under the race detector: run without -race")
	}
	p := synthetic(1, 600)
	p.HorizonUS = 0
	for _, kind := range []string{artifact.KindRegression, artifact.KindClassification} {
		p.Kind = kind
		s := &p.Devices[0]
		if kind == artifact.KindClassification {
			p.Classes = []string{"down", "same", "up"}
			for i := range s.Target {
				s.Target[i] = float64(min(max(int(s.Values[i][0]-19), 0), 2))
			}
		}
		r := run(t, p, Options{Trials: 4})
		if kind == artifact.KindRegression && r.Holdout.MAE > 0.6*r.Holdout.MAEBaseline {
			t.Errorf("regression: %+v", r.Holdout)
		}
		if kind == artifact.KindClassification && (r.Holdout.LogLoss > 0.5*r.Holdout.LogLossPrior || r.Holdout.Accuracy < 0.9) {
			t.Errorf("classification: %+v", r.Holdout)
		}
	}
}

func TestNothingToLearn(t *testing.T) {
	p := synthetic(1, 600)
	rng := rand.New(rand.NewPCG(1, 2))
	s := &p.Devices[0]
	for i := range s.Target {
		s.Target[i] = s.Baseline[i] + rng.NormFloat64()
	}
	r := run(t, p, Options{Trials: 2})
	if rel := r.Holdout.MAE / r.Holdout.MAEBaseline; rel > 1.05 {
		t.Errorf("on noise the artifact has %v of the baseline's error", rel)
	}
	for i := range s.Target {
		if i > 100 {
			s.Target[i] = math.NaN()
		}
	}
	if _, err := Run(context.Background(), p, Options{}); !errors.Is(err, ErrTooFewRows) {
		t.Errorf("Run on 100 labels = %v, want ErrTooFewRows", err)
	}
}

func TestRunHonoursBudgetAndContext(t *testing.T) {
	p := synthetic(2, 900)
	p.BudgetBytes = 130_000
	if r := run(t, p, Options{Trials: 6}); len(r.Bytes) > 130_000 {
		t.Errorf("artifact of %d bytes in a budget of 130000", len(r.Bytes))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, p, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Run under a cancelled context = %v", err)
	}
	if _, err := Run(context.Background(), p, Options{Learners: []string{"oracle"}}); err == nil {
		t.Error("an unknown learner gave no error")
	}
}

func TestPriorGoesFirst(t *testing.T) {
	p := synthetic(1, 600)
	first := run(t, p, Options{Trials: 1, Learners: []string{"gbdt", "linear"}})
	past := first.Run
	past.Learner, past.Params = "linear", map[string]float64{"l2": 0.5}
	other := past
	other.Meta = append([]float64(nil), past.Meta...)
	other.Meta[2] += 5
	other.Learner = "mlp"
	r := run(t, p, Options{Trials: 1, Prior: []PastRun{other, past}})
	if got := r.Leaderboard[0]; got.Learner != "linear" || got.Params["l2"] != 0.5 {
		t.Errorf("the only trial was %+v, want what won on the same data before", got)
	}
}

func TestJudge(t *testing.T) {
	if underRace {
		t.Skip("takes long under the race detector: run without -race")
	}
	p := synthetic(2, 1000)
	old := p.before(0.5)
	good := run(t, old, Options{Trials: 1, Learners: []string{"gbdt"}}).Artifact
	bad := *good
	bad.Models = map[artifact.Role]artifact.Predictor{artifact.Point: &artifact.Constant{N: good.Pipeline.Width(), Values: []float64{3}}}
	bad.Vectors = artifact.Vectors{}
	for _, c := range []struct {
		name                 string
		problem              Problem
		champion, challenger *artifact.Artifact
		want                 sequential.Verdict
	}{
		{"better", p, &bad, good, sequential.Pass},
		{"worse", p, good, &bad, sequential.Fail},
		{"same", p, good, good, sequential.Inconclusive},
		{"against the last value", p, nil, good, sequential.Pass},
		{"no newer rows", old.before(0.45), nil, good, sequential.Inconclusive},
	} {
		v, err := Judge(context.Background(), c.problem, c.champion, c.challenger)
		if err != nil || v.Outcome != c.want {
			t.Errorf("%s: Judge = %+v, %v, want %s", c.name, v, err, c.want)
		}
	}
	p.Inputs = p.Inputs[:2]
	for d := range p.Devices {
		for i := range p.Devices[d].Values {
			p.Devices[d].Values[i] = p.Devices[d].Values[i][:2]
		}
	}
	if _, err := Judge(context.Background(), p, nil, good); !errors.Is(err, ErrOtherProblem) {
		t.Errorf("Judge with other inputs = %v, want ErrOtherProblem", err)
	}
}
