package selection

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/sequential"
)

// stream is a classification of one device, a row a minute, whose class is a function of the minute.
func stream(rows int, class func(minute int) float64) Problem {
	p := Problem{Task: "room", Kind: artifact.KindClassification, Seed: 5, Inputs: []feature.Input{{Name: "x"}}, TargetName: "y", Classes: []string{"empty", "used"}}
	s := Series{Device: "d"}
	for i := range rows {
		y := class(i)
		s.Times, s.Values, s.Target = append(s.Times, int64(i)*60e6), append(s.Values, []float64{y + 0.1*math.Sin(float64(i))}), append(s.Target, y)
	}
	p.Devices = []Series{s}
	return p
}

// always is an artifact for the problem that predicts the same probabilities for every row.
func always(a *artifact.Artifact, probabilities ...float64) *artifact.Artifact {
	out := *a
	out.Models = map[artifact.Role]artifact.Predictor{artifact.Point: &artifact.Constant{N: a.Pipeline.Width(), Values: probabilities}}
	out.Vectors = artifact.Vectors{}
	return &out
}

// TestJudgeRareClass: of two models that find the same class the more probable one for every row,
// the one with the better probabilities passes. The classes of one row in thirty are what it is
// about.
func TestJudgeRareClass(t *testing.T) {
	p := stream(3000, func(i int) float64 {
		if i*37%30 == 0 {
			return 1
		}
		return 0
	})
	past := p
	past.Devices = []Series{p.Devices[0].upTo(800)}
	a := run(t, past, quick(1, "linear")).Artifact
	v, err := Judge(t.Context(), p, always(a, 0.6, 0.4), always(a, 0.97, 0.03))
	if err != nil || v.Outcome != sequential.Pass || v.Against != "the champion" || math.Abs(v.Champion-0.525) > 0.02 || math.Abs(v.Challenger-0.146) > 0.02 {
		t.Errorf("Judge = %+v, %v, want the better probabilities passed by their log loss", v, err)
	}
	if v, err = Judge(t.Context(), p, always(a, 0.97, 0.03), always(a, 0.6, 0.4)); err != nil || v.Outcome != sequential.Fail {
		t.Errorf("Judge = %+v, %v, want the worse probabilities failed", v, err)
	}
	if v, err = Judge(t.Context(), p, nil, a); err != nil || v.Outcome != sequential.Pass || v.Against != "the shares of the classes so far" {
		t.Errorf("Judge = %+v, %v, want a model that tells the classes apart passed against their shares", v, err)
	}
	three := always(a, 0.5, 0.3, 0.2)
	three.Manifest.Output.Classes = []string{"empty", "used", "closed"}
	if _, err = Judge(t.Context(), p, three, a); !errors.Is(err, ErrOtherProblem) {
		t.Errorf("Judge against a champion of three classes = %v, want ErrOtherProblem", err)
	}
	// one row that was wrong for sure does not decide
	if v, err = Judge(t.Context(), p, always(a, 0.97, 0.03), always(a, 1, 0)); err != nil || v.Challenger > 7./30+0.01 || math.IsInf(v.Hi, 0) {
		t.Errorf("Judge = %+v, %v, want the loss of a row bounded", v, err)
	}
}

// TestHoldoutHasEveryClass: classes come in blocks, and the newest rows may lack one. The hold-out
// reaches back to it, and a judgement on rows without it says so instead of deciding.
func TestHoldoutHasEveryClass(t *testing.T) {
	office := func(i int) float64 {
		if h := (i/60 + 10) % 24; h >= 9 && h < 17 { // begins at ten
			return 1
		}
		return 0
	}
	const minutes = (14 + 24) * 60 // ends at midnight: seven hours without anybody
	p := stream(minutes, office)
	p.defaults()
	rows := p.places()
	search, holdout := p.split(rows, p.Holdout)
	used := 0
	for _, r := range rows[holdout:] {
		used += int(r.y)
	}
	if used < 20 || search < len(rows)/2 {
		t.Errorf("the hold-out of %d of %d rows has %d of the class, want at least 20", len(rows)-holdout, len(rows), used)
	}
	if v, err := Judge(t.Context(), p, nil, run(t, p, quick(1, "linear")).Artifact); err != nil || v.Outcome != sequential.Inconclusive || !strings.HasPrefix(v.Reason, "better on average over") {
		t.Errorf("Judge = %+v, %v, want it inconclusive: one change of the class is one event", v, err)
	}
	week := stream(7*24*60, office)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, row := range week.Devices[0].Values {
		row[0] += 0.5 * rng.NormFloat64()
	}
	if v, err := Judge(t.Context(), week, nil, run(t, week, quick(1, "linear")).Artifact); err != nil || v.Outcome != sequential.Pass {
		t.Errorf("Judge of a week = %+v, %v, want it passed", v, err)
	}
	once := stream(minutes, func(i int) float64 {
		if i < 14*60 {
			return office(i)
		}
		return 0
	})
	a := run(t, once, quick(1, "linear")).Artifact
	v, err := Judge(t.Context(), once, nil, a)
	if err != nil || v.Outcome != sequential.Inconclusive || !strings.Contains(v.Reason, `no row to judge by is of class "used"`) {
		t.Errorf("Judge = %+v, %v, want it inconclusive because a class is missing", v, err)
	}
}

// TestJudgeIntervals: a challenger whose predictions are better does not pass when the intervals
// that devices would publish with it are worse. Its errors are those of another model now and then,
// so that their quantiles, and not their mean, are what grows.
func TestJudgeIntervals(t *testing.T) {
	iv := newIntervals(&Problem{Level: 0.9, Devices: make([]Series, 1)})
	nan := math.NaN()
	for i := range 1000 {
		small, large := math.Sin(float64(i)), 0.1*math.Sin(float64(i))
		if i%5 == 0 {
			large = 4 * math.Cos(float64(i))
		}
		iv.add(0, 0, 1, [3]float64{small, nan, nan}, [3]float64{large, nan, nan})
	}
	champion, challenger := iv.means()
	if champion < 1 || champion > 3 || challenger < 1.5*champion {
		t.Errorf("interval scores %v of steady errors and %v of rare large ones, want the second clearly worse", champion, challenger)
	}
}
