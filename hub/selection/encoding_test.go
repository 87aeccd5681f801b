package selection

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
)

// coded is a regression on rows that stand for themselves: an effect for each of many categories,
// a product, and the logarithm of a column with a heavy tail. effect scales the first.
func coded(rows, levels int, effect float64) Problem {
	p := Problem{Task: "coded", Kind: artifact.KindRegression, TargetName: "y", Independent: true, Seed: 5, Inputs: []feature.Input{{Name: "code"}, {Name: "a"}, {Name: "b"}, {Name: "tail"}}}
	for k := range levels {
		p.Inputs[0].Categories = append(p.Inputs[0].Categories, fmt.Sprint("c", k))
	}
	rng := rand.New(rand.NewPCG(4, 2))
	effects := make([]float64, levels)
	for k := range effects {
		effects[k] = effect * rng.NormFloat64()
	}
	s := Series{Device: "file"}
	for i := range rows {
		code, tail := rng.IntN(levels), math.Exp(2*rng.NormFloat64())
		row := []float64{float64(code), rng.NormFloat64(), rng.NormFloat64(), tail}
		if i%50 == 0 {
			row[0], row[3] = math.NaN(), math.NaN()
		}
		s.Times, s.Values = append(s.Times, int64(i)*hourUS), append(s.Values, row)
		s.Target = append(s.Target, effects[code]+row[1]*row[2]+math.Log(tail)/2+0.1*rng.NormFloat64())
	}
	p.Devices = []Series{s}
	return p
}

// encoded returns the columns of a problem, computed and encoded for a model that learns from
// rows[:train].
func encoded(t *testing.T, p *Problem, train int) (*design, []place, []float64) {
	t.Helper()
	d, rows := candidates(p, hourUS), p.places()
	x, err := compute(p, d.pipe, rows, 1)
	if err != nil {
		t.Fatal(err)
	}
	if d, err = d.encode(p, x, rows, train); err != nil {
		t.Fatal(err)
	}
	return d, rows, x
}

// TestEncodingsKnowNoTargetTheyMustNot holds, for rows that stand for themselves and for a
// stream: no target of a row behind the training rows enters anything, and none of a training row
// its own encoding.
func TestEncodingsKnowNoTargetTheyMustNot(t *testing.T) {
	const n, train = 600, 400
	for _, independent := range []bool{true, false} {
		p := coded(n, 40, 1)
		p.Independent = independent
		d, _, x := encoded(t, &p, train)
		if len(d.encodings) != 2 {
			t.Fatalf("%d encodings, want the target's mean and the frequency", len(d.encodings))
		}
		y := p.Devices[0].Target
		for i := train; i < n; i++ {
			y[i] += 1000
		}
		if _, _, again := encoded(t, &p, train); !slices.EqualFunc(x, again, sameBits) {
			t.Errorf("independent %v: columns change with targets behind the training rows", independent)
		}
		at, width := d.encodings[0].column, d.pipe.Width()
		for i := 1; i < train; i += 37 {
			was := y[i]
			y[i] += 1000
			_, _, again := encoded(t, &p, train)
			if x[i*width+at] != again[i*width+at] {
				t.Errorf("independent %v: the encoding of row %d changes with its own target", independent, i)
			}
			if slices.EqualFunc(x, again, sameBits) {
				t.Errorf("independent %v: no encoding changes with the target of row %d", independent, i)
			}
			y[i] = was
		}
	}
}

func sameBits(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

// TestEncodingsOfClasses encodes each of three classes, one of two, and none of many.
func TestEncodingsOfClasses(t *testing.T) {
	for classes, want := range map[int]int{2: 2, 3: 4, 9: 1} {
		p := coded(400, 40, 1)
		p.Kind = artifact.KindClassification
		for k := range classes {
			p.Classes = append(p.Classes, fmt.Sprint("k", k))
		}
		for i := range p.Devices[0].Target {
			p.Devices[0].Target[i] = float64(i % classes)
		}
		d, rows, x := encoded(t, &p, 300)
		if len(d.encodings) != want {
			t.Errorf("%d classes: %d encodings, want %d", classes, len(d.encodings), want)
		}
		if want != 4 {
			continue
		}
		for i := range rows { // the shares of all classes
			sum := 0.0
			for _, e := range d.encodings[:3] {
				sum += x[i*d.pipe.Width()+e.column]
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Fatalf("row %d: shares of the classes add up to %v", i, sum)
			}
		}
	}
}

// TestEncodingsWithoutValues goes on where a column says nothing or targets are too large for sums.
func TestEncodingsWithoutValues(t *testing.T) {
	p := coded(400, 40, 1)
	for i := range p.Devices[0].Values {
		p.Devices[0].Values[i][0] = math.NaN()
		p.Devices[0].Target[i] = 1e308
	}
	d, rows, x := encoded(t, &p, 300)
	for i := range rows {
		for _, e := range d.encodings {
			if v := x[i*d.pipe.Width()+e.column]; v != 0 {
				t.Fatalf("row %d: column %q = %v, want 0", i, d.pipe.Columns[e.column].Name, v)
			}
		}
	}
}

// TestManyCategories learns the effects of 200 categories, of which 32 have a column each, and
// what a linear model cannot say without further columns. What the search measured on the holdout
// is what a device measures, and the number of threads changes nothing.
func TestManyCategories(t *testing.T) {
	if underRace {
		t.Skip("takes long under the race detector: run without -race")
	}
	p := coded(4000, 200, 3)
	for _, tt := range []struct {
		learner  string
		features []string
		most     float64 // of the baseline's error; effects that nobody knows leave 0.8 of it
	}{
		{"gbdt", []string{"code_target"}, 0.5},
		{"linear", []string{"code_target", "a*b", "tail_place"}, 0.35},
	} {
		var first *Result
		for _, threads := range []int{1, 3} {
			r := run(t, p, Options{Trials: 1, Threads: threads, Learners: []string{tt.learner}})
			if first == nil {
				first = r
			} else if !bytes.Equal(first.Bytes, r.Bytes) {
				t.Errorf("%s: the artifact of %d threads differs from that of 1", tt.learner, threads)
			}
		}
		for _, name := range tt.features {
			if !slices.Contains(first.Features, name) {
				t.Errorf("%s: features %v, want %s among them", tt.learner, first.Features, name)
			}
		}
		h := first.Holdout
		t.Logf("%s: MAE %.3f of %.3f, %d features", tt.learner, h.MAE, h.MAEBaseline, len(first.Features))
		if h.MAE > tt.most*h.MAEBaseline {
			t.Errorf("%s: MAE %v of %v, want at most %v of it", tt.learner, h.MAE, h.MAEBaseline, tt.most)
		}
		device, err := Evaluate(context.Background(), p, first.Artifact)
		if err != nil || device.Rows != h.Rows || math.Abs(device.MAE-h.MAE) > 1e-12 || math.Abs(device.Coverage-h.Coverage) > 1e-12 {
			t.Errorf("%s: a device measures %+v (%v), the search %+v", tt.learner, device, err, h)
		}
	}
}

// TestCategoriesOfChance teaches 1000 categories that mean nothing: a model that finds the
// targets of its training rows in their encodings believes in them, and is worse than the median.
func TestCategoriesOfChance(t *testing.T) {
	if underRace {
		t.Skip("takes long under the race detector: run without -race")
	}
	p := coded(2000, 1000, 0)
	rng := rand.New(rand.NewPCG(8, 1))
	for i := range p.Devices[0].Target {
		p.Devices[0].Target[i] = rng.NormFloat64()
	}
	for _, learner := range []string{"gbdt", "linear"} {
		r := run(t, p, Options{Trials: 1, Learners: []string{learner}})
		if rel := r.Holdout.MAE / r.Holdout.MAEBaseline; rel > 1.03 {
			t.Errorf("%s: on chance the artifact has %v of the baseline's error", learner, rel)
		}
		if e := r.Leaderboard[0]; e.Relative > 1.05 {
			t.Errorf("%s: validation loss %v of the baseline's: the model believes in categories of chance", learner, e.Relative)
		}
		for _, name := range r.Features {
			if strings.Contains(name, "*") {
				t.Errorf("%s: feature %q of chance", learner, name)
			}
		}
	}
}
